//! The stop of a server: running requests are completed, unless a second signal ends it at once.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::admin::program::{Place, Server};

/// Waits for a text in the log.
fn wait_for(server: &Server, word: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !server.log().contains(word) {
        assert!(Instant::now() < deadline, "{word:?} is not in {}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let place = Place::new();
    let data = place.data();
    let flags = ["--anonymous", "--data-dir", data.to_str().unwrap()];
    for signal in [Signal::INT, Signal::TERM] {
        let server = place.serve_as(&flags, &[]);
        let mut upload = TcpStream::connect(server.address).unwrap();
        // The interim response says that the server is reading the body.
        write!(
            upload,
            "POST /v2/a/blobs/uploads/?digest=sha256:{} HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
            "0".repeat(64),
            server.address
        )
        .unwrap();
        let mut answer = [0; 12];
        upload.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 100"), "{answer:?}");
        server.signal(signal);
        wait_for(
            &server,
            "waiting up to 100s for 1 request; Ctrl-C again stops at once, uploads can be resumed",
        );
        server.signal(signal);
        assert_eq!(server.wait(), 130);
        assert!(!place.socket().exists());
        let server = place.serve_as(&flags, &[]);
        server.client().get("/v2/").expect(200);
        server.stop();
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name, which may contain anything, ends with the last bracket.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
        fields.and_then(|fields| fields.get(1)?.parse().ok()) == Some(parent)
    };
    processes.filter(is_child).collect()
}

/// Whether a process has not ended.
fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_process_that_looks_at_the_database_ends_with_the_server_that_is_killed() {
    let place = Place::new();
    place.serve().kill();
    let database = File::options().read(true).write(true).open(place.data().join("stowage.redb")).unwrap();
    database.lock().unwrap();
    let mut command = place.command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", place.data().to_str().unwrap()]);
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It has more than one thread when it opens the database, and has asked for the signal by then.
    let is_at_work =
        |child: &u32| fs::read_dir(format!("/proc/{child}/task")).is_ok_and(|tasks| tasks.count() > 1);
    let deadline = Instant::now() + Duration::from_mins(1);
    let child = loop {
        if let Some(child) = children(server.id()).into_iter().find(is_at_work) {
            break child;
        }
        assert!(Instant::now() < deadline, "the server looks at no database");
        std::thread::sleep(Duration::from_millis(1));
    };
    // It cannot end by itself.
    let pid = Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    while lives(child) {
        assert!(Instant::now() < deadline, "it outlives the server");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(database);
    place.serve().stop();
}

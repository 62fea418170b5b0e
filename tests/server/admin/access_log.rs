//! The log of a push: one line on a terminal, all requests elsewhere; and failed sign-ins with name and
//! address.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::admin::program::Place;
use crate::admin::terminal::Terminal;
use crate::support::{Client, content, eventually};

/// The server's text log, without colours.
fn serve(place: &Place) -> Command {
    let mut command = place.command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(place.data()).env("NO_COLOR", "1");
    command
}

/// The address behind the last `http://` of a text.
fn address(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.rsplit_once("http://")?;
    rest.split(|c: char| c.is_whitespace() || c == '"').next()?.parse().ok()
}

/// Pushes as clients do, gets one refusal, and asks for something that does not exist; returns the number of
/// requests.
fn work(place: &Place, address: SocketAddr) -> usize {
    let password = fs::read_to_string(place.data().join("initial-admin-password")).unwrap();
    let anonymous = Client::new(address);
    let admin = Client::new(address).basic("admin", password.trim());
    anonymous.get("/v2/").expect(401);
    admin.get("/token?service=stowage&scope=repository:team/app:pull,push").expect(200);
    let layer = content::bytes(7, 100_000);
    admin.head(&format!("/v2/team/app/blobs/{}", content::sha256(&layer))).expect(404);
    let upload = content::open_upload(&admin, "team/app");
    let upload = content::send_chunk(&admin, &upload, 0, &layer).expect(202).location();
    content::close_upload(&admin, &upload, &content::sha256(&layer), b"").expect(201);
    let image = content::image(&[&layer]);
    content::push_blob(&admin, "team/app", b"{}");
    content::push_manifest(&admin, "team/app", "1", "application/vnd.oci.image.manifest.v1+json", &image);
    for name in ["admin", "o remote=203.0.113.9 why=", ""] {
        Client::new(address).basic(name, "canary-wrong-password").get("/v2/").expect(401);
    }
    admin.get("/v2/nowhere/manifests/last").expect(404);
    6 + 1 + 1 + 3 + 1
}

/// Asserts that every duration has microseconds at most: `0.038627999999999996` is noise.
#[track_caller]
fn assert_rounded(log: &str, separator: char) {
    let durations: Vec<&str> = log
        .split("duration_ms")
        .skip(1)
        .map(|rest| rest.trim_start_matches(['"', separator]).split([' ', ',', '}']).next().unwrap())
        .collect();
    assert!(!durations.is_empty(), "{log}");
    for duration in durations {
        let digits = duration.split_once('.').map_or(0, |(_, digits)| digits.len());
        assert!(digits <= 3 && duration.parse::<f64>().is_ok(), "{duration}");
    }
}

/// Asserts the lines of failed sign-ins: a warning with the name and the address.
#[track_caller]
fn assert_failures_are_told(log: &str) {
    let failures: Vec<&str> = log.lines().filter(|line| line.contains("a sign-in failed")).collect();
    for name in ["admin", "\"o remote=203.0.113.9 why=\""] {
        let line = format!("a sign-in failed user={name} remote=127.0.0.1 why=");
        let found = failures.iter().find(|failure| failure.contains(&line));
        assert!(found.is_some_and(|found| found.contains("WARN")), "{line} is not in {failures:#?}");
    }
    assert!(!log.contains("canary-wrong-password"), "{log}");
}

#[test]
fn a_push_is_one_line_on_a_terminal() {
    let place = Place::new();
    let mut terminal = Terminal::start(serve(&place));
    let banner = terminal.expect("Stop with Ctrl-C.");
    // The banner contains what the log would otherwise say.
    assert!(!banner.contains(" INFO "), "{banner}");
    let registry = banner.lines().find(|line| line.contains("registry http://")).unwrap();
    work(&place, address(registry).unwrap());
    let log = terminal.expect("uri=/v2/nowhere/manifests/last") + &terminal.expect("\n");
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("uri=")).collect();
    assert_eq!(requests.len(), 2, "{log}");
    assert!(
        requests[0].contains(" INFO request method=PUT uri=/v2/team/app/manifests/1 status=201"),
        "{log}"
    );
    assert!(!log.contains("stowage::"), "where a line comes from is for a search: {log}");
    assert_failures_are_told(&log);
    assert_rounded(&log, '=');
    stop(&mut terminal.child);
}

#[test]
fn a_file_has_every_request() {
    let place = Place::new();
    let path = place.directory.path().join("log");
    let server = serve(&place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let mut server = Running(server);
    let log = || fs::read_to_string(&path).unwrap();
    let ready = || log().lines().find(|line| line.contains(" ready ")).and_then(address);
    eventually("the server is ready", || ready().is_some());
    let sent = work(&place, ready().unwrap());
    stop(&mut server.0);
    let log = log();
    let requests = log.lines().filter(|line| line.contains(" INFO stowage::access: request method="));
    assert_eq!(requests.count(), sent, "{log}");
    assert_failures_are_told(&log);
    assert_rounded(&log, '=');
    // The filter of docs/administration.md finds the address in each of them, whatever the name is.
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/administration.md")).unwrap();
    let filter = docs.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
    let filter = regex_lite::Regex::new(&filter.replace("<HOST>", r"(?P<host>\S+)")).unwrap();
    let hosts: Vec<&str> =
        filter.captures_iter(&log).map(|found| found.name("host").unwrap().as_str()).collect();
    assert_eq!(hosts, ["127.0.0.1"; 3], "{log}");
}

#[test]
fn json_has_every_request() {
    let place = Place::new();
    let server = place.serve_as(&["--data-dir", place.data().to_str().unwrap()], &[]);
    let sent = work(&place, server.address);
    let log = server.stop();
    assert_eq!(log.matches("\"target\":\"stowage::access\"").count(), sent, "{log}");
    assert_rounded(&log, ':');
}

fn stop(child: &mut Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A server that is stopped at the end of its test, also after a failure.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A log that is not read delays no request.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::process::{answers, command, directory_in_memory};
use crate::support::eventually;

/// Many more lines than the buffer holds, at half a KiB a line.
const REQUESTS: usize = 30_000;
const BATCH: usize = 100;

#[test]
fn access_lines_are_dropped_and_counted_while_stderr_is_not_read() {
    let dir = directory_in_memory();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut command = command("serve");
    command.args(["--anonymous", "--log-level", "info", "--listen", &address.to_string()]);
    command.arg("--data-dir").arg(dir.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("it answers", || answers(address));
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers_of = BufReader::new(stream.try_clone().unwrap());
    let mut batch = String::new();
    for _ in 0..BATCH {
        let name = "x".repeat(250);
        let _ = write!(batch, "HEAD /v2/{name}/manifests/latest HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for _ in 0..REQUESTS / BATCH {
        stream.write_all(batch.as_bytes()).unwrap();
        let mut heads = 0;
        while heads < BATCH {
            let mut line = String::new();
            assert!(answers_of.read_line(&mut line).unwrap() > 0, "the connection was closed");
            heads += usize::from(line == "\r\n");
        }
    }
    assert!(answers(address));
    let stderr = child.stderr.take().unwrap();
    let told = BufReader::new(stderr).lines().map_while(Result::ok).find(|line| line.contains("dropped="));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = told.expect("what was dropped is counted");
    assert!(told.contains("WARN") && !told.contains("dropped=0"), "{told}");
}

//! The stop of a server: running requests are completed, unless a second signal ends it at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

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

//! Request smuggling: requests that a proxy in front may parse differently. Plain conflicts of lengths are in
//! `tests/server/api/bad_input.rs`, bodies that no handler reads in `tests/server/api/connection.rs`.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use crate::support::TestStowage;
use crate::support::content::{open_upload, push_image, sha256};

/// The hidden request, which must never be executed.
const HIDDEN: &str = "DELETE /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends raw bytes and returns the statuses of all responses.
fn statuses(server: &TestStowage, sent: &str) -> Vec<u16> {
    let mut stream = server.client().connect();
    let _ = stream.write_all(sent.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received);
    let received = String::from_utf8_lossy(&received);
    let answers = received.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].parse().expect("a status")).collect()
}

/// Asserts that the hidden request had no effect, and that at most one response was sent: for the outer
/// request.
#[track_caller]
fn assert_not_smuggled(server: &TestStowage, sent: &str) -> Vec<u16> {
    let statuses = statuses(server, sent);
    assert!(statuses.len() <= 1, "{statuses:?}\n{sent}");
    server.client().get("/v2/a/manifests/t").expect(200);
    statuses
}

fn with_image() -> TestStowage {
    let server = TestStowage::start();
    push_image(&server.client(), "a", "t", b"layer");
    server
}

#[test]
fn a_request_in_the_body_of_another_is_a_body() {
    let server = with_image();
    let length = HIDDEN.len();
    for head in [
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("HEAD /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("OPTIONS /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("GET /elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("PUT /v2/a/manifests/- HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};a=\"\r\n"),
    ] {
        assert_not_smuggled(&server, &format!("{head}{HIDDEN}"));
    }
}

#[test]
fn heads_that_another_may_read_otherwise_are_refused() {
    let server = with_image();
    for headers in [
        // Another line ending.
        "X: y\rContent-Length: 0",
        // Another spelling of the name.
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "\u{b}Transfer-Encoding: chunked",
        "Transfer-Encoding\0: chunked",
        // Another spelling of the encoding.
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
        // Several lengths.
        "Content-Length: 5\r\nContent-Length: 5, 5\r\nContent-Length: 0",
        "Content-Length: 5,5",
        "Content-Length: 05e1",
        "Content-Length: \u{b}5",
        "Content-Length: 5\0",
        // Several hosts.
        "Host: y",
    ] {
        let sent = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{HIDDEN}");
        let statuses = assert_not_smuggled(&server, &sent);
        assert!(matches!(statuses[..], [] | [400 | 501]), "{headers:?}: {statuses:?}");
    }
}

#[test]
fn chunks_that_another_may_read_otherwise_end_the_connection() {
    let server = with_image();
    for body in [
        "0\n\n",
        "0\r\n\n",
        "0\r\nX",
        "0 \n\r\n",
        "+0\r\n\r\n",
        "0x0\r\n\r\n",
        "\r\n",
        "0;\nX\r\n\r\n",
        "1\nx\n0\n\n",
        "1\r\nxY\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\r0\r\n\r\n",
        "-1\r\n\r\n",
        "10000000000000000\r\n",
        "ffffffffffffffff\r\n",
    ] {
        let head = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let statuses = statuses(&server, &format!("{head}{body}{HIDDEN}"));
        // The upload may have begun before its body turned out to be malformed.
        assert!(matches!(statuses[..], [] | [202 | 400] | [202, 400]), "{body:?}: {statuses:?}");
        server.client().get("/v2/a/manifests/t").expect(200);
    }
}

#[test]
fn chunks_mean_nothing_in_http_1_0() {
    let server = with_image();
    for version in ["HTTP/1.0", "HTTP/1.0\r\nConnection: keep-alive"] {
        let head =
            format!("POST /v2/a/blobs/uploads/ {version}\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_not_smuggled(&server, &format!("{head}0\r\n\r\n{HIDDEN}"));
    }
}

#[test]
fn a_later_request_in_the_same_connection_is_no_less_checked() {
    let server = with_image();
    let good = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let bad =
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let statuses = statuses(&server, &format!("{good}{good}{bad}{HIDDEN}"));
    assert!(matches!(statuses[..], [200, 200] | [200, 200, 400]), "{statuses:?}");
    server.client().get("/v2/a/manifests/t").expect(200);
}

/// A body that is read far ahead, in pieces that end anywhere: requests within it are a part of it, and those
/// after it are answered.
#[test]
fn a_large_body_ends_where_it_says() {
    let server = with_image();
    let content = HIDDEN.repeat((4 << 20) / HIDDEN.len());
    let next = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    for size in [None, Some(1000), Some(32 << 10), Some(300_001)] {
        let (header, body) = match size {
            None => (format!("Content-Length: {}", content.len()), content.clone()),
            Some(size) => {
                let chunks = content.as_bytes().chunks(size).map(|chunk| {
                    format!("{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).expect("ASCII"))
                });
                ("Transfer-Encoding: chunked".to_owned(), chunks.collect::<String>() + "0\r\n\r\n")
            }
        };
        let upload = open_upload(&server.client(), "a");
        let sent = format!("PATCH {upload} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n{body}{next}");
        assert_eq!(statuses(&server, &sent), [202, 200, 200, 200], "{size:?}");
        let digest = sha256(content.as_bytes());
        server.client().put(&format!("{upload}?digest={digest}"), b"").expect(201);
        server.client().get("/v2/a/manifests/t").expect(200);
    }
}

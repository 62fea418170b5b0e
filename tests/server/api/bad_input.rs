//! Input that no client sends: the registry answers with an error or closes the connection, and continues.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use stowage::model::media_type::OCI_INDEX;

use crate::support::TestStowage;
use crate::support::content::{bytes, open_upload, push_image, put_manifest, sha256};

/// Sends raw bytes and returns all that is received.
fn raw(server: &TestStowage, sent: &[u8]) -> String {
    let mut stream = server.client().connect();
    // After an early refusal the connection may be closed.
    let _ = stream.write_all(sent);
    let _ = stream.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received);
    String::from_utf8_lossy(&received).into_owned()
}

/// The status of the first response, if there is one.
fn status(received: &str) -> Option<u16> {
    received.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[test]
fn requests_whose_length_is_ambiguous_are_refused() {
    let server = TestStowage::start();
    let upload = open_upload(&server.client(), "a");
    let hidden = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: 5".to_owned(),
        "Content-Length: 5\r\nContent-Length: 6".to_owned(),
        "Content-Length: 5, 6".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: -5".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Content-Length: 99999999999999999999999".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Content-Length : 5".to_owned(),
        "X: y\r\n Content-Length: 5".to_owned(),
    ] {
        let request = format!("PATCH {upload} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{hidden}");
        let received = raw(&server, request.as_bytes());
        assert!(matches!(status(&received), None | Some(400 | 501)), "{headers}: {received}");
        assert!(!received.contains("HTTP/1.1 200"), "{headers}: the hidden request was answered: {received}");
        assert_eq!(server.client().get(&upload).expect(204).header("range"), Some("0-0"), "{headers}");
    }
}

#[test]
fn broken_chunks_are_refused_and_add_nothing_after_the_break() {
    let server = TestStowage::start();
    for body in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc",
    ] {
        let upload = open_upload(&server.client(), "a");
        let request =
            format!("PATCH {upload} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let received = raw(&server, request.as_bytes());
        assert!(matches!(status(&received), None | Some(400)), "{body}: {received}");
        let standing = server.client().get(&upload).expect(204);
        assert!(matches!(standing.header("range"), Some("0-0" | "0-2")), "{body}: {standing:?}");
    }
}

#[test]
fn heads_that_are_no_http_are_refused() {
    let server = TestStowage::start();
    let huge = "x".repeat(300_000);
    let mut many = String::new();
    for index in 0..2000 {
        let _ = write!(many, "X-{index}: y\r\n");
    }
    for head in [
        "\r\n\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /v2/\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/9.9\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nNo colon\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\n: empty\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nX: \u{1}\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nX\0: y\r\n\r\n".to_owned(),
        "GET /v2/\u{0} HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /{huge} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nX: {huge}\r\n\r\n"),
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let received = raw(&server, head.as_bytes());
        let start = &head[..head.len().min(60)];
        assert!(status(&received).is_none_or(|status| (400..500).contains(&status)), "{start:?}: {received}");
    }
    server.client().get("/v2/").expect(200);
}

#[test]
fn random_bytes_do_no_harm() {
    let server = TestStowage::start();
    for seed in 0..150_u64 {
        let mut noise = bytes(seed, usize::try_from(seed * 7 % 900).unwrap());
        if seed % 3 == 0 {
            let mut request = b"GET /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
            request.append(&mut noise);
            request.extend_from_slice(b"\r\n\r\n");
            noise = request;
        }
        let received = raw(&server, &noise);
        assert!(status(&received).is_none_or(|status| (400..500).contains(&status)), "{seed}: {received}");
    }
    server.client().get("/v2/").expect(200);
}

#[test]
fn requests_that_are_cut_anywhere_do_no_harm() {
    let server = TestStowage::start();
    let digest = sha256(b"some content");
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 12\r\n\r\nsome content"
    );
    for end in (0..request.len()).step_by(7) {
        let received = raw(&server, &request.as_bytes()[..end]);
        assert!(status(&received).is_none_or(|status| (400..500).contains(&status)), "{end}: {received}");
        server.client().head(&format!("/v2/a/blobs/{digest}")).expect(404);
    }
    assert_eq!(status(&raw(&server, request.as_bytes())), Some(201));
}

#[test]
fn headers_that_are_no_text_are_as_good_as_absent() {
    let server = TestStowage::start();
    push_image(&server.client(), "a", "t", b"layer");
    let blob = sha256(b"layer");
    for (path, header) in [
        ("/v2/a/manifests/t".to_owned(), "If-None-Match"),
        ("/v2/a/manifests/t".to_owned(), "Accept"),
        (format!("/v2/a/blobs/{blob}"), "Range"),
        (format!("/v2/a/blobs/{blob}"), "If-None-Match"),
        ("/v2/".to_owned(), "Authorization"),
    ] {
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}: ").into_bytes();
        request.extend_from_slice(b"\xff\xfe\x80\r\n\r\n");
        assert_eq!(status(&raw(&server, &request)), Some(200), "{header}");
    }
}

#[test]
fn long_and_strange_queries_do_no_harm() {
    let server = TestStowage::start();
    push_image(&server.client(), "a", "t", b"layer");
    let long = "x".repeat(20_000);
    for query in [
        format!("last={long}"),
        format!("{}={}", &long[..10_000], &long[..10_000]),
        "n=1&".repeat(5000),
        "%".to_owned(),
        "%00=%00&last=%00".to_owned(),
        "last=%ff%fe".to_owned(),
        "last=\u{e4}".replace('\u{e4}', "%C3%A4"),
    ] {
        let response = server.client().get(&format!("/v2/a/tags/list?{query}"));
        assert!(matches!(response.status, 200 | 400), "{}", response.status);
    }
    let query = format!("artifactType={long}");
    server.client().get(&format!("/v2/a/referrers/{}?{query}", sha256(b"x"))).expect(200);
    let tags = "tag=x&".repeat(3000);
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    put_manifest(&server.client(), "a", &format!("{}?{tags}", sha256(body)), OCI_INDEX, body).expect(201);
}

#[test]
fn a_manifest_of_random_bytes_is_refused() {
    let server = TestStowage::start();
    for seed in 0..40 {
        let body = bytes(seed, usize::try_from(seed * 101).unwrap());
        put_manifest(&server.client(), "a", "t", OCI_INDEX, &body).expect_error(400, "MANIFEST_INVALID");
    }
}

//! Connections: keep-alive, early answers, and what is no HTTP at all.

use std::io::{BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::TestStowage;
use crate::support::client::read_response;
use crate::support::content::{
    bytes, close_upload, open_upload, push_blob, push_image, put_manifest, sha256,
};

#[test]
fn a_tls_client_hello_on_the_plain_port_is_answered_at_once() {
    let server = TestStowage::start();
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend_from_slice(&bytes(1, 506));
    let mut stream = server.client().connect();
    let started = Instant::now();
    stream.write_all(&hello).unwrap();
    let mut received = Vec::new();
    // The connection may be reset: bytes that were never read are on their way.
    let _ = stream.read_to_end(&mut received);
    assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    assert!(
        received.is_empty() || received.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&received)
    );
}

#[test]
fn one_connection_serves_many_requests() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let mut reader = BufReader::new(client.connect());
    for (method, path, status) in [
        ("GET", "/v2/", 200),
        ("HEAD", "/v2/a/manifests/t", 200),
        ("GET", "/v2/a/manifests/x", 404),
        ("HEAD", "/v2/a/manifests/x", 404),
        ("DELETE", "/v2/", 405),
        ("OPTIONS", "/v2/", 204),
        ("GET", "/v2/a/tags/list", 200),
    ] {
        write!(reader.get_mut(), "{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_response(&mut reader, method == "HEAD").expect(status);
    }
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_order() {
    let server = TestStowage::start();
    let client = server.client();
    let mut expected = Vec::new();
    let mut requests = String::new();
    for index in 0..20 {
        let content = bytes(index, 5000);
        let digest = push_blob(&client, "a", &content);
        requests += &format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
        expected.push(content);
    }
    let mut reader = BufReader::new(client.connect());
    reader.get_mut().write_all(requests.as_bytes()).unwrap();
    for content in expected {
        assert_eq!(read_response(&mut reader, false).expect(200).body, content);
    }
}

#[test]
fn a_whole_upload_goes_through_one_connection() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let content = bytes(1, 1_200_000);
    let mut reader = BufReader::new(client.connect());
    for part in content.chunks(400_000) {
        write!(
            reader.get_mut(),
            "PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            part.len()
        )
        .unwrap();
        reader.get_mut().write_all(part).unwrap();
        read_response(&mut reader, false).expect(202);
    }
    let digest = sha256(&content);
    write!(reader.get_mut(), "PUT {upload}?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    read_response(&mut reader, false).expect(201);
    write!(reader.get_mut(), "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(read_response(&mut reader, false).expect(200).body == content);
}

#[test]
fn an_answer_over_a_kept_connection_does_not_wait_for_acknowledgements() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "a", &bytes(1, 100 << 10));
    let mut reader = BufReader::new(client.connect());
    let mut times = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        write!(reader.get_mut(), "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_response(&mut reader, false).expect(200);
        times.push(started.elapsed());
    }
    // A delayed acknowledgement would cost 40 ms each time; a busy machine only makes some of them slow.
    times.sort_unstable();
    assert!(times[10] < Duration::from_millis(20), "{times:?}");
}

#[test]
fn a_client_that_waits_for_100_gets_it_and_then_its_answer() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let mut reader = BufReader::new(client.connect());
    let headers = [("Expect", "100-continue"), ("Content-Length", "3")];
    reader.get_mut().write_all(client.head_of("PATCH", &upload, &headers).as_bytes()).unwrap();
    let mut answer = [0; 25];
    reader.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    reader.get_mut().write_all(b"abc").unwrap();
    read_response(&mut reader, false).expect(202);
}

#[test]
fn a_large_body_that_is_refused_early_does_not_hide_the_error() {
    let server = TestStowage::start();
    let client = server.client();
    let large = bytes(1, 30_000_000);
    let gone = open_upload(&client, "a");
    client.delete(&gone).expect(204);
    client.patch(&gone, &large).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.send_chunked("PATCH", &gone, &large, 100_000).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    close_upload(&client, &gone, &sha256(&large), &large).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.patch("/v2/A/blobs/uploads/x", &large).expect_error(400, "NAME_INVALID");
    client.post("/v2/a/blobs/uploads/?digest=sha256:x", &large).expect_error(400, "DIGEST_INVALID");
    put_manifest(&client, "a", "t", OCI_MANIFEST, &large).expect_error(413, "MANIFEST_INVALID");
    client.send_chunked("PUT", "/v2/a/manifests/t", &large, 100_000).expect_error(413, "MANIFEST_INVALID");
    client.send("DELETE", "/v2/", &[("Content-Length", "30000000")], &large).expect_error(405, "UNSUPPORTED");
}

#[test]
fn a_client_that_asks_for_the_end_of_the_connection_gets_it() {
    let server = TestStowage::start();
    let mut stream = server.client().connect();
    write!(stream, "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert!(received.starts_with("HTTP/1.1 200") && received.ends_with("{}"), "{received}");
}

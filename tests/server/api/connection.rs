//! Connections: keep-alive, early responses, and bytes that are not HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use stowage::server::LARGEST_HEAD;

use crate::support::client::read_response;
use crate::support::content::{bytes, open_upload, push_blob, push_image, sha256};
use crate::support::{TestStowage, once_within};

#[test]
fn a_tls_client_hello_on_the_plain_port_is_answered_at_once() {
    let server = TestStowage::start();
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.extend_from_slice(&bytes(1, 506));
    let answer = || {
        let mut stream = server.client().connect();
        stream.write_all(&hello).unwrap();
        let mut received = Vec::new();
        // The connection may be reset, because the server has not read all bytes.
        let _ = stream.read_to_end(&mut received);
        let text = String::from_utf8_lossy(&received).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "{text}");
    };
    // crane tries something else after 300 ms.
    once_within(Duration::from_millis(300), "an answer at once", answer);
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
    let mut requests = Vec::new();
    for index in 0..20 {
        let content = bytes(index, 5000);
        let digest = push_blob(&client, "a", &content);
        let _ = write!(requests, "GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
        expected.push(content);
    }
    let mut reader = BufReader::new(client.connect());
    reader.get_mut().write_all(&requests).unwrap();
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
    // Many small pieces are many small writes, which Nagle's algorithm would delay.
    let pieces: Vec<String> = (0..20).map(|index| format!("{}-{}", index * 10, index * 10 + 3)).collect();
    for range in ["bytes=0-", &format!("bytes={}", pieces.join(","))] {
        let mut reader = BufReader::new(client.connect());
        let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\nRange: {range}\r\n\r\n");
        // The first responses on a connection are acknowledged at once; later ones would be delayed by 40 ms
        // each.
        once_within(Duration::from_millis(41 * 20), "41 answers without a delay", || {
            for _ in 0..41 {
                reader.get_mut().write_all(request.as_bytes()).unwrap();
                read_response(&mut reader, false).expect(206);
            }
        });
    }
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
fn nobody_is_told_to_send_a_body_before_the_caller_is_recognised() {
    let server = TestStowage::with_sign_in();
    for (client, status) in [(server.client(), 401), (server.admin(), 400)] {
        let mut reader = BufReader::new(client.connect());
        let headers = [("Expect", "100-continue"), ("Content-Length", "3")];
        let head = client.head_of("PUT", "/v2/a/manifests/t", &headers);
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if status == 401 {
            assert!(line.starts_with("HTTP/1.1 401"), "{line}");
            continue;
        }
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        reader.read_line(&mut line).unwrap();
        reader.get_mut().write_all(b"{}}").unwrap();
        read_response(&mut reader, false).expect(status);
    }
}

#[test]
fn a_post_of_http_1_0_without_a_length_has_no_body() {
    let server = TestStowage::start();
    for keep in ["", "Connection: keep-alive\r\n"] {
        let mut reader = BufReader::new(server.client().connect());
        for _ in 0..if keep.is_empty() { 1 } else { 3 } {
            write!(reader.get_mut(), "POST /v2/a/b/blobs/uploads/ HTTP/1.0\r\nHost: x\r\n{keep}\r\n")
                .unwrap();
            read_response(&mut reader, false).expect(202);
        }
    }
    let mut reader = BufReader::new(server.client().connect());
    let upload = "POST /v2/a/b/blobs/uploads/?digest=";
    let digest = sha256(b"abc");
    write!(reader.get_mut(), "{upload}{digest} HTTP/1.0\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    read_response(&mut reader, false).expect(201);
}

#[test]
fn posts_of_http_1_0_may_end_their_lines_with_lf_and_be_sent_ahead() {
    let server = TestStowage::start();
    let post = "POST /v2/a/b/blobs/uploads/ HTTP/1.0";
    for requests in [
        vec![format!("{post}\r\nHost: x\n\n")],
        vec![format!("{post}\nHost: x\n\r\n")],
        vec![format!("{post}\nConnection: keep-alive\nHost: x\n\n"), format!("{post}\nHost: x\n\n")],
        vec![format!("{post}\r\nConnection: keep-alive\r\nHost: x\r\n\r\n"); 3],
    ] {
        let mut reader = BufReader::new(server.client().connect());
        reader.get_mut().write_all(requests.concat().as_bytes()).unwrap();
        for request in &requests {
            let started = read_response(&mut reader, false);
            assert_eq!(started.status, 202, "{request:?}");
        }
    }
}

#[test]
fn a_request_that_would_become_a_websocket_is_refused() {
    let server = TestStowage::start();
    let digest = sha256(b"abc");
    for (request, body) in [
        ("GET /v2/".to_owned(), ""),
        ("POST /v2/a/blobs/uploads/".to_owned(), "xxxx"),
        (format!("POST /v2/a/blobs/uploads/?digest={digest}"), "abc"),
        ("POST /token".to_owned(), "x=y"),
    ] {
        for length in ["", &format!("Content-Length: {}\r\n", body.len())] {
            let mut reader = BufReader::new(server.client().connect());
            let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
            write!(reader.get_mut(), "{request} HTTP/1.1\r\nHost: x\r\n{upgrade}{length}\r\n{body}").unwrap();
            let refused = read_response(&mut reader, false).expect_error(400, "UNSUPPORTED");
            assert!(refused.message().contains("Upgrade"), "{request}: {}", refused.message());
            assert_eq!(reader.read(&mut [0]).unwrap(), 0, "{request}: the connection is closed");
        }
    }
    // An upgrade to any other protocol is ignored, and the request is answered.
    let mut reader = BufReader::new(server.client().connect());
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    write!(reader.get_mut(), "GET /v2/ HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n").unwrap();
    read_response(&mut reader, false).expect(200);
}

#[test]
fn a_head_that_is_too_large_is_answered_with_the_limit() {
    let server = TestStowage::start();
    let limit = format!("{} KiB", LARGEST_HEAD >> 10);
    let cookies = "x".repeat(LARGEST_HEAD + 5000);
    let many = "X: y\r\n".repeat(200);
    for (head, said) in [
        (format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n"), limit.as_str()),
        (format!("GET /v2/{cookies} HTTP/1.1\r\nHost: x\r\n\r\n"), &limit),
        (format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "too many header lines"),
    ] {
        let mut reader = BufReader::new(server.client().connect());
        // A connection that is kept alive behaves like a new one.
        reader.get_mut().write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_response(&mut reader, false).expect(200);
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        let refused = read_response(&mut reader, false).expect_error(431, "UNSUPPORTED");
        assert!(refused.message().contains(said), "{}", refused.message());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the connection is closed");
    }
}

#[test]
fn what_is_no_http_is_answered_like_every_other_error() {
    let server = TestStowage::start();
    let mut reader = BufReader::new(server.client().connect());
    reader.get_mut().write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n").unwrap();
    read_response(&mut reader, false).expect_error(400, "UNSUPPORTED");
}

#[test]
fn a_large_body_that_is_refused_early_does_not_hide_the_error() {
    let server = TestStowage::start();
    let client = server.client();
    let large = bytes(1, 30_000_000);
    let gone = open_upload(&client, "a");
    client.delete(&gone).expect(204);
    client.send_chunked("PATCH", &gone, &large, 100_000).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.send_chunked("PUT", "/v2/a/manifests/t", &large, 100_000).expect_error(413, "MANIFEST_INVALID");
    for (method, path, status) in [
        ("PATCH", gone.clone(), 404),
        ("PUT", format!("{gone}?digest={}", sha256(&large)), 404),
        ("PATCH", "/v2/A/blobs/uploads/x".to_owned(), 400),
        ("POST", "/v2/a/blobs/uploads/?digest=sha256:x".to_owned(), 400),
        ("PUT", "/v2/a/manifests/t".to_owned(), 413),
        ("PUT", "/v2/a/manifests/-".to_owned(), 400),
        ("DELETE", "/v2/".to_owned(), 405),
    ] {
        let mut stream = client.connect();
        let head = client.head_of(method, &path, &[("Content-Length", "30000000")]);
        stream.write_all(head.as_bytes()).unwrap();
        // A server that closed at once would reset the connection, and many clients would report only that.
        stream.write_all(&large).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        read_response(&mut BufReader::new(stream), false).expect(status);
    }
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

#[test]
fn a_body_that_nobody_reads_is_never_taken_for_a_request() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let hidden = "DELETE /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5000);
    let gone = open_upload(&client, "a");
    client.delete(&gone).expect(204);
    for target in [
        format!("PATCH {gone}"),
        format!("PUT {gone}?digest={}", sha256(b"x")),
        "POST /v2/A/blobs/uploads/".to_owned(),
        "POST /v2/a/blobs/uploads/?digest=x".to_owned(),
        "PUT /v2/a/manifests/-".to_owned(),
        "POST /v2/".to_owned(),
        "GET /v2/a/tags/list".to_owned(),
        "GET /elsewhere".to_owned(),
        "DELETE /v2/a/manifests/unknown".to_owned(),
    ] {
        let mut reader = BufReader::new(client.connect());
        let head = format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", hidden.len());
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        reader.get_mut().write_all(hidden.as_bytes()).unwrap();
        // By then the request ends the connection, or its body was read and dropped.
        read_response(&mut reader, false);
        reader.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.fill_buf().unwrap(), b"", "{target}: something else was answered");
        client.get("/v2/a/manifests/t").expect(200);
    }
}

#[test]
fn a_request_without_a_length_has_no_body() {
    let server = TestStowage::start();
    let client = server.client();
    let mut reader = BufReader::new(client.connect());
    let mut send = |request: &str| {
        write!(reader.get_mut(), "{request} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_response(&mut reader, false)
    };
    let upload = send("POST /v2/a/blobs/uploads/").expect(202).location();
    assert_eq!(send(&format!("PATCH {upload}")).expect(202).header("range"), Some("0-0"));
    send(&format!("PUT {upload}?digest={}", sha256(b""))).expect(201);
    send(&format!("POST /v2/a/blobs/uploads/?digest={}", sha256(b"announced"))).expect(202);
    send(&format!("POST /v2/a/blobs/uploads/?digest={}", sha256(b""))).expect(201);
    send("PUT /v2/a/manifests/t").expect_error(400, "MANIFEST_INVALID");
}

#[test]
fn requests_of_http_1_0_and_with_the_whole_address_are_answered() {
    let server = TestStowage::start();
    push_image(&server.client(), "a", "t", b"layer");
    let absolute =
        format!("GET http://{}/v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nConnection: close", server.address);
    for request in ["GET /v2/ HTTP/1.0", "GET /v2/a/manifests/t HTTP/1.0\r\nHost: x", &absolute] {
        let mut stream = server.client().connect();
        write!(stream, "{request}\r\n\r\n").unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).unwrap();
        assert!(received.lines().next().unwrap().ends_with(" 200 OK"), "{request}: {received}");
    }
}

//! `PATCH` (end-5), and the last chunk in a `PUT` (end-6).

use crate::support::content::{blake3, bytes, close_upload, open_upload, send_chunk, sha256, sha512};
use crate::support::{Client, Response, TestStowage};

#[test]
fn chunks_in_order_make_the_blob_and_every_answer_tells_how_much_there_is() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 5000);
    for digest in [sha256(&content), sha512(&content), blake3(&content)] {
        let opened = open_upload(&client, "a");
        let mut upload = opened.clone();
        for (start, end) in [(0, 1024), (1024, 3000), (3000, 3001), (3001, 5000)] {
            let answer = send_chunk(&client, &upload, start, &content[start..end]).expect(202);
            assert_eq!(answer.header("range"), Some(format!("0-{}", end - 1).as_str()));
            assert_eq!(answer.header("content-length"), Some("0"));
            assert!(opened.ends_with(answer.header("docker-upload-uuid").expect("an id")));
            upload = answer.location();
            let standing = client.get(&upload).expect(204);
            assert_eq!(standing.header("range"), answer.header("range"));
        }
        let blob = close_upload(&client, &upload, &digest, b"").expect(201).location();
        assert!(client.get(&blob).expect(200).body == content);
    }
}

#[test]
fn the_last_chunk_may_come_with_the_put() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 4000);
    for range in [Some("3000-3999"), None] {
        let upload = open_upload(&client, "a");
        send_chunk(&client, &upload, 0, &content[..3000]).expect(202);
        let path = format!("{upload}?digest={}", sha256(&content));
        let headers: Vec<_> = range.map(|range| ("Content-Range", range)).into_iter().collect();
        let created = client.send("PUT", &path, &headers, &content[3000..]).expect(201);
        assert!(client.get(&created.location()).expect(200).body == content);
    }
}

#[test]
fn a_stream_without_length_type_and_range_makes_the_blob() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [Vec::new(), bytes(1, 1), bytes(1, 70_000), bytes(1, 3_000_000)] {
        let upload = open_upload(&client, "a");
        let answer = client.send_chunked("PATCH", &upload, &content, 32_768).expect(202);
        assert_eq!(answer.header("range"), Some(format!("0-{}", content.len().saturating_sub(1)).as_str()));
        let blob = close_upload(&client, &answer.location(), &sha256(&content), b"").expect(201).location();
        assert!(client.get(&blob).expect(200).body == content);
    }
}

#[test]
fn one_patch_with_a_length_alone_makes_the_blob() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [bytes(1, 10), bytes(1, 3_000_000)] {
        let upload = open_upload(&client, "a");
        let answer = client.patch(&upload, &content).expect(202);
        let blob = close_upload(&client, &answer.location(), &sha256(&content), b"").expect(201).location();
        assert!(client.get(&blob).expect(200).body == content);
    }
}

#[test]
fn a_stream_goes_on_where_the_upload_stands() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 300_000);
    let upload = open_upload(&client, "a");
    send_chunk(&client, &upload, 0, &content[..100_000]).expect(202);
    client.send_chunked("PATCH", &upload, &content[100_000..200_000], 9999).expect(202);
    let answer = client.patch(&upload, &content[200_000..]).expect(202);
    assert_eq!(answer.header("range"), Some("0-299999"));
    close_upload(&client, &upload, &sha256(&content), b"").expect(201);
}

/// Asserts that a chunk was refused with 416, and the headers that regctl needs to continue.
#[track_caller]
fn refused_at(response: Response, upload: &str, range: &str) {
    let response = response.expect_error(416, "RANGE_INVALID");
    assert_eq!(response.header("range"), Some(range));
    assert_eq!(response.location(), upload);
    assert!(upload.ends_with(response.header("docker-upload-uuid").expect("an id")));
}

#[test]
fn a_chunk_out_of_order_is_416_with_where_the_upload_stands() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 4000);
    let upload = open_upload(&client, "a");
    refused_at(send_chunk(&client, &upload, 1, &content[1..1000]), &upload, "0-0");
    send_chunk(&client, &upload, 0, &content[..2000]).expect(202);
    for (start, end) in [(0, 2000), (0, 1000), (1999, 3000), (2001, 3000), (3000, 4000)] {
        refused_at(send_chunk(&client, &upload, start, &content[start..end]), &upload, "0-1999");
        assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-1999"));
    }
    send_chunk(&client, &upload, 2000, &content[2000..]).expect(202);
    let blob = close_upload(&client, &upload, &sha256(&content), b"").expect(201).location();
    assert!(client.get(&blob).expect(200).body == content);
}

#[test]
fn a_large_chunk_out_of_order_is_416_and_the_client_reads_it() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    refused_at(send_chunk(&client, &upload, 10, &bytes(1, 20_000_000)), &upload, "0-2");
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

#[test]
fn a_malformed_content_range_is_416() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    for range in [
        "bytes 3-5/5",
        "bytes 3-5/",
        "items 3-5/6",
        "bytes */6",
        "*",
        "3",
        "3-",
        "-3",
        "-",
        "",
        "a-b",
        "5-3",
        "3-5-7",
        "+3-5",
        "3 - 5",
        "0x3-0x5",
        "3-99999999999999999999999",
        "３-５",
    ] {
        refused_at(client.send("PATCH", &upload, &[("Content-Range", range)], b"def"), &upload, "0-2");
        let path = format!("{upload}?digest={}", sha256(b"abcdef"));
        refused_at(client.send("PUT", &path, &[("Content-Range", range)], b"def"), &upload, "0-2");
    }
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

#[test]
fn a_content_range_may_be_written_as_http_libraries_write_it() {
    let server = TestStowage::start();
    let client = server.client();
    for range in ["bytes 3-5/6", "bytes 3-5/*", "bytes 3-5", "bytes=3-5", "3-5/6", "3-5"] {
        let upload = open_upload(&client, "a");
        client.patch(&upload, b"abc").expect(202);
        let path = format!("{upload}?digest={}", sha256(b"abcdef"));
        client.send("PUT", &path, &[("Content-Range", range)], b"def").expect(201);
        let upload = open_upload(&client, "a");
        client.patch(&upload, b"abc").expect(202);
        let answer = client.send("PATCH", &upload, &[("Content-Range", range)], b"def").expect(202);
        assert_eq!(answer.header("range"), Some("0-5"), "{range}");
        // The announced range and the received bytes must agree.
        client
            .send("PATCH", &upload, &[("Content-Range", "bytes 6-9/10")], b"x")
            .expect_error(400, "SIZE_INVALID");
        let elsewhere = client.send("PATCH", &upload, &[("Content-Range", "bytes 3-5/6")], b"def");
        refused_at(elsewhere, &upload, "0-5");
    }
}

#[test]
fn a_malformed_content_range_is_told_the_right_form() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let refused =
        client.send("PATCH", &upload, &[("Content-Range", "0-")], b"abc").expect_error(416, "RANGE_INVALID");
    let message = refused.message();
    assert!(message.contains("malformed") && message.contains("Content-Range: 0-1023"), "{message}");
}

#[test]
fn a_closing_put_out_of_order_is_416_and_the_upload_goes_on() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 3000);
    for digest in [sha256(&content), sha512(&content), sha256(b"wrong as well")] {
        let upload = open_upload(&client, "a");
        let path = format!("{upload}?digest={digest}");
        refused_at(client.send("PUT", &path, &[("Content-Range", "1-2999")], &content[1..]), &upload, "0-0");
        send_chunk(&client, &upload, 0, &content[..2000]).expect(202);
        for (start, end) in [(0, 3000), (1000, 3000), (2001, 3000)] {
            let range = format!("{start}-{}", end - 1);
            let put = client.send("PUT", &path, &[("Content-Range", &range)], &content[start..end]);
            refused_at(put, &upload, "0-1999");
            assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-1999"));
        }
        let put = client.send("PUT", &path, &[("Content-Range", "2000-2999")], &content[2000..]);
        put.expect(if digest == sha256(b"wrong as well") { 400 } else { 201 });
    }
}

#[test]
fn a_content_range_that_contradicts_the_content_length_is_400_and_adds_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    for range in ["3-4", "3-6", "3-3", "3-18446744073709551615", "0-18446744073709551615"] {
        let headers = [("Content-Range", range)];
        client.send("PATCH", &upload, &headers, b"def").expect_error(400, "SIZE_INVALID");
        let path = format!("{upload}?digest={}", sha256(b"abcdef"));
        client.send("PUT", &path, &headers, b"def").expect_error(400, "SIZE_INVALID");
        assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-2"));
    }
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

/// Sends a chunk of unannounced length.
fn send_chunked_range(client: &Client, path: &str, method: &str, range: &str, body: &[u8]) -> Response {
    let framed = format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8_lossy(body));
    let headers = [("Transfer-Encoding", "chunked"), ("Content-Range", range)];
    client.send(method, path, &headers, framed.as_bytes())
}

#[test]
fn a_chunk_of_unannounced_length_must_have_the_length_of_its_content_range() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    send_chunked_range(&client, &upload, "PATCH", "0-2", b"abc").expect(202);
    for range in ["3-4", "3-6", "3-300"] {
        let refused = send_chunked_range(&client, &upload, "PATCH", range, b"def");
        let refused = refused.expect_error(400, "SIZE_INVALID");
        assert_eq!(refused.header("range"), Some("0-2"));
        let path = format!("{upload}?digest={}", sha256(b"abcdef"));
        send_chunked_range(&client, &path, "PUT", range, b"def").expect_error(400, "SIZE_INVALID");
        assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-2"));
    }
    send_chunked_range(&client, &upload, "PATCH", "3-5", b"def").expect(202);
    close_upload(&client, &upload, &sha256(b"abcdef"), b"").expect(201);
}

#[test]
fn an_empty_patch_changes_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    assert_eq!(client.patch(&upload, b"").expect(202).header("range"), Some("0-0"));
    client.patch(&upload, b"abc").expect(202);
    assert_eq!(client.patch(&upload, b"").expect(202).header("range"), Some("0-2"));
    assert_eq!(client.send("PATCH", &upload, &[("Transfer-Encoding", "chunked")], b"0\r\n\r\n").status, 202);
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

#[test]
fn a_chunk_may_have_any_content_type() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    for content_type in [
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/json",
        "text/plain",
        "x",
    ] {
        client.send("PATCH", &upload, &[("Content-Type", content_type)], b"{").expect(202);
    }
    close_upload(&client, &upload, &sha256(b"{{{{{"), b"").expect(201);
}

#[test]
fn a_stale_location_still_works() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"ab").expect(202);
    client.patch(&format!("{upload}?_state=older"), b"c").expect(202);
    close_upload(&client, &format!("{upload}?_state=older"), &sha256(b"abc"), b"").expect(201);
}

#[test]
fn the_bytes_of_a_chunk_are_kept_whatever_its_encoding_and_framing() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    for encoding in ["gzip", "zstd", "deflate", "br", "aws-chunked"] {
        client.send("PATCH", &upload, &[("Content-Encoding", encoding)], b"\x1f\x8b").expect(202);
    }
    let framed = b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trailer: yes\r\n\r\n";
    client.send("PATCH", &upload, &[("Transfer-Encoding", "chunked")], framed).expect(202);
    let content = [b"\x1f\x8b".repeat(5).as_slice(), b"abc0123456789"].concat();
    let blob = close_upload(&client, &upload, &sha256(&content), b"").expect(201).location();
    assert_eq!(client.get(&blob).expect(200).body, content);
}

//! Uploads whose connection breaks continue at the offset that the registry reports.

use std::io::{BufReader, Read as _, Write as _};
use std::net::Shutdown;

use crate::support::client::read_response;
use crate::support::content::{bytes, close_upload, open_upload, send_chunk, sha256};
use crate::support::{Client, Setup, TestStowage, eventually};

/// Sends the head and the first `sent` bytes of a request, and breaks the connection.
fn cut(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], sent: &[u8]) {
    let mut stream = client.connect();
    stream.write_all(client.head_of(method, path, headers).as_bytes()).expect("the head is sent");
    stream.write_all(sent).expect("the bytes are sent");
}

/// Bytes that the upload has received.
fn offset(client: &Client, upload: &str) -> usize {
    let standing = client.get(upload).expect(204);
    let range = standing.header("range").and_then(|range| range.strip_prefix("0-"));
    let last: usize = range.and_then(|last| last.parse().ok()).expect("a range");
    // 0-0 means an empty upload; these tests never send a single byte.
    if last == 0 { 0 } else { last + 1 }
}

/// Continues an upload as clients do: from the reported offset, and again whenever that has changed.
fn resume(client: &Client, upload: &str, content: &[u8]) -> String {
    loop {
        let start = offset(client, upload);
        if start < content.len() {
            let answer = send_chunk(client, upload, start, &content[start..]);
            if answer.status == 416 {
                continue;
            }
            answer.expect(202);
        }
        return close_upload(client, upload, &sha256(content), b"").expect(201).location();
    }
}

/// Sends the beginning of a body, waits until the upload has some of it, sends more, and breaks the
/// connection. Returns the least number of bytes that the upload must have.
fn cut_in_the_middle(
    client: &Client,
    upload: &str,
    headers: &[(&str, &str)],
    begin: &[u8],
    more: &[u8],
) -> usize {
    let mut stream = client.connect();
    stream.write_all(client.head_of("PATCH", upload, headers).as_bytes()).expect("the head is sent");
    stream.write_all(begin).expect("the bytes are sent");
    eventually("the upload has some bytes", || offset(client, upload) > 0);
    let had = offset(client, upload);
    stream.write_all(more).expect("the bytes are sent");
    had
}

#[test]
fn a_cut_chunk_leaves_what_the_upload_had_and_goes_on_from_there() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 3_000_000);
    let (begin, more) = (&content[..1_000_000], &content[1_000_000..2_000_000]);
    for range in [Some("0-2999999"), None] {
        let upload = open_upload(&client, "a");
        let mut headers = vec![("Content-Length", "3000000")];
        headers.extend(range.map(|range| ("Content-Range", range)));
        let had = cut_in_the_middle(&client, &upload, &headers, begin, more);
        assert!((had..=2_000_000).contains(&offset(&client, &upload)));
        let blob = resume(&client, &upload, &content);
        assert!(client.get(&blob).expect(200).body == content);
    }
}

#[test]
fn a_cut_stream_leaves_what_the_upload_had_and_goes_on_from_there() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 2_000_000);
    let upload = open_upload(&client, "a");
    let begin = [format!("{:x}\r\n", content.len()).as_bytes(), &content[..1_000_000]].concat();
    let headers = [("Transfer-Encoding", "chunked")];
    let had = cut_in_the_middle(&client, &upload, &headers, &begin, &content[1_000_000..1_500_000]);
    assert!((had..=1_500_000).contains(&offset(&client, &upload)));
    let blob = resume(&client, &upload, &content);
    assert!(client.get(&blob).expect(200).body == content);
}

#[test]
fn a_small_chunk_that_is_cut_goes_on_from_the_offset_that_is_reported() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 100_000);
    let upload = open_upload(&client, "a");
    for sent in [60_000, 80_000] {
        let headers = [("Content-Length", "100000"), ("Content-Range", "0-99999")];
        cut(&client, "PATCH", &upload, &headers, &content[..sent]);
        assert!(offset(&client, &upload) <= 80_000);
    }
    let blob = resume(&client, &upload, &content);
    assert!(client.get(&blob).expect(200).body == content);
}

#[test]
fn a_cut_put_makes_no_blob_and_keeps_the_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 2_000_000);
    let upload = open_upload(&client, "a");
    // Also if the received part has the digest, because the client announced more.
    let path = format!("{upload}?digest={}", sha256(&content[..1_500_000]));
    cut(&client, "PUT", &path, &[("Content-Length", "2000000")], &content[..1_500_000]);
    eventually("the upload has some bytes", || offset(&client, &upload) > 0);
    client.head(&format!("/v2/a/blobs/{}", sha256(&content[..1_500_000]))).expect(404);
    resume(&client, &upload, &content);
}

#[test]
fn a_cut_single_post_leaves_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    for (size, sent) in [(100_000, 50_000), (3_000_000, 2_000_000)] {
        let content = bytes(1, size);
        let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(&content[..sent]));
        cut(&client, "POST", &path, &[("Content-Length", &size.to_string())], &content[..sent]);
        eventually("the repository is gone with its upload", || client.get("/v2/a/tags/list").status == 404);
        client.head(&format!("/v2/a/blobs/{}", sha256(&content[..sent]))).expect(404);
    }
    let uploads = server.directory.join("uploads");
    eventually("no file is left", || std::fs::read_dir(&uploads).unwrap().count() == 0);
}

#[test]
fn a_client_that_stops_sending_is_told_how_much_came() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let mut stream = client.connect();
    stream.write_all(client.head_of("PATCH", &upload, &[("Content-Length", "100")]).as_bytes()).unwrap();
    stream.write_all(&[b'x'; 40]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut first = [0];
    if stream.peek(&mut first).is_ok_and(|read| read > 0) {
        let answer = read_response(&mut BufReader::new(stream), false).expect_error(400, "SIZE_INVALID");
        assert_eq!(answer.header("range"), Some("0-39"));
    } else {
        // The server may also just close the connection, which the client has abandoned.
        assert_eq!(stream.read(&mut first).unwrap_or(0), 0);
    }
    eventually("what came is there", || offset(&client, &upload) == 40);
}

#[test]
fn sixty_four_uploads_that_are_cut_at_once_all_go_on() {
    let server = TestStowage::start();
    std::thread::scope(|scope| {
        for index in 0..64_u64 {
            let client = server.client();
            scope.spawn(move || {
                let size = if index % 2 == 0 { 300_000 } else { 1_500_000 };
                let content = bytes(index, size);
                let upload = open_upload(&client, "a");
                for cut_at in [size / 5, size / 2] {
                    let start = offset(&client, &upload);
                    let (length, range) = ((size - start).to_string(), format!("{start}-{}", size - 1));
                    let headers = [("Content-Length", length.as_str()), ("Content-Range", range.as_str())];
                    cut(&client, "PATCH", &upload, &headers, &content[start..start.max(cut_at)]);
                }
                let blob = resume(&client, &upload, &content);
                assert!(client.get(&blob).expect(200).body == content, "{index}");
            });
        }
    });
}

#[test]
fn an_upload_goes_on_while_its_silent_connection_is_still_open() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 2_000_000);
    let upload = open_upload(&client, "a");
    let mut silent = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", "2000000")]);
    silent.write_all(head.as_bytes()).unwrap();
    silent.write_all(&content[..1_000_000]).unwrap();
    eventually("a batch came", || offset(&client, &upload) > 0);
    let blob = resume(&client, &upload, &content);
    assert!(client.get(&blob).expect(200).body == content);
}

#[test]
fn a_connection_that_stays_silent_is_given_up_and_its_upload_stays() {
    let mut setup = Setup::default();
    setup.config.server.client_idle_timeout = "1s".parse().unwrap();
    let server = TestStowage::with(setup);
    let client = server.client();
    let content = bytes(1, 2_000_000);
    for (length, sent) in [("2000000", 1_000_000), ("1000", 500)] {
        let upload = open_upload(&client, "a");
        let mut silent = client.connect();
        let head = client.head_of("PATCH", &upload, &[("Content-Length", length)]);
        silent.write_all(head.as_bytes()).unwrap();
        silent.write_all(&content[..sent]).unwrap();
        let answer = read_response(&mut BufReader::new(silent), false).expect_error(400, "SIZE_INVALID");
        assert_eq!(answer.header("range"), Some(format!("0-{}", sent - 1).as_str()));
        resume(&client, &upload, &content);
    }
    let mut silent = client.connect();
    let head = client.head_of("PUT", "/v2/a/manifests/t", &[("Content-Length", "1000")]);
    silent.write_all(head.as_bytes()).unwrap();
    silent.write_all(b"{").unwrap();
    read_response(&mut BufReader::new(silent), false).expect_error(400, "SIZE_INVALID");
}

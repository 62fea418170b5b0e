//! SIGTERM: running requests are completed, and idle connections are not waited for.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Stowage, assert_whole, offset};
use crate::support::client::read_response;
use crate::support::content::{bytes, close_upload, open_upload, push_blob, send_chunk, sha256};
use crate::support::eventually;

const SIZE: usize = 4 << 20;
/// The grace period of a stop: a shorter stop means that nothing was waited for.
const GRACE: Duration = Duration::from_mins(1);

/// Sends the head of a request with a body of `SIZE` bytes, and the first half of it.
fn send_half(server: &Stowage, method: &str, path: &str, content: &[u8]) -> TcpStream {
    let client = server.client();
    let mut stream = client.connect();
    let head = client.head_of(method, path, &[("Content-Length", &content.len().to_string())]);
    stream.write_all(head.as_bytes()).expect("the head is sent");
    stream.write_all(&content[..content.len() / 2]).expect("the half is sent");
    stream
}

#[test]
fn uploads_under_way_are_finished_before_the_server_stops() {
    let dir = TempDir::new().unwrap();
    let mut server = Stowage::start(dir.path());
    let contents: Vec<Vec<u8>> = (1..=3).map(|seed| bytes(seed, SIZE)).collect();
    let chunked = open_upload(&server.client(), "team/app");
    let closed = open_upload(&server.client(), "team/app");
    let single = format!("/v2/team/app/blobs/uploads/?digest={}", sha256(&contents[0]));
    let closing = format!("{closed}?digest={}", sha256(&contents[1]));
    let requests = [("POST", single.as_str(), 201), ("PUT", &closing, 201), ("PATCH", &chunked, 202)];
    let streams: Vec<TcpStream> = requests
        .iter()
        .zip(&contents)
        .map(|((method, path, _), content)| send_half(&server, method, path, content))
        .collect();
    eventually("the halves are there", || {
        [&closed, &chunked].iter().all(|upload| server.client().get(upload).header("range") != Some("0-0"))
    });

    server.terminate();
    eventually("no more connections are taken", || TcpStream::connect(server.address).is_err());
    for ((mut stream, content), (method, _, status)) in streams.into_iter().zip(&contents).zip(requests) {
        stream.write_all(&content[content.len() / 2..]).unwrap();
        let answer = read_response(&mut BufReader::new(stream), false);
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
    let answered = Instant::now();
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(answered.elapsed() < GRACE, "it stopped after {:?}", answered.elapsed());
    assert_whole(dir.path());

    let server = Stowage::start(dir.path());
    let client = server.client();
    for content in &contents[..2] {
        let blob = format!("/v2/team/app/blobs/{}", sha256(content));
        assert!(client.get(&blob).expect(200).body == *content);
    }
    let last = format!("0-{}", SIZE - 1);
    assert_eq!(client.get(&chunked).expect(204).header("range"), Some(last.as_str()));
}

#[test]
fn a_download_under_way_is_finished_before_the_server_stops() {
    let dir = TempDir::new().unwrap();
    let mut server = Stowage::start(dir.path());
    // More than the buffers of both ends hold.
    let content = bytes(4, 32 << 20);
    let digest = push_blob(&server.client(), "team/app", &content);
    let client = server.client();
    let mut stream = client.connect();
    stream.write_all(client.head_of("GET", &format!("/v2/team/app/blobs/{digest}"), &[]).as_bytes()).unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"H");
    server.terminate();
    eventually("no more connections are taken", || TcpStream::connect(server.address).is_err());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&content));
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn idle_connections_do_not_hold_up_the_stop() {
    let dir = TempDir::new().unwrap();
    let mut server = Stowage::start(dir.path());
    let idle: Vec<TcpStream> = (0..20)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            // Some connections have had a response and are kept alive, some never had a request.
            if number % 2 == 0 {
                stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let answer = read_response(&mut BufReader::new(stream.try_clone().unwrap()), false);
                assert_eq!(answer.status, 200);
            }
            stream
        })
        .collect();
    let asked = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(asked.elapsed() < GRACE, "it stopped after {:?}", asked.elapsed());
    drop(idle);
}

#[test]
fn an_upload_that_does_not_move_is_kept_for_the_next_server() {
    let dir = TempDir::new().unwrap();
    let content = bytes(5, SIZE);
    let mut server = Stowage::start_with(dir.path(), &[("STOWAGE__SERVER__SHUTDOWN_GRACE", "2s")]);
    let upload = open_upload(&server.client(), "team/app");
    let stream = send_half(&server, "PATCH", &upload, &content);
    eventually("a part of it is there", || offset(&server.client(), &upload) > 0);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    drop(stream);
    let server = Stowage::start(dir.path());
    let start = offset(&server.client(), &upload);
    assert!((1..=SIZE / 2).contains(&start), "the upload stands at byte {start}");
    send_chunk(&server.client(), &upload, start, &content[start..]).expect(202);
    let blob = close_upload(&server.client(), &upload, &sha256(&content), b"").expect(201).location();
    assert!(server.client().get(&blob).expect(200).body == content);
}

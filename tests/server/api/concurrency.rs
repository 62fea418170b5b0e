//! Many clients at once.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::client::read_response;
use crate::support::content::{
    bytes, close_upload, image, open_upload, push_blob, push_image, put_manifest, send_chunk, sha256,
};
use crate::support::{Client, Response, Setup, TestStowage, eventually};

/// Runs `work` in this many threads, which start together, and returns their results.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let start = |index| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(index)
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    let mut statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn one_blob_may_be_uploaded_64_times_at_once() {
    let server = TestStowage::start();
    let content = bytes(1, 200_000);
    let digest = sha256(&content);
    let answers = at_once(64, |index| {
        let client = server.client();
        match index % 3 {
            0 => client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), &content),
            1 => close_upload(&client, &open_upload(&client, "a"), &digest, &content),
            _ => {
                let upload = open_upload(&client, "b");
                client.patch(&upload, &content).expect(202);
                close_upload(&client, &upload, &digest, b"")
            }
        }
    });
    assert_eq!(statuses(&answers), [201; 64]);
    for name in ["a", "b"] {
        assert!(server.client().get(&format!("/v2/{name}/blobs/{digest}")).expect(200).body == content);
    }
}

#[test]
fn more_uploads_than_places_wait_for_their_turn() {
    let mut setup = Setup::default();
    setup.config.registry.max_concurrent_uploads = 2;
    let server = TestStowage::with(setup);
    at_once(16, |index| {
        let content = bytes(index as u64, 100_000);
        push_blob(&server.client(), "a", &content);
    });
}

#[test]
fn of_many_equal_chunks_at_once_one_is_taken_and_the_others_get_416() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"start").expect(202);
    let chunk = bytes(1, 50_000);
    let answers = at_once(16, |_| send_chunk(&server.client(), &upload, 5, &chunk));
    assert_eq!(statuses(&answers), [[202].as_slice(), &[416; 15]].concat());
    let content = [b"start", chunk.as_slice()].concat();
    close_upload(&client, &upload, &sha256(&content), b"").expect(201);
}

#[test]
fn of_many_puts_that_close_an_upload_one_succeeds() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 50_000);
    let upload = open_upload(&client, "a");
    client.patch(&upload, &content).expect(202);
    let answers = at_once(8, |_| close_upload(&server.client(), &upload, &sha256(&content), b""));
    assert_eq!(statuses(&answers), [[201].as_slice(), &[404; 7]].concat());
    assert!(client.get(&format!("/v2/a/blobs/{}", sha256(&content))).expect(200).body == content);
}

const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

/// Begins a request whose body follows later, and waits until the server handles it.
fn begin(client: &Client, upload: &str, framing: (&str, &str)) -> BufReader<TcpStream> {
    let mut stream = client.connect();
    let headers = [framing, ("Expect", "100-continue")];
    stream.write_all(client.head_of("PATCH", upload, &headers).as_bytes()).expect("the head is sent");
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).expect("100 Continue");
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    BufReader::new(stream)
}

#[test]
fn of_two_streams_into_one_upload_the_second_gets_416_and_adds_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let mut first = begin(&client, &upload, CHUNKED);
    let body = vec![b'x'; 300_000];
    write!(first.get_mut(), "{:x}\r\n", body.len()).unwrap();
    first.get_mut().write_all(&body).unwrap();
    eventually("the first has the upload", || client.get(&upload).header("range") != Some("0-0"));
    let refused = client.send_chunked("PATCH", &upload, b"zzz", 3).expect_error(416, "RANGE_INVALID");
    assert!(refused.message().contains("another request is sending"), "{}", refused.message());
    first.get_mut().write_all(b"\r\n1\r\ny\r\n0\r\n\r\n").unwrap();
    read_response(&mut first, false).expect(202);
    let content = [body.as_slice(), b"y"].concat();
    close_upload(&client, &upload, &sha256(&content), b"").expect(201);
}

#[test]
fn of_two_bodies_of_known_length_the_one_that_begins_second_gets_416_and_adds_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    let mut late = begin(&client, &upload, ("Content-Length", "4"));
    let refused = client.patch(&upload, b"abc").expect_error(416, "RANGE_INVALID");
    assert_eq!(refused.header("range"), Some("0-0"));
    late.get_mut().write_all(b"late").unwrap();
    read_response(&mut late, false).expect(202);
    close_upload(&client, &upload, &sha256(b"late"), b"").expect(201);
}

#[test]
fn of_a_body_under_way_and_the_close_of_its_upload_the_second_is_refused() {
    let server = TestStowage::start();
    let client = server.client();
    for framing in [("Content-Length", "4"), CHUNKED] {
        let upload = open_upload(&client, "a");
        client.patch(&upload, b"abc").expect(202);
        let mut late = begin(&client, &upload, framing);
        close_upload(&client, &upload, &sha256(b"abc"), b"").expect_error(416, "RANGE_INVALID");
        let body = if framing == CHUNKED { &b"4\r\nlate\r\n0\r\n\r\n"[..] } else { b"late" };
        late.get_mut().write_all(body).unwrap();
        read_response(&mut late, false).expect(202);
        client.get(&format!("/v2/a/blobs/{}", sha256(b"abc"))).expect(404);
        close_upload(&client, &upload, &sha256(b"abclate"), b"").expect(201);
    }
}

#[test]
fn a_body_that_is_silent_gives_way_to_the_next_one() {
    let server = TestStowage::start();
    let client = server.client();
    // A small body is collected before any of it is written; a large one is written while it is received.
    for length in ["4", "3000000"] {
        let upload = open_upload(&client, "a");
        let _silent = begin(&client, &upload, ("Content-Length", length));
        eventually("the silent one gives way", || client.patch(&upload, b"abc").status == 202);
        close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
    }
}

#[test]
fn a_cancelled_upload_ends_its_body_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"keeps the repository");
    for framing in [("Content-Length", "4"), ("Content-Length", "3000000"), CHUNKED] {
        let upload = open_upload(&client, "a");
        let _under_way = begin(&client, &upload, framing);
        client.delete(&upload).expect(204);
        client.get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_tag_that_many_push_points_to_one_of_their_manifests() {
    let server = TestStowage::start();
    let manifests = at_once(16, |index| push_image(&server.client(), "a", "t", &bytes(index as u64, 100)));
    let tagged = server.client().get("/v2/a/manifests/t").expect(200);
    assert!(manifests.contains(&tagged.body));
    for manifest in &manifests {
        let got = server.client().get(&format!("/v2/a/manifests/{}", sha256(manifest))).expect(200);
        assert_eq!(&got.body, manifest);
    }
}

#[test]
fn one_manifest_may_be_pushed_many_times_at_once_under_many_tags() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    let manifest = image(&[b"layer"]);
    let answers = at_once(32, |index| {
        put_manifest(&server.client(), "a", &format!("t{index:02}"), OCI_MANIFEST, &manifest)
    });
    assert_eq!(statuses(&answers), [201; 32]);
    let tags = client.get("/v2/a/tags/list").expect(200).json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 32);
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    client.delete(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(202);
}

#[test]
fn a_manifest_and_the_deletion_of_its_blob_never_both_succeed() {
    let server = TestStowage::start();
    for index in 0..20_u64 {
        let client = server.client();
        let layer = bytes(index, 100);
        push_blob(&client, "a", b"{}");
        let blob = format!("/v2/a/blobs/{}", push_blob(&client, "a", &layer));
        let manifest = image(&[&layer]);
        let answers = at_once(2, |side| match side {
            0 => put_manifest(&server.client(), "a", "t", OCI_MANIFEST, &manifest).status,
            _ => server.client().delete(&blob).status,
        });
        let there = client.head(&blob).status == 200;
        assert!(
            matches!((answers[0], answers[1], there), (201, 405, true) | (400, 202, false)),
            "{answers:?}"
        );
    }
}

#[test]
fn pushing_into_a_repository_that_others_empty_never_fails_inside() {
    let server = TestStowage::start();
    at_once(8, |index| {
        let client = server.client();
        let layer = [u8::try_from(index).unwrap()];
        for _ in 0..15 {
            let manifest = image(&[&layer]);
            for content in [&b"{}"[..], &layer] {
                let upload = open_upload(&client, "a");
                client.patch(&upload, content).expect(202);
                close_upload(&client, &upload, &sha256(content), b"").expect(201);
            }
            // Another client may have deleted a blob before the manifest referred to it.
            let pushed = put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).status;
            assert!(matches!(pushed, 201 | 400), "{pushed}");
            let deleted = client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).status;
            assert_eq!(deleted == 202, pushed == 201, "no other client deletes it");
            for content in [&b"{}"[..], &layer] {
                let deleted = client.delete(&format!("/v2/a/blobs/{}", sha256(content))).status;
                assert!(matches!(deleted, 202 | 404 | 405), "{deleted}");
            }
        }
    });
    server.client().get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
}

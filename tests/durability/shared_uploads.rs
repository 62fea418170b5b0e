//! Two clients send to one upload: one of them wins, and the bytes are exactly the winner's.

use std::sync::Barrier;
use std::{fs, thread};

use crate::process::{Stowage, assert_whole, directory_in_memory};
use crate::support::content::{bytes, close_upload, open_upload, send_chunk, sha256};
use crate::support::{Client, Response, TestStowage};

const SIZE: usize = 700_000;

/// Runs both at the same moment.
fn race<T: Send>(left: impl FnOnce() -> T + Send, right: impl FnOnce() -> T + Send) -> (T, T) {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let right = scope.spawn(|| {
            barrier.wait();
            right()
        });
        barrier.wait();
        (left(), right.join().expect("no panic"))
    })
}

fn pull(client: &Client, content: &[u8]) -> Response {
    client.get(&format!("/v2/a/blobs/{}", sha256(content)))
}

#[test]
fn of_two_chunks_for_the_same_place_one_is_taken() {
    let server = TestStowage::start();
    let client = server.client();
    for round in 0..10 {
        let contents = [bytes(2 * round + 1, SIZE), bytes(2 * round + 2, SIZE)];
        let upload = open_upload(&client, "a");
        let send = |content: &[u8]| send_chunk(&client, &upload, 0, content);
        let (left, right) = race(|| send(&contents[0]), || send(&contents[1]));
        let (winner, loser) = match (left.status, right.status) {
            (202, 416) => (&contents[0], right),
            (416, 202) => (&contents[1], left),
            other => panic!("{other:?}"),
        };
        assert_eq!(loser.code(), "RANGE_INVALID");
        // The offset of the winner at that moment is not known.
        assert!(loser.header("range").is_some_and(|range| range.starts_with("0-")), "{loser:?}");
        close_upload(&client, &upload, &sha256(winner), b"").expect(201);
        assert!(pull(&client, winner).expect(200).body == *winner);
    }
}

#[test]
fn of_two_streams_one_is_taken_or_both_follow_each_other_whole() {
    let server = TestStowage::start();
    let client = server.client();
    for round in 0..10 {
        let contents = [bytes(2 * round + 1, SIZE), bytes(2 * round + 2, SIZE)];
        let upload = open_upload(&client, "a");
        let send = |content: &[u8]| client.send_chunked("PATCH", &upload, content, 100_000).status;
        let expected = match race(|| send(&contents[0]), || send(&contents[1])) {
            (202, 416) => contents[0].clone(),
            (416, 202) => contents[1].clone(),
            (202, 202) if first_bytes(&server, &upload) == contents[0][..64] => contents.concat(),
            (202, 202) => [&contents[1][..], &contents[0]].concat(),
            other => panic!("{other:?}"),
        };
        close_upload(&client, &upload, &sha256(&expected), b"").expect(201);
        assert!(pull(&client, &expected).expect(200).body == expected);
    }
}

/// Uploads may rest for a day, and must not hold open files meanwhile.
#[test]
fn an_upload_that_rests_has_no_file_open() {
    let directory = directory_in_memory();
    let server = Stowage::start(directory.path());
    let client = server.client();
    let content = bytes(1, SIZE);
    let uploads: Vec<String> = (0..20).map(|_| open_upload(&client, "a")).collect();
    for upload in &uploads {
        send_chunk(&client, upload, 0, &content[..SIZE / 2]).expect(202);
        client.get(upload).expect(204);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("its open files");
    let open = open.filter_map(|entry| fs::read_link(entry.expect("an entry").path()).ok());
    let staged: Vec<_> =
        open.filter(|path| path.parent().is_some_and(|dir| dir.ends_with("uploads"))).collect();
    assert!(staged.is_empty(), "{staged:?}");
    for upload in &uploads {
        send_chunk(&client, upload, SIZE / 2, &content[SIZE / 2..]).expect(202);
        close_upload(&client, upload, &sha256(&content), b"").expect(201);
    }
    assert!(pull(&client, &content).expect(200).body == content);
    server.stop();
    assert_whole(directory.path());
}

/// The first bytes of an upload's file.
fn first_bytes(server: &TestStowage, upload: &str) -> Vec<u8> {
    let id = upload.rsplit('/').next().expect("an id");
    let content = fs::read(server.directory.join("uploads").join(id)).expect("the file is there");
    content[..64].to_vec()
}

#[test]
fn of_a_chunk_and_a_closing_put_one_is_taken() {
    let server = TestStowage::start();
    let client = server.client();
    for round in 0..10 {
        let (content, late) = (bytes(2 * round + 1, SIZE), bytes(2 * round + 2, 300_000));
        let upload = open_upload(&client, "a");
        send_chunk(&client, &upload, 0, &content[..SIZE / 2]).expect(202);
        let (put, patch) = race(
            || close_upload(&client, &upload, &sha256(&content), &content[SIZE / 2..]),
            || client.patch(&upload, &late),
        );
        match (put.status, patch.status) {
            // The PUT was first: the upload does not exist any more.
            (201, 404) => {}
            // The PUT was first, while the chunk was being received.
            (201, 416) => assert_eq!(patch.code(), "RANGE_INVALID"),
            // The chunk was first: the PUT announced another offset.
            (416, 202) => {
                let whole = [&content[..SIZE / 2], &late].concat();
                close_upload(&client, &upload, &sha256(&whole), b"").expect(201);
                assert!(pull(&client, &whole).expect(200).body == whole);
                pull(&client, &content).expect(404);
                continue;
            }
            // The chunk was complete before the PUT, whose digest then does not match.
            (400, 202) => {
                assert_eq!(put.code(), "DIGEST_INVALID");
                pull(&client, &content).expect(404);
                continue;
            }
            other => panic!("{other:?}"),
        }
        assert!(pull(&client, &content).expect(200).body == content);
    }
}

#[test]
fn of_two_closing_puts_one_is_told_that_the_upload_is_over() {
    let server = TestStowage::start();
    let client = server.client();
    for round in 0..10 {
        let content = bytes(round + 1, SIZE);
        let upload = open_upload(&client, "a");
        send_chunk(&client, &upload, 0, &content).expect(202);
        let close = || close_upload(&client, &upload, &sha256(&content), b"").status;
        let statuses = race(close, close);
        assert!(matches!(statuses, (201, 404) | (404, 201)), "{statuses:?}");
        assert!(pull(&client, &content).expect(200).body == content);
    }
}

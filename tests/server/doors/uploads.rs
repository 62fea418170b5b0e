//! An upload ends when its owner may no longer sign in, also in the middle of a body.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::doors::people::{JSON, add, secret, token};
use crate::support::client::read_response;
use crate::support::content::{bytes, open_upload, push_image};
use crate::support::{Client, TestStowage, eventually};

/// Begins a body of a hundred megabytes and sends the first part of it.
fn begin(client: &Client, upload: &str) -> TcpStream {
    let mut stream = client.connect();
    let head = client.head_of("PATCH", upload, &[("Content-Length", "100000000")]);
    stream.write_all(head.as_bytes()).expect("the head is sent");
    stream.write_all(&bytes(1, 2_000_000)).expect("the bytes are sent");
    eventually("some bytes came", || client.get(upload).header("range") != Some("0-0"));
    stream
}

fn staged(server: &TestStowage) -> usize {
    std::fs::read_dir(server.directory.join("uploads")).expect("the directory of uploads").count()
}

/// Asserts that the server has ended the request: with a refusal, or by closing the connection.
fn assert_ended(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut first = [0];
    if reader.get_mut().peek(&mut first).is_ok_and(|read| read > 0) {
        let status = read_response(&mut reader, false).status;
        assert!(matches!(status, 401 | 403 | 404), "{status}");
    } else {
        assert_eq!(reader.read(&mut first).unwrap_or(0), 0);
    }
}

#[test]
fn the_uploads_of_a_user_who_is_disabled_or_deleted_end_with_what_they_sent() {
    let server = TestStowage::with_sign_in();
    for delete in [false, true] {
        let name = format!("bob{delete}");
        let bob = add(&server, &name, false);
        let (under_way, resting) = (open_upload(&bob, "team/app"), open_upload(&bob, "team/app"));
        bob.patch(&resting, b"some bytes").expect(202);
        let stream = begin(&bob, &under_way);
        assert_eq!(staged(&server), 2);
        let path = format!("/api/v1/users/{name}");
        if delete {
            server.admin().delete(&path).expect(204);
        } else {
            server.admin().send("PATCH", &path, JSON, br#"{"disabled":true}"#).expect(200);
        }
        eventually("no file is left", || staged(&server) == 0);
        assert_ended(stream);
        // The repository was not created again.
        eventually("the repository is gone", || server.admin().get("/v2/team/app/tags/list").status == 404);
    }
}

/// The distance between two checkpoints of a body.
const CHECKPOINT: usize = 32 << 20;

#[test]
fn no_checkpoint_of_a_disabled_user_makes_a_deleted_repository_again() {
    let server = TestStowage::with_sign_in();
    let bob = add(&server, "bob", false);
    push_image(&server.admin(), "team/app", "latest", b"layer");
    let upload = open_upload(&bob, "team/app");
    let mut stream = begin(&bob, &upload);
    let piece = bytes(2, 1 << 20);
    for _ in 0..CHECKPOINT / piece.len() {
        stream.write_all(&piece).expect("the bytes are sent");
    }
    server.admin().send("PATCH", "/api/v1/users/bob", JSON, br#"{"disabled":true}"#).expect(200);
    server.admin().delete("/api/v1/repositories/team/app").expect(204);
    let status = || server.admin().get("/v2/team/app/tags/list").status;
    eventually("the repository is gone with bob's upload", || status() == 404);
    // More bytes than up to the next checkpoint. The server may have closed the connection.
    for _ in 0..CHECKPOINT / piece.len() + 8 {
        if stream.write_all(&piece).is_err() {
            break;
        }
        assert_eq!(status(), 404);
    }
    assert_ended(stream);
    eventually("no file is left", || staged(&server) == 0);
    assert_eq!(status(), 404);
}

#[test]
fn the_uploads_of_a_token_that_is_revoked_end_and_those_of_its_user_go_on() {
    let server = TestStowage::with_sign_in();
    let bob = add(&server, "bob", false);
    let kept = open_upload(&bob, "team/app");
    bob.patch(&kept, b"some bytes").expect(202);
    let made = token(&server, &json!({ "user": "bob", "name": "ci", "scopes": ["write_registry"] }));
    let client = server.client().basic("bob", made["secret"].as_str().expect("a secret"));
    let upload = open_upload(&client, "team/app");
    let stream = begin(&client, &upload);
    server.admin().delete(&format!("/api/v1/tokens/{}", made["id"])).expect(200);
    eventually("its file is gone", || staged(&server) == 1);
    assert_ended(stream);
    bob.get(&kept).expect(204);
    let other = server.client().basic("bob", &secret(&server, "bob", &["write_registry"]));
    other.get(&kept).expect(404);
}

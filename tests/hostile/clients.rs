//! What real clients do at their busiest meets no limit.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;

use serde_json::Value;
use stowage::config::Config;
use stowage::model::media_type::OCI_MANIFEST;

use crate::load::alone;
use crate::process::{Setup, Stowage};
use crate::support::Client;
use crate::support::client::read_response;
use crate::support::content::{
    bytes, close_upload, image, open_upload, push_blob, push_image, push_manifest, sha256,
};

const PASSWORD: &str = "harbour-crane-and-rope";

/// A server whose users sign in.
fn server() -> Stowage {
    Stowage::start(&Setup { password: Some(PASSWORD), level: "info,stowage::access=off", ..Setup::default() })
}

fn admin(server: &Stowage) -> Client {
    server.client().basic("admin", PASSWORD)
}

/// No principal has met a limit: neither was one refused, nor did one wait.
#[track_caller]
fn assert_no_limit_was_met(server: &Stowage) {
    let system = admin(server).get("/api/v1/system").expect(200).json();
    assert_eq!(system["limits"], Value::Array(Vec::new()));
}

/// Runs `work` in so many threads that start together.
fn at_once(count: usize, work: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        for number in 0..count {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(number);
            });
        }
    });
}

/// A client with a registry token, as docker and the others ask for it.
fn signed_in(server: &Stowage, credentials: &Client, scope: &str) -> Client {
    let path = format!("/token?service=stowage&scope={scope}");
    let answer = credentials.get(&path).expect(200).json();
    server.client().authorization(&format!("Bearer {}", answer["token"].as_str().expect("a token")))
}

/// `HEAD`, `POST`, `PATCH` as a stream, `PUT`.
fn push_layer(client: &Client, name: &str, layer: &[u8]) {
    let digest = sha256(layer);
    client.head(&format!("/v2/{name}/blobs/{digest}")).expect(404);
    let upload = open_upload(client, name);
    let upload = client.send_chunked("PATCH", &upload, layer, 32 << 10).expect(202).location();
    close_upload(client, &upload, &digest, b"").expect(201);
}

#[test]
fn docker_pushes_eight_layers_at_once() {
    let _turn = alone();
    let server = server();
    let client = signed_in(&server, &admin(&server), "repository:team/app:pull,push");
    let layers: Vec<Vec<u8>> = (0..8).map(|seed| bytes(seed, 3 << 20)).collect();
    at_once(layers.len(), |number| push_layer(&client, "team/app", &layers[number]));
    push_blob(&client, "team/app", b"{}");
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    push_manifest(&client, "team/app", "latest", OCI_MANIFEST, &image(&layers));
    assert_no_limit_was_met(&server);
    server.assert_small();
}

#[test]
fn buildkit_pushes_sixty_four_blobs_at_once() {
    let _turn = alone();
    let server = server();
    let client = signed_in(&server, &admin(&server), "repository:team/cache:pull,push");
    let barrier = Barrier::new(64);
    at_once(64, |number| {
        let content = bytes(number as u64, 1_500_000);
        let upload = open_upload(&client, "team/cache");
        // All of them are open, and then all of them send.
        barrier.wait();
        close_upload(&client, &upload, &sha256(&content), &content).expect(201);
    });
    assert_no_pushes_failed(&server);
}

/// Bodies may wait for one of the places for those that move fast; none of them was refused.
#[track_caller]
fn assert_no_pushes_failed(server: &Stowage) {
    let system = admin(server).get("/api/v1/system").expect(200).json();
    let places = Config::default().registry.max_concurrent_uploads as u64;
    for standing in system["limits"].as_array().expect("a list") {
        assert_eq!(standing["setting"], "registry.max_concurrent_uploads", "{standing}");
        assert!(standing["limit"].as_u64().expect("a number") <= places, "{standing}");
    }
}

#[test]
fn fifty_jobs_of_one_personal_token_push_layers_of_4_mib() {
    let _turn = alone();
    let server = server();
    let made =
        server.command(&["token", "create", "admin", "--name", "ci", "--scopes", "write_registry"], "");
    assert!(made.status.success(), "{made:?}");
    let secret = String::from_utf8(made.stdout).expect("text");
    let token = server.client().basic("admin", secret.trim());
    at_once(50, |job| {
        let name = format!("team/job{}", job % 5);
        let client = signed_in(&server, &token, &format!("repository:{name}:pull,push"));
        for layer in 0..2 {
            push_layer(&client, &name, &bytes((job * 2 + layer) as u64, 4 << 20));
        }
    });
    assert_no_pushes_failed(&server);
    server.assert_small();
}

#[test]
fn kaniko_opens_thousands_of_sessions_and_uses_none() {
    let _turn = alone();
    let server = server();
    let client = signed_in(&server, &admin(&server), "repository:team/app:pull,push");
    push_image(&client, "team/app", "before", b"layer");
    let limit = Config::default().limits.upload_sessions;
    let head = client.head_of("POST", "/v2/team/app/blobs/uploads/", &[("Content-Length", "0")]);
    let head = head.replace("Connection: close\r\n", "");
    let stream = server.client().connect();
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut post = |mut stream: &TcpStream, count: usize| {
        stream.write_all(head.repeat(count).as_bytes()).expect("the server reads");
        (0..count).map(|_| read_response(&mut reader, false).expect(202).location()).collect::<Vec<_>>()
    };
    let first = post(&stream, 1).remove(0);
    let mut last = String::new();
    // One under way all the time keeps its place.
    let used = open_upload(&client, "team/app");
    client.patch(&used, b"some bytes").expect(202);
    for _ in 0..3 * limit / 64 {
        last = post(&stream, 64).pop().expect("one at least");
    }
    client.get(&first).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    close_upload(&client, &last, &sha256(b"last"), b"last").expect(201);
    close_upload(&client, &used, &sha256(b"some bytes"), b"").expect(201);
    push_image(&client, "team/app", "after", b"another layer");
    assert_no_limit_was_met(&server);
    server.assert_small();
}

#[test]
fn two_hundred_nodes_behind_one_address_sign_in_and_pull_at_once() {
    let _turn = alone();
    let server = server();
    let manifest = push_image(&admin(&server), "team/app", "latest", &bytes(1, 300_000));
    let digest = sha256(&bytes(1, 300_000));
    at_once(200, |_| {
        server.client().get("/v2/").expect(401);
        let client = signed_in(&server, &admin(&server), "repository:team/app:pull");
        assert!(client.get("/v2/team/app/manifests/latest").expect(200).body == manifest);
        client.get(&format!("/v2/team/app/blobs/{digest}")).expect(200);
    });
    assert_no_limit_was_met(&server);
}

/// Each node fetches layers over six connections, which it keeps.
#[test]
fn two_hundred_nodes_of_one_user_keep_their_connections() {
    let _turn = alone();
    let server = server();
    let manifest = push_image(&admin(&server), "team/app", "latest", b"layer");
    let all = Barrier::new(200);
    at_once(200, |_| {
        let client = signed_in(&server, &admin(&server), "repository:team/app:pull");
        let head = client.head_of("GET", "/v2/team/app/manifests/latest", &[]);
        let head = head.replace("Connection: close\r\n", "");
        let kept: Vec<_> = (0..6)
            .map(|_| {
                let mut reader = BufReader::new(server.client().connect());
                reader.get_mut().write_all(head.as_bytes()).expect("the server reads");
                assert!(read_response(&mut reader, false).expect(200).body == manifest);
                reader
            })
            .collect();
        all.wait();
        drop(kept);
    });
    assert_no_limit_was_met(&server);
}

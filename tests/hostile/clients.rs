//! Real clients at their busiest meet no limit.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;

use serde_json::Value;
use stowage::config::Config;
use stowage::limits::Resource;
use stowage::model::media_type::OCI_MANIFEST;

use crate::attack::{Flood, PASSWORD, Site, Tally, Who};
use crate::support::Client;
use crate::support::client::read_response;
use crate::support::content::{
    bytes, close_upload, image, open_upload, push_blob, push_image, push_manifest, sha256,
};

/// The principals that met a limit, or waited at one.
fn standings(site: &Site) -> Vec<Value> {
    let admin = site.server.client().basic("admin", PASSWORD);
    admin.get("/api/v1/system").expect(200).json()["limits"].as_array().expect("a list").clone()
}

/// Asserts that no principal met a limit: none was refused, and none had to wait.
#[track_caller]
fn assert_no_limit_was_met(site: &Site) {
    assert_eq!(standings(site), [] as [Value; 0]);
}

/// Asserts that no body was refused. Bodies may wait for a slot among those that arrive fast.
#[track_caller]
fn assert_no_pushes_failed(site: &Site) {
    let places = Config::default().registry.max_concurrent_uploads as u64;
    for standing in standings(site) {
        assert_eq!(standing["setting"], "registry.max_concurrent_uploads", "{standing}");
        assert!(standing["limit"].as_u64().expect("a number") <= places, "{standing}");
    }
}

/// Runs `work` in this many threads that start together, each of which must get at least `answers` responses.
fn at_once(site: &Site, name: &str, count: usize, answers: usize, work: impl Fn(usize, &Tally) + Sync) {
    let barrier = Barrier::new(count);
    let flood = Flood {
        name,
        senders: count,
        accepted: count * answers,
        refusals: &[401, 404],
        work: &|number, tally| {
            barrier.wait();
            work(number, tally);
        },
    };
    let outcome = site.flooded(&flood);
    outcome.assert_held();
    assert_eq!(outcome.limited, 0, "no client meets a limit");
}

/// A client with a registry token, requested as docker does.
fn signed_in(site: &Site, credentials: &Client, scope: &str) -> Client {
    let path = format!("/token?service=stowage&scope={scope}");
    let answer = credentials.get(&path).expect(200).json();
    site.server.client().authorization(&format!("Bearer {}", answer["token"].as_str().expect("a token")))
}

/// `HEAD`, `POST`, `PATCH` as a stream, `PUT`: four responses.
fn push_layer(client: &Client, name: &str, layer: &[u8], tally: &Tally) {
    let digest = sha256(layer);
    tally.tell(client.head(&format!("/v2/{name}/blobs/{digest}")).expect(404).status);
    let upload = open_upload(client, name);
    tally.tell(202);
    let patched = client.send_chunked("PATCH", &upload, layer, 32 << 10).expect(202);
    tally.tell(patched.status);
    tally.tell(close_upload(client, &patched.location(), &digest, b"").expect(201).status);
}

#[test]
fn docker_pushes_eight_layers_at_once() {
    let site = Site::start(Who::User, "");
    let client = signed_in(&site, &site.attacker, "repository:team/app:pull,push");
    let layers: Vec<Vec<u8>> = (0..8).map(|seed| bytes(seed, 3 << 20)).collect();
    at_once(&site, "docker pushes 8 layers", layers.len(), 4, |number, tally| {
        push_layer(&client, "team/app", &layers[number], tally);
    });
    push_blob(&client, "team/app", b"{}");
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    push_manifest(&client, "team/app", "latest", OCI_MANIFEST, &image(&layers));
    assert_no_limit_was_met(&site);
}

#[test]
fn buildkit_pushes_sixty_four_blobs_at_once() {
    let site = Site::start(Who::User, "");
    let client = signed_in(&site, &site.attacker, "repository:team/cache:pull,push");
    let barrier = Barrier::new(64);
    at_once(&site, "buildkit pushes 64 blobs", 64, 1, |number, tally| {
        let content = bytes(number as u64, 1_500_000);
        let upload = open_upload(&client, "team/cache");
        // First all of them are open, then all of them send.
        barrier.wait();
        tally.tell(close_upload(&client, &upload, &sha256(&content), &content).expect(201).status);
    });
    assert_no_pushes_failed(&site);
}

#[test]
fn fifty_jobs_of_one_personal_token_push_layers_of_4_mib() {
    let site = Site::start(Who::User, "");
    at_once(&site, "50 jobs of one personal token", 50, 8, |job, tally| {
        let name = format!("team/job{}", job % 5);
        let client = signed_in(&site, &site.attacker, &format!("repository:{name}:pull,push"));
        for layer in 0..2 {
            push_layer(&client, &name, &bytes((job * 2 + layer) as u64, 4 << 20), tally);
        }
    });
    assert_no_pushes_failed(&site);
}

#[test]
fn kaniko_opens_thousands_of_sessions_and_uses_none() {
    let site = Site::start(Who::User, "");
    let client = signed_in(&site, &site.attacker, "repository:team/app:pull,push");
    push_image(&client, "team/app", "before", b"layer");
    let head = client.head_of("POST", "/v2/team/app/blobs/uploads/", &[("Content-Length", "0")]);
    let head = head.replace("Connection: close\r\n", "");
    // An upload that is being used is not evicted.
    let used = open_upload(&client, "team/app");
    client.patch(&used, b"some bytes").expect(202);
    let opened = 3 * site.limit(Resource::UploadSessions);
    at_once(&site, "kaniko opens sessions and uses none", 1, opened, |_, tally| {
        let stream = client.connect();
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut post = |mut stream: &TcpStream, count: usize| {
            stream.write_all(head.repeat(count).as_bytes()).expect("the server reads");
            let answers = (0..count).map(|_| read_response(&mut reader, false).expect(202));
            let told = answers.inspect(|answer| tally.tell(answer.status));
            told.map(|answer| answer.location()).collect::<Vec<_>>()
        };
        let first = post(&stream, 1).remove(0);
        let mut last = String::new();
        for _ in 0..opened.div_ceil(64) {
            last = post(&stream, 64).pop().expect("one at least");
        }
        client.get(&first).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        close_upload(&client, &last, &sha256(b"last"), b"last").expect(201);
    });
    close_upload(&client, &used, &sha256(b"some bytes"), b"").expect(201);
    push_image(&client, "team/app", "after", b"another layer");
    assert_no_limit_was_met(&site);
}

#[test]
fn two_hundred_nodes_behind_one_address_sign_in_and_pull_at_once() {
    let site = Site::start(Who::User, "");
    let manifest = push_image(&site.attacker, "team/app", "latest", &bytes(1, 300_000));
    let digest = sha256(&bytes(1, 300_000));
    at_once(&site, "200 nodes behind one address pull", 200, 3, |_, tally| {
        tally.tell(site.server.client().get("/v2/").expect(401).status);
        let client = signed_in(&site, &site.attacker, "repository:team/app:pull");
        let pulled = client.get("/v2/team/app/manifests/latest").expect(200);
        tally.tell(pulled.status);
        assert!(pulled.body == manifest);
        tally.tell(client.get(&format!("/v2/team/app/blobs/{digest}")).expect(200).status);
    });
    assert_no_limit_was_met(&site);
}

/// Each node fetches layers over six connections, which it keeps alive.
#[test]
fn two_hundred_nodes_of_one_user_keep_their_connections() {
    let site = Site::start(Who::User, "");
    let manifest = push_image(&site.attacker, "team/app", "latest", b"layer");
    let all = Barrier::new(200);
    at_once(&site, "200 nodes of one user keep 6 connections each", 200, 6, |_, tally| {
        let client = signed_in(&site, &site.attacker, "repository:team/app:pull");
        let head = client.head_of("GET", "/v2/team/app/manifests/latest", &[]);
        let head = head.replace("Connection: close\r\n", "");
        let kept: Vec<_> = (0..6)
            .map(|_| {
                let mut reader = BufReader::new(site.server.client().connect());
                reader.get_mut().write_all(head.as_bytes()).expect("the server reads");
                let pulled = read_response(&mut reader, false).expect(200);
                tally.tell(pulled.status);
                assert!(pulled.body == manifest);
                reader
            })
            .collect();
        all.wait();
        drop(kept);
    });
    assert_no_limit_was_met(&site);
}

//! `kill -9` of the server: what was acknowledged is there, and an upload continues from its last checkpoint.

use std::fs;
use std::io::Write as _;

use stowage::model::media_type::OCI_MANIFEST;
use tempfile::TempDir;

use crate::process::{Stowage, assert_whole, offset};
use crate::support::content::{
    bytes, close_upload, image, open_upload, push_blob, push_manifest, send_chunk, sha256,
};
use crate::support::eventually;

const MIB: usize = 1 << 20;
/// The distance of checkpoints in a long request.
const CHECKPOINT: usize = 32 * MIB;

#[test]
fn an_upload_whose_server_is_killed_in_its_patch_goes_on_at_its_checkpoint() {
    let dir = TempDir::new().unwrap();
    let content = bytes(1, 64 * MIB);
    let server =
        Stowage::start_with(dir.path(), &[("STOWAGE__LOG__LEVEL", "info,stowage::registry::uploads=debug")]);
    let client = server.client();
    let upload = open_upload(&client, "team/app");
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", &content.len().to_string())]);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[..48 * MIB]).unwrap();
    eventually("a checkpoint", || server.log().contains("a checkpoint of an upload is durable"));
    stream.write_all(&content[48 * MIB..56 * MIB]).unwrap();
    server.kill();
    drop(stream);

    let server = Stowage::start(dir.path());
    let client = server.client();
    let start = offset(&client, &upload);
    assert!((CHECKPOINT..=56 * MIB).contains(&start), "the upload stands at byte {start}");
    send_chunk(&client, &upload, start, &content[start..]).expect(202);
    let blob = close_upload(&client, &upload, &sha256(&content), b"").expect(201).location();
    assert!(client.get(&blob).expect(200).body == content);
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn every_acknowledged_chunk_outlives_a_kill() {
    let dir = TempDir::new().unwrap();
    let content = bytes(2, 3 * MIB);
    let mut server = Stowage::start(dir.path());
    let upload = open_upload(&server.client(), "team/app");
    for start in [0, MIB, 2 * MIB] {
        send_chunk(&server.client(), &upload, start, &content[start..start + MIB]).expect(202);
        server.kill();
        server = Stowage::start(dir.path());
        assert_eq!(offset(&server.client(), &upload), start + MIB);
    }
    close_upload(&server.client(), &upload, &sha256(&content), b"").expect(201);
    server.kill();
    let server = Stowage::start(dir.path());
    let blob = format!("/v2/team/app/blobs/{}", sha256(&content));
    assert!(server.client().get(&blob).expect(200).body == content);
    server.client().get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn a_blob_and_a_manifest_are_there_when_their_201_was_the_last_thing_the_server_did() {
    let dir = TempDir::new().unwrap();
    let layer = bytes(3, 300_000);
    let server = Stowage::start(dir.path());
    push_blob(&server.client(), "team/app", b"{}");
    let digest = push_blob(&server.client(), "team/app", &layer);
    server.kill();

    let server = Stowage::start(dir.path());
    assert!(server.client().get(&format!("/v2/team/app/blobs/{digest}")).expect(200).body == layer);
    let manifest = image(&[&layer]);
    push_manifest(&server.client(), "team/app", "latest", OCI_MANIFEST, &manifest);
    server.kill();

    let server = Stowage::start(dir.path());
    let pulled = server.client().get("/v2/team/app/manifests/latest").expect(200);
    assert!(pulled.body == manifest);
    assert_eq!(pulled.header("content-type"), Some(OCI_MANIFEST));
    server.client().delete("/v2/team/app/manifests/latest").expect(202);
    server.kill();

    let server = Stowage::start(dir.path());
    server.client().get("/v2/team/app/manifests/latest").expect_error(404, "MANIFEST_UNKNOWN");
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn what_an_upload_sent_before_its_first_checkpoint_goes_with_the_server() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    let client = server.client();
    let upload = open_upload(&client, "team/app");
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", "8000000")]);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes(4, 4_000_000)).unwrap();
    eventually("a part of it is in its file", || {
        fs::read_dir(dir.path().join("uploads")).unwrap().next().is_some()
    });
    server.kill();
    let server = Stowage::start(dir.path());
    server.client().get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    eventually("its file is swept", || fs::read_dir(dir.path().join("uploads")).unwrap().next().is_none());
}

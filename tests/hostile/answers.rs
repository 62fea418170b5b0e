//! Answers that nobody reads.

use std::fmt::Write as _;

use serde_json::json;
use stowage::model::media_type::{OCI_CONFIG, OCI_MANIFEST};

use crate::load::{alone, connect_deaf, push_and_pull};
use crate::process::Stowage;
use crate::support::content::{bytes, descriptor, push_blob, push_image, push_manifest};

#[test]
fn requests_sent_ahead_by_the_thousand_without_reading_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    push_image(&server.client(), "team/app", "t", b"layer");
    let ahead = "GET /v2/team/app/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let streams = connect_deaf(&server, 100, ahead.as_bytes());
    push_and_pull(&server.client(), "meanwhile");
    server.assert_small();
    server.assert_at_rest();
    drop(streams);
    server.assert_at_rest();
}

#[test]
fn large_manifests_that_nobody_reads_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    push_blob(&client, "team/app", b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [],
        "annotations": { "a": "x".repeat(4_000_000) },
    });
    push_manifest(&client, "team/app", "large", OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    let request = b"GET /v2/team/app/manifests/large HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    let streams = connect_deaf(&server, 100, &request);
    push_and_pull(&client, "meanwhile");
    server.assert_small();
    server.assert_at_rest();
    drop(streams);
    push_and_pull(&client, "afterwards");
    server.assert_at_rest();
}

#[test]
fn large_blobs_that_nobody_reads_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let digest = push_blob(&client, "team/app", &bytes(1, 16 << 20));
    let mut request = String::new();
    let _ = write!(request, "GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    let streams = connect_deaf(&server, 200, request.as_bytes());
    push_and_pull(&client, "meanwhile");
    server.assert_small();
    server.assert_at_rest();
    drop(streams);
    server.assert_at_rest();
}

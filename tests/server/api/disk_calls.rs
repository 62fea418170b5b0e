//! The exact system calls on blobs and on the database, in order, for the most frequent requests of docker.
//! An additional call costs speed, which no benchmark might notice; a missing one, or one too early, loses
//! durability.

use std::sync::Arc;

use stowage::app::Hooks;
use stowage::model::media_type::OCI_MANIFEST;
use stowage::store::faulty::Call::{
    self, CreateStaged, DatabaseSync, DatabaseWrite, OpenBlob, OpenDirectory, OpenStaged, Read, ReadCached,
    Rename, Stat, SyncDirectory, SyncFile, Write,
};
use stowage::store::faulty::Faults;

use crate::support::content::{bytes, image, push_blob, sha256};
use crate::support::{Client, Setup, TestStowage};

/// The server's background work may add calls: at least one of this many requests must be undisturbed.
const TRIES: u64 = 50;

/// A server whose blobs and database are on one disk that records its calls.
struct Rig {
    server: TestStowage,
    disk: Arc<Faults>,
}

impl Rig {
    fn new() -> Self {
        let disk = Arc::new(Faults::recording());
        let hooks = Hooks { meta_faults: Some(Arc::clone(&disk)), blob_faults: Some(Arc::clone(&disk)) };
        Self { server: TestStowage::with(Setup { hooks, ..Setup::default() }), disk }
    }

    /// Sends a request until exactly these calls were made. `request` gets the number of the attempt.
    #[track_caller]
    fn assert_calls(&self, expected: &[Call], mut request: impl FnMut(&Client, u64)) {
        let client = self.server.client();
        let mut fewest: Option<Vec<Call>> = None;
        for number in 0..TRIES {
            let before = self.disk.trace().len();
            request(&client, number);
            let mut calls = self.disk.trace().split_off(before);
            // The number of pages that a commit writes depends on their content.
            calls.dedup_by(|one, other| one == other && *one == DatabaseWrite);
            if calls == expected {
                return;
            }
            if fewest.as_ref().is_none_or(|fewest| calls.len() < fewest.len()) {
                fewest = Some(calls);
            }
        }
        panic!("expected {expected:?}, the shortest of all is {:?}", fewest.unwrap_or_default());
    }
}

/// The calls of a two-phase commit: its pages, a sync, the header that makes it valid, and a sync.
const COMMIT: [Call; 4] = [DatabaseWrite, DatabaseSync, DatabaseWrite, DatabaseSync];

fn push_image(client: &Client) -> (Vec<u8>, Vec<u8>) {
    let layer = bytes(1, 5_000);
    push_blob(client, "app", &layer);
    push_blob(client, "app", b"{}");
    let manifest = image(&[&layer]);
    client.send("PUT", "/v2/app/manifests/latest", &[("Content-Type", OCI_MANIFEST)], &manifest).expect(201);
    (layer, manifest)
}

#[test]
fn a_manifest_in_the_cache_is_read_and_found_without_a_call() {
    let rig = Rig::new();
    let (_, manifest) = push_image(&rig.server.client());
    for reference in ["latest".to_owned(), sha256(&manifest)] {
        let path = format!("/v2/app/manifests/{reference}");
        rig.assert_calls(&[], |client, _| drop(client.get(&path).expect(200)));
        rig.assert_calls(&[], |client, _| drop(client.head(&path).expect(200)));
    }
}

#[test]
fn a_blob_is_found_without_a_call_and_a_small_one_read_with_three() {
    let rig = Rig::new();
    let (layer, _) = push_image(&rig.server.client());
    let path = format!("/v2/app/blobs/{}", sha256(&layer));
    rig.assert_calls(&[], |client, _| drop(client.head(&path).expect(200)));
    let get = |client: &Client, _| drop(client.get(&path).expect(200));
    get(&rig.server.client(), 0);
    // If the file system does not support reads of the page cache only, it has been tried for the last time
    // by now.
    let cached = rig.disk.trace().last() == Some(&ReadCached);
    rig.assert_calls(&[OpenBlob, Stat, if cached { ReadCached } else { Read }], get);
}

#[test]
fn a_small_blob_is_durable_after_two_syncs_and_one_commit() {
    let rig = Rig::new();
    push_image(&rig.server.client());
    let calls = [CreateStaged, Write, SyncFile, Rename, Stat, OpenDirectory, SyncDirectory];
    let expected = [&calls[..], &COMMIT].concat();
    rig.assert_calls(&expected, |client, number| {
        let content = bytes(1_000 + number, 2_000);
        let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(&content));
        client.post(&path, &content).expect(201);
    });
    rig.assert_calls(&expected, |client, number| {
        let content = bytes(2_000 + number, 2_000);
        let upload = client.post("/v2/app/blobs/uploads/", b"").expect(202).location();
        client.put(&format!("{upload}?digest={}", sha256(&content)), &content).expect(201);
    });
}

#[test]
fn a_blob_in_two_requests_costs_a_checkpoint_more() {
    let rig = Rig::new();
    push_image(&rig.server.client());
    let checkpoint = [&[CreateStaged, Write, SyncFile][..], &COMMIT].concat();
    // The file was closed in between, and nothing has to be synced again.
    let opened = [OpenStaged, Stat, Rename, Stat, OpenDirectory, SyncDirectory];
    let blob = [&opened[..], &COMMIT].concat();
    rig.assert_calls(&[checkpoint, blob].concat(), |client, number| {
        let content = bytes(3_000 + number, 2_000);
        let upload = client.post("/v2/app/blobs/uploads/", b"").expect(202).location();
        let upload = client.patch(&upload, &content).expect(202).location();
        client.put(&format!("{upload}?digest={}", sha256(&content)), b"").expect(201);
    });
}

#[test]
fn a_blob_whose_last_request_has_bytes_is_synced_again() {
    let rig = Rig::new();
    push_image(&rig.server.client());
    let checkpoint = [&[CreateStaged, Write, SyncFile][..], &COMMIT].concat();
    let opened = [OpenStaged, Stat, Write, SyncFile, Rename, Stat, OpenDirectory, SyncDirectory];
    let blob = [&opened[..], &COMMIT].concat();
    rig.assert_calls(&[checkpoint, blob].concat(), |client, number| {
        let content = bytes(4_000 + number, 2_000);
        let upload = client.post("/v2/app/blobs/uploads/", b"").expect(202).location();
        let upload = client.patch(&upload, &content[..1_000]).expect(202).location();
        client.put(&format!("{upload}?digest={}", sha256(&content)), &content[1_000..]).expect(201);
    });
}

#[test]
fn a_manifest_is_pushed_with_one_commit() {
    let rig = Rig::new();
    push_image(&rig.server.client());
    // The platform is read from its config.
    let expected = [&[OpenBlob, Stat, Read][..], &COMMIT].concat();
    rig.assert_calls(&expected, |client, number| {
        let layer = bytes(1, 5_000);
        let mut manifest: serde_json::Value = serde_json::from_slice(&image(&[&layer])).expect("JSON");
        manifest["annotations"] = serde_json::json!({ "number": number.to_string() });
        let manifest = serde_json::to_vec(&manifest).expect("JSON");
        let path = format!("/v2/app/manifests/{number}");
        client.send("PUT", &path, &[("Content-Type", OCI_MANIFEST)], &manifest).expect(201);
    });
}

//! A read-only disk: pulls work, and everything else is refused with a clear message.

use std::sync::Arc;

use stowage::app::Hooks;
use stowage::model::media_type::OCI_MANIFEST;
use stowage::store::faulty::Faults;

use crate::process::{Stowage, assert_whole, directory_in_memory, refused_start};
use crate::support::content::{bytes, image, open_upload, push_blob, push_image, put_manifest, sha256};
use crate::support::{Client, Setup, TestStowage, eventually};
use crate::volume::{ReadOnlyFile, Volume};

#[test]
fn pulls_go_on_when_the_disk_turns_read_only() {
    let Some(volume) = Volume::on_device(64) else { return };
    let data = volume.path().join("data");
    let server = Stowage::start(&data);
    let client = server.client();
    let layer = bytes(1, 300_000);
    let manifest = push_image(&client, "team/app", "latest", &layer);
    let upload = open_upload(&client, "team/app");
    client.patch(&upload, &bytes(2, 300_000)).expect(202);
    let blob = format!("/v2/team/app/blobs/{}", sha256(&layer));

    volume.break_down();
    for round in 0..4 {
        let pulls_go_on = || {
            assert!(client.get("/v2/team/app/manifests/latest").expect(200).body == manifest);
            assert!(client.get(&blob).expect(200).body == layer);
            client.head(&blob).expect(200);
            assert_eq!(client.get("/v2/team/app/tags/list").expect(200).json()["tags"][0], "latest");
            assert_eq!(client.get("/v2/_catalog").expect(200).json()["repositories"][0], "team/app");
        };
        pulls_go_on();
        let content = bytes(10 + round, 100_000);
        let path = format!("/v2/team/app/blobs/uploads/?digest={}", sha256(&content));
        client.post(&path, &content).expect_error(405, "UNSUPPORTED");
        pulls_go_on();
        let other = image(&[&layer, &layer]);
        put_manifest(&client, "team/app", "other", OCI_MANIFEST, &other).expect_error(405, "UNSUPPORTED");
        pulls_go_on();
        let path = format!("/v2/team/new/blobs/uploads/?digest={}", sha256(&content));
        client.post(&path, &content).expect_error(405, "UNSUPPORTED");
        client.delete("/v2/team/app/manifests/latest").expect_error(405, "UNSUPPORTED");
        pulls_go_on();
    }
    server.stop();
}

#[test]
fn pulls_that_would_renew_a_promise_go_on_and_changes_are_taken_when_the_disk_takes_them() {
    let dir = directory_in_memory();
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { meta_faults: Some(Arc::clone(&faults)), ..Hooks::default() };
    let mut setup = Setup { hooks, directory: Some(dir.path().to_owned()), ..Setup::default() };
    setup.config.storage.gc.promise = "0s".parse().unwrap();
    let server = TestStowage::with(setup);
    let client = server.client();
    let path = format!("/v2/team/app/blobs/{}", push_blob(&client, "team/app", b"nothing refers to this"));
    let Some(read_only) = ReadOnlyFile::new(&dir.path().join("stowage.redb")) else { return };
    // The open file still accepts writes; a failing write makes the server open it again.
    faults.fail_after(1, libc::EROFS);
    for round in 0..3 {
        client.get(&path).expect(200);
        client.head(&path).expect(200);
        let answer = client.post("/v2/team/new/blobs/uploads/", b"");
        assert_eq!(answer.status, 405, "{round}: {answer:?}");
        push_is_refused(&client, &bytes(round, 1000));
    }
    drop(read_only);
    eventually("changes are taken", || client.post("/v2/team/new/blobs/uploads/", b"").status == 202);
    push_image(&client, "team/app", "latest", b"layer");
    client.get(&path).expect(200);
    server.stop();
    assert_whole(dir.path());
}

fn push_is_refused(client: &Client, content: &[u8]) {
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", sha256(content));
    client.post(&path, content).expect_error(405, "UNSUPPORTED");
}

#[test]
fn a_start_on_a_read_only_disk_says_what_to_do() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let data = volume.path().join("data");
    let server = Stowage::start(&data);
    let manifest = push_image(&server.client(), "team/app", "latest", b"layer");
    server.stop();
    volume.remount("ro");
    let refused = refused_start(&data);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("remount the file system for writing"), "{refused:?}");
    let refused = refused_start(&volume.path().join("new"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("remount the file system for writing"), "{refused:?}");
    volume.remount("rw");
    let server = Stowage::start(&data);
    assert!(server.client().get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    eventually("pushes are taken", || server.client().post("/v2/team/app/blobs/uploads/", b"").status == 202);
    server.stop();
    assert_whole(&data);
}

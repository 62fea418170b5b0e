//! A disk that takes no writes: pulls go on, and everything else is refused in clear words.

use crate::process::{Stowage, assert_whole, refused_start};
use crate::support::content::{bytes, image, open_upload, push_image, put_manifest, sha256};
use crate::support::eventually;
use crate::volume::Volume;
use stowage::model::media_type::OCI_MANIFEST;

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

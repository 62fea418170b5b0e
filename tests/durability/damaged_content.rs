//! Damaged content is never sent completely; it is hidden when it is found, and repaired by the next push.

use std::path::Path;

use serde_json::{Value, json};
use stowage::model::digest::Digest;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use stowage::store::meta::{Raw, schema};
use tempfile::TempDir;

use crate::behind::{Damage, blob_file, change_rows};
use crate::exchange::exchange;
use crate::process::{Stowage, assert_whole, run};
use crate::support::content::{bytes, image, index, push_blob, push_image, push_manifest, sha256};
use crate::support::eventually;

/// Pulls until the damage is found: the response must be an error or break off, and never be complete.
fn assert_never_whole(server: &Stowage, path: &str, case: &str) {
    if let Ok(answer) = exchange(server.address, "GET", path, &[], b"") {
        assert_eq!(answer.status, 404, "{case}: {}", answer.head);
    }
    // Damage that is found in the middle of a response is recorded after it.
    eventually(case, || server.client().head(path).status == 404);
    server.client().get(path).expect(404);
}

#[test]
fn a_damaged_blob_is_never_completed_and_healed_by_a_push() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    // Sizes that are sent as one piece, in a few pieces, and in many.
    for (number, size) in (0..).zip([1_000, 70_000, 3_000_000]) {
        for (kind, damage) in (0..).zip(Damage::ALL) {
            let case = format!("{size} bytes, {damage:?}");
            let content = bytes(number * 100 + kind, size);
            let digest = push_blob(&server.client(), "team/app", &content);
            let path = format!("/v2/team/app/blobs/{digest}");
            assert!(server.client().get(&path).expect(200).body == content);
            damage.apply(&blob_file(dir.path(), &digest));
            assert_never_whole(&server, &path, &case);
            push_blob(&server.client(), "team/app", &content);
            assert!(server.client().get(&path).expect(200).body == content, "{case}");
            server.client().head(&path).expect(200);
        }
    }
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn damage_done_while_no_server_runs_is_found_by_the_check_and_by_the_pull() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    let contents: Vec<Vec<u8>> = (0..).zip(Damage::ALL).map(|(seed, _)| bytes(seed + 1, 200_000)).collect();
    let digests: Vec<String> =
        contents.iter().map(|content| push_blob(&server.client(), "team/app", content)).collect();
    server.stop();
    for (damage, digest) in Damage::ALL.into_iter().zip(&digests) {
        damage.apply(&blob_file(dir.path(), digest));
    }
    let checked = run("fsck", &["--deep", "--json"], dir.path());
    assert_eq!(checked.code, Some(7), "{checked:?}");
    for digest in &digests {
        assert!(checked.stdout.contains(digest), "{digest} is not named: {checked:?}");
    }
    let server = Stowage::start(dir.path());
    for ((damage, digest), content) in Damage::ALL.into_iter().zip(&digests).zip(&contents) {
        let path = format!("/v2/team/app/blobs/{digest}");
        assert_never_whole(&server, &path, &format!("{damage:?}"));
        push_blob(&server.client(), "team/app", content);
        assert!(server.client().get(&path).expect(200).body == *content, "{damage:?}");
    }
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_damaged_blob_is_not_mounted_and_keeps_its_manifest_from_nothing() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    let layer = bytes(1, 100_000);
    let manifest = push_image(&server.client(), "team/app", "latest", &layer);
    let digest = sha256(&layer);
    let path = format!("/v2/team/app/blobs/{digest}");
    Damage::FirstByte.apply(&blob_file(dir.path(), &digest));
    assert_never_whole(&server, &path, "the layer");
    let client = server.client();
    client.post(&format!("/v2/team/copy/blobs/uploads/?mount={digest}&from=team/app"), b"").expect(202);
    assert!(client.get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    // A push of the whole image repairs it, as by a client that first asks which blobs exist.
    push_image(&client, "team/app", "latest", &layer);
    assert!(client.get(&path).expect(200).body == layer);
    client.post(&format!("/v2/team/copy/blobs/uploads/?mount={digest}&from=team/app"), b"").expect(201);
}

#[test]
fn a_damaged_manifest_is_never_sent_and_healed_by_a_push() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    push_blob(&server.client(), "team/app", b"{}");
    // Bodies that are read on the async thread, and on a blocking thread.
    let layers: Vec<Vec<u8>> = (0_u8..250).map(|seed| vec![seed; 10]).collect();
    for layer in &layers {
        push_blob(&server.client(), "team/app", layer);
    }
    let small = image(&[&layers[0]]);
    let large = [image(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>()), vec![b' '; 70_000]].concat();
    for (tag, manifest) in [("small", &small), ("large", &large)] {
        push_manifest(&server.client(), "team/app", tag, OCI_MANIFEST, manifest);
    }
    server.stop();
    for damage in [|body: &mut Vec<u8>| body[5] ^= 1, |body: &mut Vec<u8>| body.truncate(10), Vec::clear] {
        for manifest in [&small, &large] {
            let mut body = manifest.clone();
            damage(&mut body);
            store_body(dir.path(), &sha256(manifest), body);
        }
        let checked = run("fsck", &["--json"], dir.path());
        assert_eq!(checked.code, Some(7), "{checked:?}");
        let server = Stowage::start(dir.path());
        let client = server.client();
        for (tag, manifest) in [("small", &small), ("large", &large)] {
            let by_digest = format!("/v2/team/app/manifests/{}", sha256(manifest));
            let by_tag = format!("/v2/team/app/manifests/{tag}");
            client.get(&by_digest).expect_error(404, "MANIFEST_UNKNOWN");
            for path in [&by_digest, &by_tag] {
                client.head(path).expect(404);
                client.get(path).expect(404);
            }
            push_manifest(&client, "team/app", tag, OCI_MANIFEST, manifest);
            for path in [&by_digest, &by_tag] {
                client.head(path).expect(200);
                assert!(client.get(path).expect(200).body == *manifest, "{path}");
            }
        }
        server.stop();
        assert_whole(dir.path());
    }
}

/// Replaces the bytes of a manifest.
fn store_body(dir: &Path, digest: &str, body: Vec<u8>) {
    let digest = digest.parse::<Digest>().expect("a digest");
    change_rows(dir, move |tx| tx.put(&schema::MANIFEST_BODY, &digest, &Raw(body.clone())));
}

/// A check hides proven damage at once and names the images to push again; that push repairs it.
#[test]
fn a_deep_check_hides_damage_and_names_the_images_to_push_again() {
    for online in [true, false] {
        let dir = TempDir::new().unwrap();
        let first = Stowage::start(dir.path());
        let client = first.client();
        let layer = bytes(1, 200_000);
        let manifest = push_image(&client, "team/app", "one", &layer);
        push_image(&client, "team/app", "two", &bytes(2, 1_000));
        let untagged = push_image(&client, "team/other", "gone", &layer);
        push_manifest(&client, "team/other", "multi", OCI_INDEX, &index(&[&untagged]));
        client.delete("/v2/team/other/manifests/gone").expect(202);
        let digest = sha256(&layer);
        let path = format!("/v2/team/app/blobs/{digest}");
        let whole = std::fs::read(blob_file(dir.path(), &digest)).unwrap();
        Damage::LastByte.apply(&blob_file(dir.path(), &digest));
        let running = if online {
            Some(first)
        } else {
            first.stop();
            None
        };
        let checked = run("fsck", &["--deep", "--json"], dir.path());
        assert_eq!(checked.code, Some(7), "{checked:?}");
        let report: Value = serde_json::from_str(&checked.stdout).unwrap();
        let problems = report["data"]["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0]["images"], json!(["team/app:one", "team/other:multi"]));
        let server = running.unwrap_or_else(|| Stowage::start(dir.path()));
        server.client().head(&path).expect(404);
        // A check that is not deep reports the same, until it is repaired.
        let checked = run("fsck", &[], dir.path());
        assert!(checked.code == Some(7) && checked.stdout.contains("  team/app:one\n"), "{checked:?}");
        if online {
            push_image(&server.client(), "team/app", "one", &layer);
        } else {
            // As a restored backup would.
            std::fs::write(blob_file(dir.path(), &digest), &whole).unwrap();
            let checked = run("fsck", &["--deep"], dir.path());
            assert!(checked.code == Some(0) && checked.stdout.contains("served again"), "{checked:?}");
        }
        assert!(server.client().get(&path).expect(200).body == layer);
        assert!(server.client().get("/v2/team/app/manifests/one").expect(200).body == manifest);
        server.stop();
        assert_whole(dir.path());
    }
}

//! A reader that finds damage hides it, and the next push repairs it for all readers.

use std::fs;

use bytes::Bytes;

use super::Place;
use super::samples::{blobs, manifests};
use crate::access::Push;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::Reference;
use crate::registry::{Body, BodyPart, RegistryError};
use crate::store::blob::FileBlobs;
use crate::store::faulty::{Call, Fault, Plan};
use crate::store::meta::{Raw, Tx as _, WriteTx, schema};

#[test]
fn a_damaged_blob_is_hidden_until_it_is_pushed_again() {
    let place = Place::new();
    let server = place.open(true);
    let blob = &blobs()[2];
    server.push_blob("one", &blob.content, blob.digest).unwrap();
    let path = FileBlobs::path_in(place.dir.path(), &blob.digest);
    fs::write(&path, b"a lazer").unwrap();
    let damaged = server.wait(server.registry.open_blob(&server.grant("one"), &blob.digest)).unwrap();
    assert!(matches!(server.pull_blob("one", &blob.digest), Err(RegistryError::BlobUnknown(_))));
    let size = server.wait(server.registry.blob_size(&server.grant("one"), &blob.digest));
    assert!(matches!(size, Err(RegistryError::BlobUnknown(_))));
    assert_eq!(server.check().problems[0].kind, "blob_corrupt");

    server.push_blob("one", &blob.content, blob.digest).unwrap();
    assert_eq!(server.pull_blob("one", &blob.digest).unwrap(), blob.content);
    server.assert_clean("after the push");
    // A reader that still has the damaged file open reports an error, and must not hide the new file.
    assert!(server.wait(damaged.small()).is_err());
    assert_eq!(server.pull_blob("one", &blob.digest).unwrap(), blob.content);
    server.assert_clean("after the late reader");
}

#[test]
fn a_damaged_manifest_is_healed_in_every_repository_by_a_push_to_one() {
    let place = Place::new();
    let server = place.open(false);
    let manifest = &manifests()[0];
    let (digest, reference) = (manifest.digest(), Reference::Digest(manifest.digest()));
    for name in ["one", "two"] {
        server.put(name, reference.clone(), &manifest.body).unwrap();
    }
    server.forge(move |tx| tx.put(&schema::MANIFEST_BODY, &digest, &Raw(b"{}".to_vec())));
    for name in ["one", "two"] {
        let pulled = server.wait(server.registry.manifest(&server.grant(name), &reference));
        assert!(matches!(pulled, Err(RegistryError::ManifestUnknown(_))));
        assert!(server.wait(server.registry.manifest_head(&server.grant(name), &reference)).is_err());
    }
    server.put("one", reference.clone(), &manifest.body).unwrap();
    for name in ["one", "two"] {
        let pulled = server.wait(server.registry.manifest(&server.grant(name), &reference)).unwrap();
        assert_eq!(pulled.body, manifest.body.as_bytes());
    }
    server.assert_clean("after the push");
}

#[test]
fn a_damaged_count_of_pulls_begins_anew_and_holds_up_no_other() {
    let place = Place::new();
    let server = place.open(false);
    let samples = manifests();
    let digests: Vec<Digest> = samples.iter().map(super::samples::Manifest::digest).collect();
    let pulled = [0, 1, 2];
    let pull = || {
        for sample in pulled {
            let reference = Reference::Digest(digests[sample]);
            server.wait(server.registry.manifest(&server.grant("one"), &reference)).unwrap();
        }
        server.wait(server.registry.store_pulls(&server.access.system("test")))
    };
    for sample in pulled {
        server.put("one", Reference::Digest(digests[sample]), &samples[sample].body).unwrap();
    }
    pull().unwrap();
    let damaged = digests[0];
    let id = |tx: &WriteTx<'_>| tx.get(&schema::REPOSITORY_NAME, "one").unwrap().unwrap();
    server.forge(move |tx| tx.put(&schema::PULLS.raw(), (id(tx), &damaged), &Raw(vec![9])));
    pull().unwrap();
    let counts = pulled.map(|sample| {
        let digest = digests[sample];
        let found = server.meta.get(|tx| {
            let id = tx.get(&schema::REPOSITORY_NAME, "one")?.unwrap();
            tx.get(&schema::PULLS, (id, &digest))
        });
        found.unwrap().map(|pulls| pulls.count)
    });
    assert_eq!(counts, [Some(1), Some(2), Some(2)]);
    server.assert_clean("after the second pulls");
}

/// A long upload has checkpoints while it runs. If the disk fails then, the client continues from the
/// checkpoint or is told that there is no upload.
#[test]
fn a_disk_that_fails_in_a_long_upload_leaves_a_session_or_none() {
    const CHUNK: usize = 4 << 20;
    let place = Place::new();
    let server = place.open(true);
    let content = vec![7_u8; 12 * CHUNK];
    let grant = server.grant::<Push>("one");
    let (registry, faults) = (&server.registry, &server.faults);
    let (id, appended) = server.wait(async {
        let id = registry.start_upload(&grant, Algorithm::Sha256).await.unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let append = server.append(&grant, id, None, Body::stream(receiver));
        let send = async {
            for (n, chunk) in content.chunks(CHUNK).enumerate() {
                if n == 9 {
                    faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::Errno(libc::EIO) }));
                }
                if sender.send(BodyPart::Data(vec![Bytes::copy_from_slice(chunk)].into())).await.is_err() {
                    break;
                }
            }
            drop(sender);
        };
        (id, futures_util::future::join(append, send).await.0)
    });
    assert!(appended.is_err());
    assert!(server.faults.trace().contains(&Call::Write));
    server.faults.set_plan(None);
    // A checkpoint that was running when the request failed continues in the background.
    server.await_background_work();
    let report = server.check();
    assert_eq!(report.problems, []);
    assert_eq!(report.notes, [] as [String; 0], "no row without a file, no file without a row");
    match server.wait(server.registry.upload_standing(&grant, id)) {
        Err(RegistryError::UploadUnknown) => {}
        standing => {
            let rest = content[usize::try_from(standing.unwrap().offset).unwrap()..].to_vec();
            let digest = Digest::of(Algorithm::Sha256, &content);
            let body = Body::whole(vec![rest.into()]);
            server.wait(server.finish(&grant, id, digest, body)).unwrap();
            server.assert_clean("after the resumed upload");
        }
    }
}

//! The registry on a blob store without files: it uses only what every blob store offers.

use std::sync::Arc;

use super::samples::{blobs, image};
use super::*;
use crate::store::blob::memory::MemoryBlobs;

const NAME: &str = "team/app";

#[test]
fn blobs_that_are_no_files_are_pushed_pulled_checked_and_healed() {
    let place = Place::new();
    let server = place.open_with(true, |files| Arc::new(MemoryBlobs::new(Arc::clone(files.staging()))));
    let parts = blobs();
    for (index, blob) in parts.iter().enumerate() {
        if index % 2 == 0 {
            server.push_blob(NAME, &blob.content, blob.digest).unwrap();
            continue;
        }
        let grant = server.grant::<Push>(NAME);
        let (first, second) = blob.content.split_at(blob.content.len() / 2);
        let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
        server.wait(async {
            let id = server.registry.start_upload(&grant, blob.digest.algorithm()).await.unwrap();
            server.append(&grant, id, None, Body::whole(vec![first])).await.unwrap();
            server.finish(&grant, id, blob.digest, Body::whole(vec![second])).await.unwrap();
        });
    }
    let manifest = image(&parts);
    server.put(NAME, Reference::Tag("latest".parse().unwrap()), &manifest.body).unwrap();
    for blob in &parts {
        assert_eq!(server.pull_blob(NAME, &blob.digest).unwrap(), blob.content);
    }
    server.assert_clean("after the push");
    assert_eq!(server.check().checked.files, parts.len() as u64);

    let lost = &parts[0];
    server.store.remove(&lost.digest).unwrap();
    let kinds: Vec<_> = server.check().problems.iter().map(|problem| problem.kind).collect();
    assert!(kinds.contains(&"blob_file_missing"), "{kinds:?}");
    assert!(matches!(server.pull_blob(NAME, &lost.digest), Err(RegistryError::BlobUnknown(_))));
    server.push_blob(NAME, &lost.content, lost.digest).unwrap();
    assert_eq!(server.pull_blob(NAME, &lost.digest).unwrap(), lost.content);
    server.assert_clean("after the second push");
}

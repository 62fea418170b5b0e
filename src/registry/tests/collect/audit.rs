//! The audit before a run: where a count is wrong, nothing is collected.

use super::*;
use crate::store::meta::schema::Link;

/// Makes the link of a blob that a manifest refers to look as if nothing did.
fn forget_reference(server: &Server<'_>, repository: &str, content: &'static [u8]) {
    let repository = server.grant::<Push>(repository).repository().unwrap();
    server.forge(move |tx| {
        let digest = digest(content);
        let link = tx.get(&schema::LINK, (repository, &digest))?.unwrap();
        let link = Link { references: 0, ..link };
        tx.put(&schema::LINK_ZERO, (link.zero_since, repository, &digest), &())?;
        tx.put(&schema::LINK, (repository, &digest), &link)
    });
}

#[test]
fn a_reference_that_is_not_counted_spares_its_repository() {
    let place = Place::new();
    let server = place.open(true);
    server.push_image("a", b"live");
    server.push("a", b"garbage beside it");
    server.push("b", b"garbage elsewhere");
    forget_reference(&server, "a", b"live");
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.spared), (1, 1), "{collected:?}");
    assert!(server.has_file(b"live") && server.has_file(b"garbage beside it"));
    assert!(!server.has_file(b"garbage elsewhere"));
    assert!(collected.spared_names[0].contains("is not counted"), "{collected:?}");
}

#[test]
fn a_manifest_that_cannot_be_read_spares_its_repository() {
    let place = Place::new();
    let server = place.open(true);
    server.push_image("a", b"live");
    server.push("a", b"garbage beside it");
    server.push("b", b"garbage elsewhere");
    let repository = server.grant::<Push>("a").repository().unwrap();
    server.forge(move |tx| {
        let manifest = digest(image(b"live").as_bytes());
        tx.put(&schema::MANIFEST.raw(), (repository, &manifest), &Raw(vec![9, 9]))
    });
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.spared), (1, 1), "{collected:?}");
    assert!(server.has_file(b"live") && server.has_file(b"garbage beside it"));
}

#[test]
fn a_blob_whose_holder_is_not_listed_is_not_removed() {
    let place = Place::new();
    let server = place.open(true);
    server.push_image("a", b"live");
    server.push("a", b"garbage beside it");
    let repository = server.grant::<Push>("a").repository().unwrap();
    server.forge(move |tx| {
        let (digest, since) = (digest(b"live"), tx.now().running_second());
        tx.delete(&schema::BLOB_LINK, (&digest, repository))?;
        let blob = tx.get(&schema::BLOB, &digest)?.unwrap();
        tx.put(&schema::BLOB_FREE, (since, &digest), &())?;
        tx.put(&schema::BLOB, &digest, &Blob { free_since: Some(since), users: 0, ..blob })
    });
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.spared), (0, 1), "{collected:?}");
    assert!(server.has_file(b"live"));
}

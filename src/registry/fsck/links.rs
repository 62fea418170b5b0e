//! Links between repositories and blobs: their counts, their states, and the indexes over them.

use std::collections::HashMap;
use std::fmt;

use super::check::Check;
use super::place::Place;
use crate::model::digest::AnyDigest;
use crate::model::units::counted;
use crate::store::meta::schema::{self, BlobState, Link};
use crate::store::meta::{Pages, ReadTx, StoreError, Tx as _};

/// Checks that every link counts exactly the manifests of its repository that refer to it, and that a present
/// one has its blob.
pub(super) fn links(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::LINK)?;
    let mut absent = 0_u64;
    let repositories: Vec<u64> = check.repositories.keys().copied().collect();
    for repository in repositories {
        let mut references = references(check, repository)?;
        let mut pages = of_repository(repository);
        while check.page(&schema::LINK, &mut pages, |check, tx, (_, key), row| {
            check.report.checked.links += 1;
            absent += u64::from(!row.present && row.references > 0);
            let expected = references.remove(key).unwrap_or_default();
            let place = Place::within(repository, key);
            let found = References { live: row.references, trashed: row.trash_references };
            if found != expected {
                check.inconsistency("link_references", place, expected, found);
            }
            link(check, tx, (repository, key), &row)
        })? {}
        for (key, expected) in references {
            check.inconsistency("link_references", Place::within(repository, &key), expected, "no link");
        }
    }
    if absent > 0 {
        let blobs = counted(absent, "blob that a manifest refers to is", "blobs that manifests refer to are");
        check.note(format!("{blobs} not there, as sparse pushes and foreign layers allow"));
    }
    Ok(())
}

/// How many manifests refer to a blob.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct References {
    live: u64,
    trashed: u64,
}

impl fmt::Display for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.live, "manifest that refers to it", "manifests that refer to it"))?;
        if self.trashed > 0 { write!(f, ", and {} in the trash", self.trashed) } else { Ok(()) }
    }
}

fn of_repository(repository: u64) -> Pages {
    Pages::of_prefix(&schema::LINK.raw_keys(), repository)
}

/// How many manifests of a repository refer to each blob.
fn references(check: &Check<'_>, repository: u64) -> Result<HashMap<Vec<u8>, References>, StoreError> {
    let mut references: HashMap<Vec<u8>, References> = HashMap::new();
    check.meta.sweep(&schema::MANIFEST, of_repository(repository), |_, _, row| {
        for blob in row.iter().flat_map(|row| &row.blobs) {
            references.entry(blob.key().to_vec()).or_default().live += 1;
        }
        Ok::<_, StoreError>(())
    })?;
    check.meta.sweep(&schema::TRASH_MANIFEST, of_repository(repository), |_, _, row| {
        for blob in row.iter().flat_map(|row| &row.manifest.blobs) {
            references.entry(blob.key().to_vec()).or_default().trashed += 1;
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(references)
}

fn link(
    check: &mut Check<'_>,
    tx: &ReadTx,
    (repository, key): (u64, &[u8]),
    row: &Link,
) -> Result<(), StoreError> {
    let place = Place::within(repository, key);
    match AnyDigest::from_key(key) {
        None => check.damage("key", place, "a digest in the table link", "other bytes"),
        Some(digest) if row.present && digest.known().is_none() => {
            check.inconsistency("link_flags", place, "an algorithm that can be computed", "present");
        }
        Some(_) => {}
    }
    let counts = row.references > 0 || row.trash_references > 0;
    if !row.present && !counts {
        check.inconsistency("link_flags", place, "present or referred to", "neither");
    }
    if row.hidden && !(row.present && row.trash_references > 0) {
        check.inconsistency(
            "link_flags",
            place,
            "hidden only while present and referred to by the trash",
            "hidden",
        );
    }
    let listed = tx.has(&schema::BLOB_LINK.raw_keys(), (key, repository))?;
    if row.present && !listed {
        check.inconsistency("blob_link", place, "a row that the repository holds it", "no row");
    }
    let free = row.present && !counts;
    if free && !tx.has(&schema::LINK_ZERO.raw_keys(), (row.zero_since.0, repository, key))? {
        check.inconsistency(
            "link_zero",
            place,
            format!("a row at {}, for nothing refers to it", row.zero_since),
            "no row",
        );
    }
    if row.present {
        match tx.get(&schema::BLOB.raw_keys(), key)? {
            None => check.damage("blob_missing", place, "the blob that the link says is present", "no row"),
            Some(blob) if blob.state == BlobState::Deleting => {
                check.inconsistency(
                    "blob_deleting",
                    place,
                    "a blob that stays, for it is held",
                    "being removed",
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Checks that the two indexes have exactly the links that belong there.
pub(super) fn indexes(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::LINK_ZERO)?;
    check.expect(&schema::BLOB_LINK)?;
    check.rows(&schema::LINK_ZERO, |check, tx, (since, repository, key), ()| {
        let row = tx.get(&schema::LINK.raw_keys(), (repository, key))?;
        let is_free = |row: &Link| row.present && row.references == 0 && row.trash_references == 0;
        if row.is_none_or(|row| !is_free(&row) || row.zero_since.0 != since) {
            let found = format!("a row at {since} that nothing refers to it");
            check.inconsistency("link_zero", Place::within(repository, key), "no row", found);
        }
        Ok(())
    })?;
    check.rows(&schema::BLOB_LINK, |check, tx, (key, repository), ()| {
        if tx.get(&schema::LINK.raw_keys(), (repository, key))?.is_none_or(|row| !row.present) {
            let place = Place::within(repository, key);
            check.inconsistency("blob_link", place, "no row", "a row that the repository holds it");
        }
        Ok(())
    })
}

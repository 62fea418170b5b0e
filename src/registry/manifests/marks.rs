//! Marks of manifests whose bytes are damaged. All repositories that hold a manifest share its bytes, so they
//! are marked together, and cleared together.

use std::ops::ControlFlow;

use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::schema::{self, Manifest, TrashedManifest};
use crate::store::meta::{Raw, Row as _, StoreError, Tx, WriteTx};

/// Whether every repository that holds a manifest marks it as what it is.
pub(in crate::registry) fn are_right(
    tx: &impl Tx,
    digest: &Digest,
    is_whole: bool,
) -> Result<bool, StoreError> {
    Ok(wrong(tx, digest, !is_whole)?.is_empty())
}

/// The size of a manifest, if a repository has marked it as damaged.
pub(in crate::registry) fn size_if_marked(tx: &impl Tx, digest: &Digest) -> Result<Option<u64>, StoreError> {
    Ok(wrong(tx, digest, false)?.first().map(|held| held.row.size))
}

/// Marks a manifest as what it is; how many rows that changed, or `None` if its bytes are not what they were
/// when they were looked at: it was pushed again meanwhile.
pub(in crate::registry) fn set(
    tx: &WriteTx<'_>,
    digest: &Digest,
    is_whole: bool,
) -> Result<Option<u64>, StoreError> {
    let body = tx.get(&schema::MANIFEST_BODY, digest)?;
    let now = body.is_some_and(|body| Digest::of(digest.algorithm(), &body.0) == *digest);
    if now == is_whole { put(tx, digest, !is_whole).map(Some) } else { Ok(None) }
}

/// Sets the mark in all repositories that hold a manifest, or clears it; how many rows that changed.
pub(super) fn put(tx: &WriteTx<'_>, digest: &Digest, corrupt: bool) -> Result<u64, StoreError> {
    let rows = wrong(tx, digest, corrupt)?;
    for Held { repository, row, entry } in &rows {
        let manifest = Manifest { corrupt, ..row.clone() };
        match entry {
            None => tx.put(&schema::MANIFEST, (*repository, digest), &manifest)?,
            Some(entry) => {
                let trashed = TrashedManifest { entry: *entry, manifest };
                tx.put(&schema::TRASH_MANIFEST, (*repository, digest), &trashed)?;
            }
        }
    }
    Ok(rows.len() as u64)
}

/// The row of a manifest in a repository.
struct Held {
    repository: RepoId,
    row: Manifest,
    /// Its deletion, if it is in the trash.
    entry: Option<Sequence>,
}

/// The rows of a manifest whose marks are others, also those in the trash: a restore brings them back as they
/// are. A row that cannot be read is never served.
fn wrong(tx: &impl Tx, digest: &Digest, corrupt: bool) -> Result<Vec<Held>, StoreError> {
    let mut holders = Vec::new();
    tx.scan_prefix(&schema::MANIFEST_REPO.keys(), digest, |repository, _| {
        holders.push(repository);
        ControlFlow::Continue(())
    })?;
    let mut rows = Vec::new();
    for repository in holders {
        let row = tx.get(&schema::MANIFEST.raw(), (repository, digest))?;
        let row = row.and_then(|Raw(row)| Manifest::decode(&row));
        rows.extend(row.map(|row| Held { repository, row, entry: None }));
        let trashed = tx.get(&schema::TRASH_MANIFEST.raw(), (repository, digest))?;
        let trashed = trashed.and_then(|Raw(row)| TrashedManifest::decode(&row));
        rows.extend(trashed.map(|TrashedManifest { entry, manifest: row }| Held {
            repository,
            row,
            entry: Some(entry),
        }));
    }
    rows.retain(|held| held.row.corrupt != corrupt);
    Ok(rows)
}

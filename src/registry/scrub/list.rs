//! What a scrub reads next: keys only, so that a damaged row hides no other.

use std::ops::{Bound, ControlFlow};

use super::Stage;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// Digests that are listed at once.
const PAGE: usize = 64;

/// The next digests of a stage behind `after`, of one repository or of all; none at the end.
pub(super) fn next(
    tx: &ReadTx,
    repository: Option<RepoId>,
    stage: Stage,
    after: Option<Digest>,
) -> Result<Vec<Digest>, StoreError> {
    match (repository, stage) {
        (None, Stage::Manifests) => held_manifests(tx, after),
        (None, Stage::Blobs) => all_blobs(tx, after),
        (Some(repository), Stage::Manifests) => manifests_of(tx, repository, after),
        (Some(repository), Stage::Blobs) => blobs_of(tx, repository, after),
    }
}

fn goes_on<T>(found: &[T]) -> ControlFlow<()> {
    if found.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Every manifest that a repository holds, once, also one whose bytes are gone.
pub(super) fn held_manifests(tx: &ReadTx, after: Option<Digest>) -> Result<Vec<Digest>, StoreError> {
    let mut found: Vec<Digest> = Vec::new();
    let last = RepoId(u64::MAX);
    let from = after.as_ref().map_or(Bound::Unbounded, |digest| Bound::Excluded((digest, last)));
    tx.scan_range(&schema::MANIFEST_REPO.keys(), (from, Bound::Unbounded), |(digest, _), _| {
        if found.last() != Some(&digest) {
            if found.len() == PAGE {
                return ControlFlow::Break(());
            }
            found.push(digest);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

pub(super) fn all_blobs(tx: &ReadTx, after: Option<Digest>) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_range(&schema::BLOB.keys(), (from, Bound::Unbounded), |digest, _| {
        found.push(digest);
        goes_on(&found)
    })?;
    Ok(found)
}

fn manifests_of(tx: &ReadTx, repository: RepoId, after: Option<Digest>) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::MANIFEST.keys(), repository, (from, Bound::Unbounded), |digest, _| {
        found.push(digest);
        goes_on(&found)
    })?;
    Ok(found)
}

/// Blobs that the repository has; and those that are named and not there, of which nothing will be found.
fn blobs_of(tx: &ReadTx, repository: RepoId, after: Option<Digest>) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    let after = after.map(AnyDigest::from);
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::LINK.keys(), repository, (from, Bound::Unbounded), |digest, _| {
        // What cannot be computed is never stored.
        found.extend(digest.known());
        goes_on(&found)
    })?;
    Ok(found)
}

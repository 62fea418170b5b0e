//! Trims rows that only record the past: the oldest ones above a limit, and those of deleted repositories, in
//! slices.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::Registry;
use super::error::RegistryError;
use crate::access::{Grant, System};
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::{Change, ReadTx, StoreError, Tx as _, WriteTx, schema};

/// The most entries of the audit log that are kept.
pub const AUDIT_ENTRIES: u64 = 100_000;
/// Rows that one transaction removes.
const SLICE: usize = 1_000;
/// Repositories with a tag history that are read in one snapshot.
const LOOKED_AT_ONCE: usize = 500;

impl Registry {
    /// Removes the oldest entries of the audit log beyond [`AUDIT_ENTRIES`], and the tag history of
    /// repositories that were deleted. Returns the number of rows removed.
    pub async fn trim(&self, _grant: &Grant<System>) -> Result<u64, RegistryError> {
        Ok(self.trim_audit(AUDIT_ENTRIES).await? + self.trim_histories().await?)
    }

    /// Removes the oldest entries of the audit log until `kept` are left.
    pub(super) async fn trim_audit(&self, kept: u64) -> Result<u64, RegistryError> {
        let mut removed = 0;
        loop {
            let more = self.meta.get(|tx| tx.count(&schema::AUDIT))?.saturating_sub(kept);
            if more == 0 {
                return Ok(removed);
            }
            let slice = usize::try_from(more).unwrap_or(usize::MAX).min(SLICE);
            removed += self.meta.change(Change::that_frees(), move |tx| tx.prune_audit(slice)).await?;
        }
    }

    async fn trim_histories(&self) -> Result<u64, RegistryError> {
        let (mut removed, mut from) = (0, Some(RepoId(0)));
        while let Some(first) = from {
            let gone;
            (gone, from) = self.meta.scan(move |tx| gone_repositories(tx, first)).await?;
            for repository in gone {
                loop {
                    let slice =
                        self.meta.change(Change::that_frees(), move |tx| history(tx, repository)).await?;
                    removed += slice;
                    if slice < SLICE as u64 {
                        break;
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// Deleted repositories with a tag history, from this number on, found by seeking from each history to the
/// next; and where to continue.
fn gone_repositories(tx: &ReadTx, first: RepoId) -> Result<(BTreeSet<RepoId>, Option<RepoId>), StoreError> {
    let (mut gone, mut from) = (BTreeSet::new(), Some(first));
    for _ in 0..LOOKED_AT_ONCE {
        let Some(first) = from else { break };
        from = None;
        let mut found = None;
        let range = (Bound::Included((first, "", Sequence(0))), Bound::Unbounded);
        tx.scan_range(&schema::TAG_HISTORY.keys(), range, |(repository, ..), _| {
            found = Some(repository);
            ControlFlow::Break(())
        })?;
        if let Some(repository) = found {
            from = repository.0.checked_add(1).map(RepoId);
            if !tx.has(&schema::REPOSITORY, repository)? {
                gone.insert(repository);
            }
        }
    }
    Ok((gone, from))
}

fn history(tx: &WriteTx<'_>, repository: RepoId) -> Result<u64, StoreError> {
    let mut changes = Vec::new();
    tx.scan_prefix(&schema::TAG_HISTORY.keys(), repository, |(tag, sequence), _| {
        changes.push((tag.to_owned(), sequence));
        if changes.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for (tag, sequence) in &changes {
        tx.delete(&schema::TAG_HISTORY, (repository, tag.as_str(), *sequence))?;
    }
    Ok(changes.len() as u64)
}

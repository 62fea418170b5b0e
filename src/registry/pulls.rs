//! Pulls are counted in memory and written every half minute: a pull never waits for the disk.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::model::digest::Digest;
use crate::model::names::RepoId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Pulls;
use crate::store::meta::tables;

/// Pulls since the last time they were written.
#[derive(Default)]
pub(super) struct PullCounter {
    counts: Mutex<HashMap<(RepoId, Digest), Pulls>>,
}

impl PullCounter {
    pub(super) fn count(&self, repository: RepoId, digest: Digest, wall_ms: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let pulls = counts.entry((repository, digest)).or_default();
        pulls.count += 1;
        pulls.last_ms = wall_ms;
    }

    /// Counts what could not be written once more.
    pub(super) fn give_back(&self, counted: &[((RepoId, Digest), Pulls)]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, pulls) in counted {
            let sum = counts.entry(*key).or_default();
            sum.count += pulls.count;
            sum.last_ms = sum.last_ms.max(pulls.last_ms);
        }
    }

    pub(super) fn take(&self) -> Vec<((RepoId, Digest), Pulls)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}

/// Adds counted pulls to the stored ones; those of manifests that are gone are dropped.
pub(super) fn store(tx: &WriteTx<'_>, counted: &[((RepoId, Digest), Pulls)]) -> Result<(), StoreError> {
    for ((repository, digest), pulls) in counted {
        let key = digest.key();
        if tx.get(&tables::MANIFEST, (repository.0, &key[..]))?.is_none() {
            continue;
        }
        let stored = tx.get(&tables::PULLS, (repository.0, &key[..]))?.unwrap_or_default();
        let sum = Pulls { count: stored.count + pulls.count, last_ms: stored.last_ms.max(pulls.last_ms) };
        tx.put(&tables::PULLS, (repository.0, &key[..]), &sum)?;
    }
    Ok(())
}

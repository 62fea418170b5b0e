//! Jobs that share one transaction, how the failure of one affects the others, and how the transaction ends.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{self, StoreError};
use super::job::{Job, Step};
use super::schema::{self, Clock};
use super::tx::WriteTx;
use super::writer::SyncBarrier;
use crate::store::blob::Barrier;

/// The most rows of one change: those of a manifest with the most layers. Larger changes must be made in
/// slices; one that exceeds this is a bug, which is logged.
const MAX_JOB_ROWS: u64 = 50_000;

/// Why a transaction was aborted.
pub(super) enum Trouble {
    /// A job failed after it had changed something, with an error of the store or with its own result.
    Job(usize, Option<StoreError>),
    /// The store failed before the commit.
    Store(StoreError),
    /// The commit with this number failed.
    Commit(StoreError, u64),
}

/// Answers jobs that were not done with this error.
pub(super) fn refuse(jobs: Vec<Box<dyn Job>>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// Syncs each barrier of the jobs once; jobs whose barrier fails are answered and removed.
pub(super) fn sync_barriers(jobs: Vec<Box<dyn Job>>, sync: &SyncBarrier) -> Vec<Box<dyn Job>> {
    let mut synced: BTreeMap<Barrier, Option<StoreError>> = BTreeMap::new();
    let mut good = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut failed = None;
        for barrier in &job.change().after {
            let result = synced
                .entry(*barrier)
                .or_insert_with(|| sync(*barrier).err().map(|error| StoreError::from_io(&error)));
            failed = failed.or_else(|| result.clone());
        }
        match failed {
            None => good.push(job),
            Some(error) => job.answer(Err(error)),
        }
    }
    good
}

/// Runs job number `index` in the transaction of its batch. Returns whether it has changed anything.
pub(super) fn run_job(tx: &WriteTx<'_>, index: usize, job: &mut dyn Job) -> Result<bool, Trouble> {
    let before = tx.changes();
    let step = catch_unwind(AssertUnwindSafe(|| job.run(tx)));
    let rows = tx.changes() - before;
    if rows > MAX_JOB_ROWS {
        tracing::warn!(rows, "one change wrote very many rows, and others waited for it");
    }
    if let Some(error) = tx.take_failure() {
        return Err(match error {
            StoreError::Corrupt { .. } => Trouble::Job(index, Some(error)),
            _ => Trouble::Store(error),
        });
    }
    match step {
        Ok(Step::Done) => Ok(rows > 0),
        // redb refuses a savepoint once a table was opened, so a job that fails after a change cannot be
        // undone alone: the whole transaction is aborted.
        Ok(Step::Refused) if tx.changes() == before => Ok(false),
        Ok(Step::Refused) => Err(Trouble::Job(index, None)),
        Err(_) => Err(Trouble::Job(index, Some(StoreError::Failed))),
    }
}

/// Writes the counters, with the number of the commit that is about to be made.
pub(super) fn store_clock(tx: &WriteTx<'_>) -> Result<Clock, StoreError> {
    let counters = tx.clock();
    let counters = Clock { running_s: tx.now().running_s, commits: counters.commits + 1, ..counters };
    tx.put(&schema::CLOCK, (), &counters)?;
    Ok(counters)
}

/// Commits a transaction.
pub(super) fn commit(inner: redb::WriteTransaction) -> Result<(), StoreError> {
    #[cfg(feature = "mutant-no-commit-sync")]
    let inner = {
        let mut inner = inner;
        inner.set_durability(redb::Durability::None).map_err(|error| StoreError::Io(error.to_string()))?;
        inner
    };
    inner.commit().map_err(|error| match error {
        redb::CommitError::Storage(source) => error::storage(source),
        other => StoreError::Io(other.to_string()),
    })
}

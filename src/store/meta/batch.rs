//! Jobs that share one transaction, and how the failure of one affects the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::StoreError;
use super::job::{Job, Step};
use super::tx::WriteTx;

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

/// Runs job number `index` in the transaction of its batch.
pub(super) fn run_job(tx: &WriteTx<'_>, index: usize, job: &mut dyn Job) -> Result<(), Trouble> {
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
        Ok(Step::Done) => Ok(()),
        // redb refuses a savepoint once a table was opened, so a job that fails after a change cannot be
        // undone alone: the whole transaction is aborted.
        Ok(Step::Refused) if tx.changes() == before => Ok(()),
        Ok(Step::Refused) => Err(Trouble::Job(index, None)),
        Err(_) => Err(Trouble::Job(index, Some(StoreError::Failed))),
    }
}

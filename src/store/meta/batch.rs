//! Jobs that share one transaction, and what one of them costs the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::StoreError;
use super::job::{Job, Step};
use super::tx::WriteTx;

/// Rows of one change at most: those of a manifest with as many layers as one may have. What needs more is
/// made in slices; a change that exceeds this is a bug, which the log tells.
const MAX_JOB_ROWS: u64 = 50_000;

/// Why a transaction was given up.
pub(super) enum Trouble {
    /// One job failed after it had changed something (with the store's error, or with its own answer).
    Job(usize, Option<StoreError>),
    /// The store failed before the commit.
    Store(StoreError),
    /// The commit with this number failed.
    Commit(StoreError, u64),
}

/// Answers jobs that were not done.
pub(super) fn refuse(jobs: Vec<Box<dyn Job>>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// Runs the job with this number in the transaction of its batch.
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
        // A savepoint cannot be taken once a table was opened, so a refusal after a change costs the
        // transaction.
        Ok(Step::Refused) if tx.changes() == before => Ok(()),
        Ok(Step::Refused) => Err(Trouble::Job(index, None)),
        Err(_) => Err(Trouble::Job(index, Some(StoreError::Failed))),
    }
}

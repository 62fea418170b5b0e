//! The rows of schedules: what was set, and what ran last.

use super::error::ScheduleError;
use crate::access::{Grant, RunJobs};
use crate::model::audit::AuditAction;
use crate::model::when::When;
use crate::store::meta::schema::{self, Schedule, ScheduleRun};
use crate::store::meta::{Change, Meta, StoreError, Tx as _};
use crate::wire::JobKind;

/// The schedule that was set for a job, and its last scheduled run. A row that cannot be read keeps no server
/// from starting: it counts as absent.
pub(super) fn read(meta: &Meta, kind: JobKind) -> (Option<Schedule>, Option<ScheduleRun>) {
    let set = meta.get(|tx| tx.get(&schema::SCHEDULE, kind.as_str()));
    let run = meta.get(|tx| tx.get(&schema::SCHEDULE_RUN, kind.as_str()));
    (known(kind, set), known(kind, run))
}

fn known<T>(kind: JobKind, row: Result<Option<T>, StoreError>) -> Option<T> {
    row.unwrap_or_else(|error| {
        tracing::error!(job = %kind, %error, "a row about a schedule cannot be read; run: stowage fsck");
        None
    })
}

/// When the last server on this store is known to have worked, in Unix milliseconds.
pub(super) fn last_worked_ms(meta: &Meta) -> u64 {
    let clock = meta.get(|tx| tx.get(&schema::CLOCK, ()));
    let last_ms = clock.ok().flatten().map_or(0, |clock| clock.wall_high_ms);
    // A new store has no server before this one.
    if meta.created() || last_ms == 0 { u64::MAX } else { last_ms }
}

/// Stores or removes the schedule of a job, and returns the row.
pub(super) async fn set(
    meta: &Meta,
    grant: Grant<RunJobs>,
    kind: JobKind,
    when: Option<When>,
) -> Result<Option<Schedule>, ScheduleError> {
    let changed = meta.write(move |tx| {
        grant.recheck(tx)??;
        let (actor, job) = (grant.caller().actor(), kind.as_str());
        let Some(when) = &when else {
            if tx.delete(&schema::SCHEDULE, job)? {
                tx.audit(actor, AuditAction::ScheduleReset, job.to_owned())?;
            }
            return Ok(None);
        };
        let by = actor.name.to_owned();
        let row = Schedule { when: when.to_string(), by, at_ms: tx.now().wall_ms };
        tx.put(&schema::SCHEDULE, job, &row)?;
        tx.audit(actor, AuditAction::ScheduleSet, format!("{job}: {when}"))?;
        Ok(Some(row))
    });
    changed.await
}

/// Notes a scheduled run. What is kept back for deletions on a full disk is not for it.
pub(super) async fn ran(meta: &Meta, kind: JobKind, run: ScheduleRun) -> Result<(), StoreError> {
    if meta.reserve_is_lacking() {
        return Err(StoreError::Full);
    }
    let noted =
        meta.change(Change::undumped(0), move |tx| tx.put(&schema::SCHEDULE_RUN, kind.as_str(), &run));
    noted.await
}

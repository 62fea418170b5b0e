//! The rows about jobs: few of each kind, the oldest removed by the transaction that adds one.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::error::JobError;
use super::live::{Ended, Unsaved};
use super::view::{JobLine, JobView};
use crate::access::{Grant, RunJobs};
use crate::model::audit::AuditAction;
use crate::model::names::Sequence;
use crate::store::meta::schema::{self, Job, JobProgress, JobState};
use crate::store::meta::{Change, Meta, Raw, ReadTx, Row as _, StoreError, Tx, WriteTx};

/// Jobs of a kind that are kept: two days of one that runs every hour, a year of a weekly one.
pub(super) const KEPT_JOBS: usize = 50;
/// Results of a kind that are kept: enough to compare the last one with those before.
pub(super) const KEPT_RESULTS: usize = 5;
/// Bytes of a result at most: some thousand problems, more than a person reads. With [`KEPT_RESULTS`] it
/// bounds what the history of a kind adds to the database.
pub(in crate::lifecycle) const MAX_RESULT: usize = 1 << 20;

/// Why the row of a job that was running is that of one which ended.
const SERVER_ENDED: &str = "the server ended while the job ran";

/// Who starts a job.
pub(super) enum Asked {
    /// A caller, whose permission is checked again, and whose deed is in the audit log.
    By(Grant<RunJobs>),
    /// The server itself.
    System,
}

/// Writes the row of a job that begins.
pub(super) async fn begin(meta: &Meta, job: Job, asked: Asked) -> Result<Sequence, JobError> {
    let change = match asked {
        Asked::By(_) => Change::default(),
        Asked::System => room(meta, 0)?,
    };
    let begun = meta.change(change, move |tx| {
        if let Asked::By(grant) = &asked {
            grant.recheck(tx)??;
        }
        let earlier = of_kind(tx, &job.kind)?;
        interrupt(tx, &earlier)?;
        for (sequence, earlier) in earlier.iter().rev().skip(KEPT_JOBS - 1) {
            remove(tx, *sequence, earlier.id)?;
        }
        let sequence = tx.next_sequence();
        tx.put(&schema::JOB, sequence, &job)?;
        tx.put(&schema::JOB_ID, job.id, &sequence)?;
        if let Asked::By(grant) = &asked {
            tx.audit(grant.caller().actor(), AuditAction::JobStart, target(&job.kind, job.id))?;
        }
        Ok(sequence)
    });
    begun.await
}

/// Writes how far a job is, what it said, and what it has found so far.
pub(super) async fn save(
    meta: &Meta,
    sequence: Sequence,
    (progress, unsaved): (JobProgress, &Unsaved),
    found: Option<String>,
) -> Result<(), StoreError> {
    let lines = unsaved.lines.clone();
    let change = room(meta, found.as_ref().map_or(0, String::len))?;
    let saved = meta.change(change, move |tx| {
        let Some(job) = tx.get(&schema::JOB, sequence)? else { return Ok(()) };
        put_lines(tx, sequence, &lines)?;
        let kind = job.kind.clone();
        tx.put(&schema::JOB, sequence, &Job { progress: progress.clone(), ..job })?;
        put_result(tx, sequence, &kind, found.as_ref())
    });
    saved.await
}

/// Writes how a job ended. `result` is what of its result may be stored.
pub(super) async fn end(
    meta: &Meta,
    sequence: Sequence,
    (progress, unsaved): (JobProgress, &Unsaved),
    ended: &Ended,
    result: Option<String>,
) -> Result<(), StoreError> {
    let change = room(meta, result.as_ref().map_or(0, String::len))?;
    let (lines, ended) = (unsaved.lines.clone(), ended.clone());
    let written = meta.change(change, move |tx| {
        let Some(job) = tx.get(&schema::JOB, sequence)? else { return Ok(()) };
        put_lines(tx, sequence, &lines)?;
        let kind = job.kind.clone();
        let job = Job {
            ended_ms: Some(ended.at_ms),
            state: ended.state,
            progress: progress.clone(),
            problems: ended.problems,
            error: ended.error.clone(),
            ..job
        };
        tx.put(&schema::JOB, sequence, &job)?;
        put_result(tx, sequence, &kind, result.as_ref())
    });
    written.await
}

/// Notes that a caller asks a job to end.
pub(super) async fn cancel(meta: &Meta, grant: Grant<RunJobs>, target: String) -> Result<(), JobError> {
    let noted = meta.write(move |tx| {
        grant.recheck(tx)??;
        Ok(tx.audit(grant.caller().actor(), AuditAction::JobCancel, target.clone())?)
    });
    noted.await
}

/// A job as the audit log names it.
pub(super) fn target(kind: &str, id: Uuid) -> String {
    format!("{kind}/{id}")
}

/// Marks every job that the last server has left, and hands out the last of each kind that came to its end.
/// It writes nothing when there is none to mark.
pub(super) async fn recover(meta: &Meta) -> Result<Vec<JobView>, StoreError> {
    let all = meta.scan(every::<ReadTx>).await?;
    if all.iter().any(|(_, job)| job.state == JobState::Running) {
        meta.change(room(meta, 0)?, |tx| interrupt(tx, &every(tx)?)).await?;
    }
    let mut last: Vec<JobView> = Vec::new();
    for (Sequence(order), job) in all.into_iter().rev().filter(|(_, job)| job.state == JobState::Done) {
        if last.iter().all(|known| known.job.kind != job.kind) {
            last.push(JobView { order, job, result: None });
        }
    }
    Ok(last)
}

/// Every job of a kind, or of all kinds, the newest first.
pub(super) fn list(tx: &impl Tx, kind: Option<&str>) -> Result<Vec<JobView>, StoreError> {
    let all = every(tx)?.into_iter().rev();
    let wanted = all.filter(|(_, job)| kind.is_none_or(|kind| kind == job.kind));
    Ok(wanted.map(|(Sequence(order), job)| JobView { order, job, result: None }).collect())
}

/// A job with what it found.
pub(super) fn find(tx: &impl Tx, id: Uuid) -> Result<Option<JobView>, StoreError> {
    let Some(sequence) = tx.get(&schema::JOB_ID, id)? else { return Ok(None) };
    let Some(job) = tx.get(&schema::JOB, sequence)? else { return Ok(None) };
    let result = tx.get(&schema::JOB_RESULT, sequence)?.map(Into::into);
    Ok(Some(JobView { order: sequence.0, job, result }))
}

/// The newest result of a kind, of whatever became of its job.
pub(super) fn last_result(tx: &impl Tx, kind: &str) -> Result<Option<String>, StoreError> {
    for (sequence, _) in of_kind(tx, kind)?.into_iter().rev() {
        let stored = tx.get(&schema::JOB_RESULT.raw(), sequence)?;
        if let Some(result) = stored.and_then(|Raw(row)| String::decode(&row)) {
            return Ok(Some(result));
        }
    }
    Ok(None)
}

/// What a job said.
pub(super) fn lines(tx: &impl Tx, id: Uuid) -> Result<Option<Vec<JobLine>>, StoreError> {
    let Some(sequence) = tx.get(&schema::JOB_ID, id)? else { return Ok(None) };
    let mut lines = Vec::new();
    tx.scan_prefix(&schema::JOB_LOG, sequence, |_, line| {
        lines.push(line);
        ControlFlow::Continue(())
    })?;
    Ok(Some(lines))
}

/// Where rows about jobs may be written. What is kept back for deletions on a full disk is not for them.
fn room(meta: &Meta, bytes: usize) -> Result<Change, StoreError> {
    if meta.reserve_is_lacking() { Err(StoreError::Full) } else { Ok(Change::undumped(bytes)) }
}

/// Every job, the oldest first. One whose row is damaged is left out: it keeps no other from being shown,
/// started or removed.
fn every<T: Tx>(tx: &T) -> Result<Vec<(Sequence, Job)>, StoreError> {
    let mut jobs = Vec::new();
    tx.scan_all(&schema::JOB.raw(), |sequence, Raw(row)| {
        if let Some(job) = Job::decode(&row) {
            jobs.push((sequence, job));
        } else {
            tracing::error!(job = %sequence, "the row of a job is damaged; run: stowage fsck");
        }
        ControlFlow::Continue(())
    })?;
    Ok(jobs)
}

fn of_kind(tx: &impl Tx, kind: &str) -> Result<Vec<(Sequence, Job)>, StoreError> {
    let mut jobs = every(tx)?;
    jobs.retain(|(_, job)| job.kind == kind);
    Ok(jobs)
}

/// Of these jobs none works any more, whatever their rows say.
fn interrupt(tx: &WriteTx<'_>, jobs: &[(Sequence, Job)]) -> Result<(), StoreError> {
    for (sequence, job) in jobs.iter().filter(|(_, job)| job.state == JobState::Running) {
        let error = Some(SERVER_ENDED.to_owned());
        let interrupted = Job { state: JobState::Interrupted, error, ..job.clone() };
        tx.put(&schema::JOB, *sequence, &interrupted)?;
    }
    Ok(())
}

fn put_lines(tx: &WriteTx<'_>, sequence: Sequence, lines: &[(u64, JobLine)]) -> Result<(), StoreError> {
    lines.iter().try_for_each(|(number, line)| tx.put(&schema::JOB_LOG, (sequence, *number), line))
}

fn remove(tx: &WriteTx<'_>, sequence: Sequence, id: Uuid) -> Result<(), StoreError> {
    let mut lines = Vec::new();
    tx.scan_prefix(&schema::JOB_LOG.keys(), sequence, |line, _| {
        lines.push(line);
        ControlFlow::Continue(())
    })?;
    for line in lines {
        tx.delete(&schema::JOB_LOG, (sequence, line))?;
    }
    tx.delete(&schema::JOB_RESULT, sequence)?;
    tx.delete(&schema::JOB_ID, id)?;
    tx.delete(&schema::JOB, sequence).map(drop)
}

fn put_result(
    tx: &WriteTx<'_>,
    sequence: Sequence,
    kind: &str,
    result: Option<&String>,
) -> Result<(), StoreError> {
    let Some(result) = result else { return Ok(()) };
    tx.put(&schema::JOB_RESULT, sequence, result)?;
    prune_results(tx, kind)
}

/// Removes all but the newest results of a kind.
fn prune_results(tx: &WriteTx<'_>, kind: &str) -> Result<(), StoreError> {
    let mut with_result = Vec::new();
    tx.scan_all(&schema::JOB_RESULT.keys(), |sequence, _| {
        with_result.push(sequence);
        ControlFlow::Continue(())
    })?;
    let jobs = of_kind(tx, kind)?;
    let of_kind = jobs.iter().rev().filter(|(sequence, _)| with_result.contains(sequence));
    for (sequence, _) in of_kind.skip(KEPT_RESULTS) {
        tx.delete(&schema::JOB_RESULT, *sequence)?;
    }
    Ok(())
}

//! Jobs: each is found by its id, and no index, log or result is of a job that is not there.

use super::check::Check;
use super::place::Place;
use crate::model::names::Sequence;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// The rows of jobs lead to each other.
pub(super) fn jobs(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::JOB)?;
    check.rows(&schema::JOB, |check, tx, sequence, job| {
        check.last_sequence = check.last_sequence.max(sequence);
        if tx.get(&schema::JOB_ID, job.id)? != Some(Sequence(sequence)) {
            let expected = format!("the id {} leads to job {sequence}", job.id);
            check.inconsistency("job_id", Place::STORE, expected, "it does not");
        }
        Ok(())
    })?;
    check.rows(&schema::JOB_ID, |check, tx, id, sequence| {
        if tx.get(&schema::JOB, sequence)?.is_none_or(|job| job.id.as_bytes() != id) {
            let expected = format!("job {sequence} has the id that leads to it");
            check.inconsistency("job_id", Place::STORE, expected, "it has not");
        }
        Ok(())
    })?;
    let mut last = None;
    check.rows(&schema::JOB_LOG, |check, tx, (sequence, _), _| {
        // The first line tells of all.
        if last.replace(sequence) != Some(sequence) {
            of_a_job(check, tx, sequence, "job_log")?;
        }
        Ok(())
    })?;
    check.rows(&schema::JOB_RESULT, |check, tx, sequence, _| of_a_job(check, tx, sequence, "job_result"))
}

fn of_a_job(check: &mut Check<'_>, tx: &ReadTx, sequence: u64, kind: &'static str) -> Result<(), StoreError> {
    if !tx.has(&schema::JOB, Sequence(sequence))? {
        check.inconsistency(kind, Place::STORE, format!("a job {sequence}"), "there is none");
    }
    Ok(())
}

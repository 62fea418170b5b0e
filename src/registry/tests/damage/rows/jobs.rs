//! Damage to the rows of jobs.

use uuid::Uuid;

use super::*;
use crate::model::time::RunningSecond;
use crate::store::meta::schema::{Job, JobLine, JobProgress, JobState};

const ID: Uuid = Uuid::from_bytes([7; 16]);

fn job() -> Job {
    Job {
        id: ID,
        kind: "check".to_owned(),
        parameters: "{}".to_owned(),
        by: "hanna".to_owned(),
        started_ms: 0,
        ended_ms: None,
        state: JobState::Running,
        progress: JobProgress::default(),
        problems: 0,
        error: None,
    }
}

fn line() -> JobLine {
    JobLine { at_ms: 0, text: "a line".to_owned() }
}

#[test]
fn damage_to_jobs_and_what_belongs_to_them_is_found() {
    assert_found(&[
        ("job_id", |tx, _, _| tx.put(&schema::JOB, Sequence(1), &job())),
        ("job_id", |tx, _, _| tx.put(&schema::JOB_ID, ID, &Sequence(1))),
        ("job_id", |tx, _, _| {
            tx.put(&schema::JOB, Sequence(1), &job())?;
            tx.put(&schema::JOB_ID, ID, &Sequence(1))?;
            tx.put(&schema::JOB_ID, Uuid::from_bytes([8; 16]), &Sequence(1))
        }),
        ("job_log", |tx, _, _| tx.put(&schema::JOB_LOG, (Sequence(1), 0), &line())),
        ("job_result", |tx, _, _| tx.put(&schema::JOB_RESULT, Sequence(1), &"{}".to_owned())),
        ("clock", |tx, _, _| {
            tx.put(&schema::JOB, Sequence(1 << 40), &job())?;
            tx.put(&schema::JOB_ID, ID, &Sequence(1 << 40))
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::JOB.raw(), Sequence(1), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::JOB_LOG.raw(), (Sequence(1), 0), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::QUARANTINE.raw(), Sequence(1), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::COLLECTION.raw(), (), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::PROMISE.raw(), (), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::PROMISED.raw(), (), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::PIN.raw(), (RunningSecond(9), "a"), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::SCHEDULE.raw(), "gc", &Raw(vec![9]))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::SCHEDULE_RUN.raw(), "gc", &Raw(vec![9]))),
    ]);
}

#[test]
fn a_damaged_line_of_a_job_is_in_no_repository() {
    let store = Store::new();
    let server = store.open();
    server.forge(|tx| {
        tx.put(&schema::JOB, Sequence(1), &job())?;
        tx.put(&schema::JOB_ID, ID, &Sequence(1))?;
        tx.put(&schema::JOB_LOG, (Sequence(1), 0), &line())?;
        tx.put(&schema::JOB_LOG.raw(), (Sequence(1), 1), &Raw(vec![9]))
    });
    let problems = server.check().problems;
    assert_eq!((problems.len(), problems[0].kind, &problems[0].repository), (1, "row_unreadable", &None));
    server.stop();
}

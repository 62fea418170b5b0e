//! Jobs: what was asked for and what became of it, what each of them said, and what it found.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::names::Sequence;
use crate::store::meta::table::{Record, Table};

/// sequence -> a job, the one that was started last with the highest number.
pub const JOB: Table<Sequence, Job> = Table::new("job");

/// The id that callers know -> the sequence of the job.
pub const JOB_ID: Table<Uuid, Sequence> = Table::new("job_id");

/// (sequence, line) -> what the job said there; lines are counted from 0.
pub const JOB_LOG: Table<(Sequence, u64), JobLine> = Table::new("job_log");

/// sequence -> what the job found, as JSON: the answer of the API has it as it is. Only the newest jobs of a
/// kind have one.
pub const JOB_RESULT: Table<Sequence, String> = Table::new("job_result");

/// Work of a server that takes longer than an answer may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The id that callers know.
    pub id: Uuid,
    /// What it does, as one word.
    pub kind: String,
    /// What was asked for, as a JSON object of its kind: a later version may add fields to it, and still read
    /// what this one has written.
    pub parameters: String,
    /// Who asked for it.
    pub by: String,
    /// When it began, in Unix milliseconds.
    pub started_ms: u64,
    /// When it ended, in Unix milliseconds; `None`: it has not, or the end of its server ended it.
    pub ended_ms: Option<u64>,
    /// How it is.
    pub state: JobState,
    /// How far it was when the row was written last.
    pub progress: JobProgress,
    /// How much of what it found needs attention.
    pub problems: u64,
    /// Why it did not come to its end.
    pub error: Option<String>,
}

impl Record for Job {}

/// How a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// It works.
    Running,
    /// It came to its end.
    Done,
    /// It could not go on.
    Failed,
    /// A caller, or the stop of the server, ended it.
    Cancelled,
    /// Its server ended without a stop.
    Interrupted,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// What it works on.
    pub stage: String,
    /// Rows or files so far, in this stage.
    pub done: u64,
    /// Rows or files in all; 0: not known.
    pub total: u64,
    /// Bytes so far, in all stages.
    pub bytes: u64,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub text: String,
}

impl Record for JobLine {}

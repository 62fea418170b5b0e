//! What is told of a job.

use std::sync::Arc;

pub use crate::store::meta::schema::{JobLine, JobProgress, JobState};

use crate::store::meta::schema::Job;

/// A job as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its place among all jobs: a later one has a higher number.
    pub order: u64,
    /// What its row says, or would say if it were written now.
    pub job: Job,
    /// What it found, as JSON; lists leave it out.
    pub result: Option<Arc<str>>,
}

impl JobView {
    /// When it ended, or else when it began, in Unix milliseconds.
    pub fn ended_or_started_ms(&self) -> u64 {
        self.job.ended_ms.unwrap_or(self.job.started_ms)
    }
}

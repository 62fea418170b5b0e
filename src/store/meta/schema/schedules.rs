//! When recurring jobs run: what was set by an admin, and what ran last.

use serde::{Deserialize, Serialize};

use crate::model::time::RunningSecond;
use crate::store::meta::table::{Record, Table};

/// kind of job -> the schedule that an admin has set; it overrides the settings.
pub const SCHEDULE: Table<&'static str, Schedule> = Table::new("schedule");

/// A schedule that was set through the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When the job runs, as it was written: `daily 03:30`.
    pub when: String,
    /// Who set it.
    pub by: String,
    /// When it was set, in Unix milliseconds.
    pub at_ms: u64,
}

impl Record for Schedule {}

/// kind of job -> its last scheduled run.
pub const SCHEDULE_RUN: Table<&'static str, ScheduleRun> = Table::new("schedule_run");

/// The last scheduled run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// The time for which it was due, in Unix milliseconds: no run is due for this time or an earlier one.
    pub due_ms: u64,
    /// When it began, in Unix milliseconds.
    pub began_ms: u64,
    /// Running second at which it began.
    pub began: RunningSecond,
}

impl Record for ScheduleRun {}

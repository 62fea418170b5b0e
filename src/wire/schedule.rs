//! `/api/v1/schedules`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Job, JobKind, OpenEnum};

/// When a job runs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// What runs.
    #[schema(value_type = JobKind, inline)]
    pub job: OpenEnum<JobKind>,
    /// When it runs: `off`, `hourly`, `daily 03:30`, `weekly sun 03:30`, `every 6h`, or five fields of cron.
    pub when: String,
    /// The time zone of `when`: `scheduler.timezone`.
    pub timezone: String,
    /// The setting that applies where no schedule was set.
    pub setting: String,
    /// The value of that setting.
    pub configured: String,
    /// The schedule that was set instead of the setting.
    #[serde(rename = "override")]
    #[schema(required = true)]
    pub set: Option<ScheduleOverride>,
    /// The next run; null: none comes.
    #[schema(required = true, format = DateTime)]
    pub next_at: Option<String>,
    /// The last job of this kind, however it was started, without its result.
    #[schema(required = true)]
    pub last_job: Option<Job>,
}

/// A schedule that was set instead of the setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleOverride {
    /// When the job runs.
    pub when: String,
    /// Who set it.
    pub by: String,
    /// When it was set.
    #[schema(format = DateTime)]
    pub at: String,
}

/// A schedule to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    /// When the job runs: `off`, `hourly`, `daily 03:30`, `weekly sun 03:30`, `every 6h`, or five fields of
    /// cron.
    pub when: String,
}

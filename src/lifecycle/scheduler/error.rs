//! Why nothing was done about a schedule.

use crate::access::Withdrawn;
use crate::lifecycle::jobs::JobError;
use crate::model::when::WhenError;
use crate::store::meta::StoreError;

/// Characters of a name that an error quotes.
const QUOTED: usize = 40;

/// Why nothing was done about a schedule.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// No job with this name runs by itself.
    #[error("{0:?} is no job that runs by itself")]
    Unknown(String),
    /// The text is no schedule.
    #[error(transparent)]
    When(#[from] WhenError),
    /// The permission ended meanwhile.
    #[error("the right to change schedules was withdrawn meanwhile")]
    Withdrawn,
    /// The rows of jobs cannot be read.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The rows of schedules cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ScheduleError {
    /// There is no job with this name.
    pub(super) fn unknown(job: &str) -> Self {
        Self::Unknown(job.chars().take(QUOTED).collect())
    }
}

impl From<Withdrawn> for ScheduleError {
    fn from(Withdrawn: Withdrawn) -> Self {
        Self::Withdrawn
    }
}

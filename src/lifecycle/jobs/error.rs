//! Why a job was not started, found or cancelled.

use uuid::Uuid;

use crate::access::Withdrawn;
use crate::store::meta::{CompactError, StoreError};
use crate::wire::JobKind;

/// Why nothing was done about a job.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// One of its kind is under way.
    #[error("a {kind} is already running: job {id}")]
    Runs {
        /// The kind.
        kind: JobKind,
        /// That job.
        id: Uuid,
    },
    /// The database cannot be compacted now.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// A pin keeps garbage collection from removing anything.
    #[error("{0}")]
    Pinned(String),
    /// The permission ended meanwhile.
    #[error("the right to run jobs was withdrawn meanwhile")]
    Withdrawn,
    /// The rows of jobs cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Withdrawn> for JobError {
    fn from(Withdrawn: Withdrawn) -> Self {
        Self::Withdrawn
    }
}

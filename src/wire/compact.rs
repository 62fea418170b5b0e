//! `/api/v1/compact`: the size of the database file, and what makes it smaller.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Job;

/// The database file, and the runs that make it smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompactStatus {
    /// Bytes of the database file on the disk.
    pub file_bytes: u64,
    /// Bytes that it would have after a compaction, estimated.
    pub needed_bytes: u64,
    /// Bytes that a compaction would give back, estimated.
    pub free_bytes: u64,
    /// Whether the next scheduled run compacts the file: more than half of it, and at least 8 MiB,
    /// are free.
    pub due: bool,
    /// Why a compaction would be refused now; null: it would not.
    #[schema(required = true)]
    pub refused: Option<String>,
    /// When the server looks next whether the file is to be compacted; null: it does not.
    #[schema(required = true, format = DateTime)]
    pub next_at: Option<String>,
    /// The run that works.
    #[schema(required = true)]
    pub running: Option<Job>,
    /// The last run that came to its end.
    #[schema(required = true)]
    pub last: Option<Job>,
}

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Compacted {
    /// Whether the file was compacted; false: too little of it was free, so a scheduled run left it as it
    /// was.
    pub compacted: bool,
    /// Bytes of the file on the disk before.
    pub before_bytes: u64,
    /// Bytes of the file on the disk now.
    pub after_bytes: u64,
    /// Rows that were copied to the new file.
    pub rows: u64,
    /// How long changes had to wait at its end, in milliseconds. Reads did not wait.
    pub paused_ms: u64,
}

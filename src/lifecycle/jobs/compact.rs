//! Compaction: gives the space of deleted rows in the database file back to the disk, while the server works.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::config::MinFree;
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::units::exact_size;
use crate::registry::fsck::Progress;
use crate::store::meta::{CompactError, DatabaseSize, Meta};
use crate::wire::{Compacted, JobKind};

/// When the database is compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactParams {
    /// Only if more than half of the file is free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_mostly_free: bool,
}

/// A compaction of the database.
pub struct CompactJob {
    meta: Arc<Meta>,
    /// What must stay free on the disk beside the new file.
    min_free: MinFree,
}

impl CompactJob {
    /// One of this database.
    pub const fn new(meta: Arc<Meta>, min_free: MinFree) -> Self {
        Self { meta, min_free }
    }
}

impl Job for CompactJob {
    const KIND: JobKind = JobKind::Compact;
    type Params = CompactParams;
    type Output = Compacted;

    fn run(&self, params: &CompactParams, context: &Context<'_>) -> Result<Finished<Compacted>, Unfinished> {
        if params.if_mostly_free {
            let size = self.meta.database_size().map_err(|error| Unfinished::Failed(error.to_string()))?;
            if let Some(reason) = reason_to_leave(size, context) {
                context.log(format!("left as it is: {reason}"));
                let (before_bytes, after_bytes) = (size.file_bytes, size.file_bytes);
                let output = Compacted { before_bytes, after_bytes, ..Compacted::default() };
                return Ok(Finished { output, problems: 0 });
            }
        }
        let started = Instant::now();
        let compacted = self.meta.compact(self.min_free, &mut |done, total, bytes| {
            context.progress(Progress { stage: "rows", done, total, bytes })
        });
        match compacted {
            Ok(done) => {
                let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let paused_ms = u64::try_from(done.paused.as_millis()).unwrap_or(u64::MAX);
                let (before_bytes, after_bytes, rows) = (done.before_bytes, done.after_bytes, done.rows);
                tracing::info!(before_bytes, after_bytes, rows, paused_ms, ms, "compacted the database");
                let (before, after) = (exact_size(before_bytes), exact_size(after_bytes));
                context.log(format!(
                    "the database file had {before} and has {after}; changes waited {paused_ms} ms"
                ));
                let output = Compacted { compacted: true, before_bytes, after_bytes, rows, paused_ms };
                Ok(Finished { output, problems: 0 })
            }
            Err(CompactError::Ended) => {
                tracing::info!("the compaction was cancelled; the database file is as it was");
                Err(Unfinished::Cancelled)
            }
            Err(error) => {
                tracing::warn!(%error, "the database was not compacted; its file is as it was");
                Err(Unfinished::Failed(error.to_string()))
            }
        }
    }
}

/// Why a scheduled run leaves the file as it is.
fn reason_to_leave(size: DatabaseSize, context: &Context<'_>) -> Option<String> {
    let (free, file) = (exact_size(size.free_bytes()), exact_size(size.file_bytes));
    if !size.is_mostly_free() {
        return Some(format!("about {free} of {file} are free"));
    }
    // The estimate may be wrong: then a run of the same file would give back nothing again.
    let earlier: Compacted = serde_json::from_str(&context.earlier()?).ok()?;
    let gave_little = earlier.compacted && earlier.after_bytes > earlier.before_bytes / 4 * 3;
    (gave_little && size.file_bytes <= earlier.before_bytes)
        .then(|| "the last compaction gave back less than a quarter, and the file has not grown".to_owned())
}

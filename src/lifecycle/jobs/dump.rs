//! The dump: writes all metadata of one moment to a file of its own, while the server works.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::lifecycle::dumps::Dumps;
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::units::{counted, exact_size};
use crate::registry::fsck::Progress;
use crate::store::meta::Meta;
use crate::store::meta::dump::{DumpError, Written};
use crate::wire::{DumpMade, JobKind};

/// How a dump is made: as the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpParams {}

/// A dump of the metadata.
pub struct DumpJob {
    meta: Arc<Meta>,
    dumps: Arc<Dumps>,
}

impl DumpJob {
    /// One that is made where `dumps` says.
    pub const fn new(meta: Arc<Meta>, dumps: Arc<Dumps>) -> Self {
        Self { meta, dumps }
    }
}

impl Job for DumpJob {
    const KIND: JobKind = JobKind::Dump;
    type Params = DumpParams;
    type Output = DumpMade;

    fn run(&self, _: &DumpParams, context: &Context<'_>) -> Result<Finished<DumpMade>, Unfinished> {
        let started = Instant::now();
        // Read before the snapshot: what is committed in between makes the next dump due.
        let changes = self.meta.changes();
        let (dir, keep) = self.dumps.place();
        let written = self.meta.dump_with(dir, keep, &mut |done, total| {
            context.progress(Progress { stage: "rows", done, total, bytes: 0 })
        });
        match written {
            Ok(written) => {
                self.dumps.made(changes);
                let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                Ok(finished(written, ms, context))
            }
            Err(DumpError::Ended) => {
                tracing::info!("the dump was cancelled");
                Err(Unfinished::Cancelled)
            }
            Err(error) => {
                tracing::warn!(%error, "the metadata could not be dumped; the earlier dumps stay as they are");
                Err(Unfinished::Failed(error.to_string()))
            }
        }
    }
}

fn finished(written: Written, ms: u64, context: &Context<'_>) -> Finished<DumpMade> {
    let Written { path, totals, bytes, .. } = written;
    let (rows, manifests, damaged) = (totals.rows, totals.bodies, totals.damaged);
    tracing::info!(dump = %path.display(), rows, manifests, bytes, ms, "dumped the metadata");
    let (rows_text, manifests_text) =
        (counted(rows, "row", "rows"), counted(manifests, "manifest", "manifests"));
    let file = name(&path);
    context.log(format!("{file} has {rows_text} and {manifests_text}; wrote {}", exact_size(bytes)));
    if damaged > 0 {
        tracing::warn!(
            rows = damaged,
            "the metadata is damaged; the last dump of before is kept; run: stowage fsck"
        );
        let damaged = counted(damaged, "row is", "rows are");
        context.log(format!("{damaged} damaged; the last dump of before is kept; run: stowage fsck"));
    }
    Finished { output: DumpMade { file, rows, manifests, bytes, damaged }, problems: damaged }
}

/// The name of a file.
fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

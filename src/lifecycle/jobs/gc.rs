//! Garbage collection: removes what nothing refers to, while the server works.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::access::{Grant, System};
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::units::{counted, exact_size};
use crate::registry::fsck::Progress;
use crate::registry::{CollectMode, Collected, Registry, Untagged};
use crate::wire::{self, GcMode, JobKind};

/// How garbage is collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcParams {
    /// How far the run goes.
    #[serde(default)]
    pub mode: GcMode,
    /// How long a manifest stays that no tag leads to, in running seconds; absent: as the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untagged_s: Option<u64>,
}

/// A run of garbage collection.
pub struct GcJob {
    registry: Arc<Registry>,
    grant: Grant<System>,
}

impl GcJob {
    /// A run in the name of the server.
    pub const fn new(registry: Arc<Registry>, grant: Grant<System>) -> Self {
        Self { registry, grant }
    }
}

impl Job for GcJob {
    const KIND: JobKind = JobKind::Gc;
    type Params = GcParams;
    type Output = wire::Collected;

    fn run(&self, params: &GcParams, context: &Context<'_>) -> Result<Finished<wire::Collected>, Unfinished> {
        let mode = match params.mode {
            GcMode::Scheduled => CollectMode::Scheduled,
            GcMode::SpaceIsShort => CollectMode::SpaceIsShort,
            GcMode::Now => CollectMode::Now,
            GcMode::EmptyTrash => CollectMode::EmptyTrash,
        };
        let (started, longest) = (Instant::now(), self.registry.max_collection());
        let (mut cancelled, mut late) = (false, false);
        let mut goes_on = |done: &Collected| {
            let (found, bytes) = (done.blobs, done.freed_bytes);
            let progress = Progress { stage: "blobs", done: found, total: 0, bytes };
            cancelled = context.progress(progress).is_break();
            late = !longest.is_zero() && started.elapsed() >= longest;
            !cancelled && !late
        };
        let untagged = params.untagged_s.map_or(Untagged::AsSet, Untagged::For);
        let collected = self.registry.collect_blocking(&self.grant, mode, untagged, &mut goes_on);
        match collected {
            Ok(done) => {
                tell(&done, context);
                if cancelled {
                    tracing::info!("garbage collection was cancelled; the next run continues");
                    return Err(Unfinished::Cancelled);
                }
                if late {
                    context.log("partly done: storage.gc.max_duration is over; the next run continues");
                }
                if let Some(pin) = &done.pinned {
                    context.log(format!("the pin {pin} holds everything until its end: stowage gc pins"));
                }
                Ok(Finished { problems: done.spared, output: output(done, !late) })
            }
            Err(error) => {
                tracing::warn!(%error, "garbage collection ended with an error; the next run continues");
                Err(Unfinished::Failed(error.to_string()))
            }
        }
    }
}

/// Writes to the log of the job, and of the server, what was done.
fn tell(done: &Collected, context: &Context<'_>) {
    let Collected { trash, manifests, links, blobs, bytes, freed_bytes, promised, spared, .. } = done;
    if trash + manifests + links + blobs + freed_bytes + spared > 0 {
        tracing::info!(
            trash,
            manifests,
            links,
            blobs,
            bytes,
            freed_bytes,
            promised,
            spared,
            "collected garbage"
        );
    }
    if *trash > 0 {
        context.log(format!("removed {} from the trash", counted(*trash, "deletion", "deletions")));
    }
    if *manifests > 0 {
        let manifests = counted(*manifests, "manifest", "manifests");
        context.log(format!("deleted {manifests} that no tag leads to"));
    }
    let (links, blobs) = (counted(*links, "link", "links"), counted(*blobs, "blob", "blobs"));
    context.log(format!("collected {links} and {blobs} ({})", exact_size(*bytes)));
    context.log(format!("freed {}", exact_size(*freed_bytes)));
    if *promised > 0 {
        let promised = counted(*promised, "link was", "links were");
        context.log(format!("{promised} promised to a client: see stowage gc status"));
    }
    for what in &done.spared_names {
        context.log(format!("left alone: {what}; run: stowage fsck"));
    }
}

fn output(done: Collected, complete: bool) -> wire::Collected {
    let Collected {
        trash,
        manifests,
        later,
        links,
        blobs,
        bytes,
        freed_bytes,
        promised,
        spared,
        spared_names,
        pinned,
        ..
    } = done;
    wire::Collected {
        trash,
        manifests,
        manifests_later: later,
        links,
        blobs,
        bytes,
        freed_bytes,
        promised,
        spared,
        spared_names,
        complete: complete && pinned.is_none(),
        pinned,
    }
}

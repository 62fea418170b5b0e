//! Starts garbage collection when pushes are refused because too little space is free, and when a pin has
//! ended that kept a run from its work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access::{Access, Grant, System};
use crate::lifecycle::jobs::{GcJob, GcParams, JobError, Jobs};
use crate::lifecycle::worker::Worker;
use crate::registry::{Registry, RegistryError};
use crate::wire::{GcMode, JobKind};

/// The time between two runs while space stays short: what was not due before is hardly due a moment later.
const REST: Duration = Duration::from_mins(10);

pub(super) struct CollectWhenFull {
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) access: Arc<Access>,
    pub(super) grant: Grant<System>,
    /// When it started a run last.
    pub(super) last: Mutex<Option<Instant>>,
    /// When it told last that a pin keeps it from that.
    pub(super) told: Mutex<Option<Instant>>,
}

impl CollectWhenFull {
    fn is_due(&self) -> bool {
        // A compaction needs space only until it is done, and ends by itself when that is short.
        !self.registry.has_space() && has_rested(&self.last) && !self.jobs.runs(JobKind::Compact)
    }

    /// A scheduled run that met a pin is made when that has ended.
    async fn make_up(&self) {
        let job = GcJob::new(Arc::clone(&self.registry), self.access.system("gc"));
        match self.jobs.start_by_system(&self.grant, job, GcParams::default()).await {
            Ok(_) => tracing::info!("the last pin has ended: garbage collection works again"),
            Err(error) => tracing::info!(%error, "garbage collection was not started"),
        }
    }
}

impl Worker for CollectWhenFull {
    fn pause(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn step(&self) {
        if self.registry.takes_owed_collection() {
            self.make_up().await;
        }
        if !self.is_due() {
            return;
        }
        if let Err(pinned @ RegistryError::Pinned(_)) = self.registry.check_pins() {
            if has_rested(&self.told) {
                note(&self.told);
                tracing::warn!("space is short, and {pinned}");
            }
            return;
        }
        let job = GcJob::new(Arc::clone(&self.registry), self.access.system("gc"));
        let params = GcParams { mode: GcMode::SpaceIsShort, untagged_s: None };
        match self.jobs.start_by_system(&self.grant, job, params).await {
            Ok(_) => {
                note(&self.last);
                tracing::warn!(
                    "space is short: garbage collection removes what no client was promised, also from quarantine and the trash"
                );
            }
            // A usual run only moves files to quarantine: this one follows it.
            Err(JobError::Runs { .. }) => {}
            Err(error) => tracing::warn!(%error, "garbage collection was not started"),
        }
    }
}

fn has_rested(last: &Mutex<Option<Instant>>) -> bool {
    last.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|last| last.elapsed() >= REST)
}

fn note(last: &Mutex<Option<Instant>>) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

//! Starts garbage collection when pushes are refused because too little space is free.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access::{Access, Grant, System};
use crate::lifecycle::jobs::{GcJob, GcParams, JobError, Jobs};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;
use crate::wire::GcMode;

/// The time between two runs while space stays short: what was not due before is hardly due a moment later.
const REST: Duration = Duration::from_mins(10);

pub(super) struct CollectWhenFull {
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) access: Arc<Access>,
    pub(super) grant: Grant<System>,
    /// When it started a run last.
    pub(super) last: Mutex<Option<Instant>>,
}

impl CollectWhenFull {
    fn is_due(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        !self.registry.has_space() && last.is_none_or(|last| last.elapsed() >= REST)
    }

    fn note_start(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Worker for CollectWhenFull {
    fn pause(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn step(&self) {
        if !self.is_due() {
            return;
        }
        let job = GcJob::new(Arc::clone(&self.registry), self.access.system("gc"));
        let params = GcParams { mode: GcMode::SpaceIsShort, untagged_s: None };
        match self.jobs.start_by_system(&self.grant, job, params).await {
            Ok(_) => {
                self.note_start();
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

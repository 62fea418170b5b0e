//! Starts a dump of the metadata when one is due.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::dumps::Dumps;
use crate::lifecycle::jobs::{DumpJob, DumpParams, Jobs};
use crate::lifecycle::worker::Worker;
use crate::store::meta::Meta;

pub(super) struct MakeDumps {
    pub(super) meta: Arc<Meta>,
    pub(super) dumps: Arc<Dumps>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) grant: Grant<System>,
}

impl Worker for MakeDumps {
    fn pause(&self) -> Duration {
        self.dumps.pause()
    }

    async fn step(&self) {
        if !self.dumps.due(self.meta.clock().now().wall_ms, self.meta.changes()) {
            return;
        }
        let job = DumpJob::new(Arc::clone(&self.meta), Arc::clone(&self.dumps));
        if let Err(error) = self.jobs.start_by_system(&self.grant, job, DumpParams {}).await {
            tracing::warn!(%error, "no dump was started");
        }
    }
}

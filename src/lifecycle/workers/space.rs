//! Samples the free space of the disk.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;

pub(super) struct SampleSpace {
    registry: Arc<Registry>,
    grant: Grant<System>,
}

impl SampleSpace {
    pub(super) const fn new(registry: Arc<Registry>, grant: Grant<System>) -> Self {
        Self { registry, grant }
    }
}

impl Worker for SampleSpace {
    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn step(&self) {
        self.registry.sample_space(&self.grant).await;
    }
}

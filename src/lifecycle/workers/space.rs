//! Samples the free space of the disk.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;

pub(super) struct SampleSpace {
    pub(super) registry: Arc<Registry>,
    pub(super) grant: Grant<System>,
}

impl Worker for SampleSpace {
    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn step(&self) {
        self.registry.sample_space(&self.grant).await;
    }
}

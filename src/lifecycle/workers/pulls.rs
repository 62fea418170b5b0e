//! Writes the pulls that were counted in memory.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;

pub(super) struct StorePulls {
    pub(super) registry: Arc<Registry>,
    pub(super) grant: Grant<System>,
}

impl Worker for StorePulls {
    fn pause(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn due(&self) {
        // Both outcomes, the time-out and the notification, mean that it is time to write.
        let _ = tokio::time::timeout(self.pause(), self.registry.pulls_are_many()).await;
    }

    async fn step(&self) {
        if let Err(error) = self.registry.store_pulls(&self.grant).await {
            tracing::warn!(%error, "could not store the pull counts");
            // If the last write failed there are still many, so the notification alone would retry without a
            // pause.
            tokio::time::sleep(self.pause()).await;
        }
    }
}

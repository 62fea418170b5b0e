//! Removes old entries of the audit log, and the tag history of repositories that were deleted.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;

pub(super) struct TrimHistory {
    pub(super) registry: Arc<Registry>,
    pub(super) grant: Grant<System>,
}

impl Worker for TrimHistory {
    fn pause(&self) -> Duration {
        Duration::from_mins(10)
    }

    async fn step(&self) {
        match self.registry.trim(&self.grant).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::debug!(
                    removed,
                    "removed old audit entries and the tag history of deleted repositories"
                );
            }
            Err(error) => tracing::warn!(%error, "old audit entries and tag histories could not be removed"),
        }
    }
}

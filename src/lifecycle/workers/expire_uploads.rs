//! Ends uploads that were idle for too long, and uploads whose owner may not sign in any more.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::lifecycle::worker::Worker;
use crate::registry::Registry;

pub(super) struct ExpireUploads {
    pub(super) registry: Arc<Registry>,
    pub(super) grant: Grant<System>,
}

impl Worker for ExpireUploads {
    fn pause(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn step(&self) {
        let ended = match self.registry.expire_uploads(&self.grant).await {
            Ok(_) => self.registry.end_uploads_without_owner(&self.grant).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "could not remove expired uploads");
        }
    }
}

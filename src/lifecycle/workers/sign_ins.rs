//! Removes refresh tokens that have expired.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Grant, System};
use crate::auth::Auth;
use crate::lifecycle::worker::Worker;

pub(super) struct ExpireSignIns {
    pub(super) auth: Arc<Auth>,
    pub(super) grant: Grant<System>,
}

impl Worker for ExpireSignIns {
    fn pause(&self) -> Duration {
        Duration::from_hours(1)
    }

    async fn step(&self) {
        match self.auth.expire_refresh_tokens(&self.grant).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::debug!(removed, "removed expired refresh tokens");
            }
            Err(error) => tracing::warn!(%error, "could not remove expired refresh tokens"),
        }
    }
}

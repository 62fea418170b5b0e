//! Removes leftovers of uploads that cannot continue.

use std::sync::Arc;

use crate::access::{Grant, System};
use crate::registry::Registry;

/// Removes, once, what the uploads of the previous run left.
pub(super) async fn sweep(registry: Arc<Registry>, grant: Grant<System>) {
    if let Err(error) = registry.sweep_uploads(&grant).await {
        tracing::warn!(%error, "leftovers of uploads could not be removed; the next start tries again");
    }
}

/// Ends the uploads of users and tokens that may not sign in any more.
pub async fn end_without_owner(registry: Arc<Registry>, grant: Grant<System>) {
    if let Err(error) = registry.end_uploads_without_owner(&grant).await {
        tracing::warn!(%error, "uploads of a user or token that may not sign in any more could not be ended");
    }
}

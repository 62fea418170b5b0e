//! `[registry]`: what is accepted.

use serde::{Deserialize, Serialize};

/// `[registry]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// Upload bodies received at the same time; more of them wait.
    pub max_concurrent_uploads: usize,
    /// Whether the blobs that a manifest names must exist.
    pub require_references: bool,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { max_concurrent_uploads: 64, require_references: true }
    }
}

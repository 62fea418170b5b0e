//! `[limits]`: what one principal may make the server hold.

use serde::{Deserialize, Serialize};

use crate::model::units::ByteSize;

/// `[limits]`: what one principal, a user or an address without a sign-in, may make the server hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Upload sessions of one principal.
    pub upload_sessions: usize,
    /// Upload sessions of all principals.
    pub upload_sessions_total: usize,
    /// Bytes of unfinished uploads of one principal.
    pub staged: ByteSize,
    /// Request bodies of one principal that are received or wait.
    pub bodies: usize,
    /// Lists that are read from the database at the same time; one principal has half of them.
    pub scans: usize,
    /// Memory for large manifests on their way in; one principal has half of it.
    pub manifest_memory: ByteSize,
    /// Tags of one repository.
    pub tags_per_repository: usize,
    /// TLS handshakes that are computed at the same time; one address has half of them.
    pub handshakes: usize,
    /// Refresh tokens of one user; the oldest one ends when there are more.
    pub refresh_tokens: usize,
    /// Streams of events of jobs that one principal may have open; all together have sixteen times as many.
    pub event_streams: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            upload_sessions: 2048,
            upload_sessions_total: 16_384,
            staged: ByteSize::mib(256 << 10),
            bodies: 512,
            scans: 8,
            manifest_memory: ByteSize::mib(32),
            tags_per_repository: 100_000,
            handshakes: 16,
            refresh_tokens: 2048,
            event_streams: 16,
        }
    }
}

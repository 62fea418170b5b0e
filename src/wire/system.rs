//! `/api/v1/system`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Pin;

/// The content of the registry, and the state of its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct System {
    /// The version of the server.
    pub version: String,
    /// How many repositories there are.
    pub repositories: u64,
    /// How many tags there are.
    pub tags: u64,
    /// How many manifests there are.
    pub manifests: u64,
    /// How many blobs there are.
    pub blobs: u64,
    /// Manifests and blobs.
    pub size_bytes: u64,
    /// Deletions in the trash.
    #[serde(default)]
    #[schema(required = true)]
    pub trash: u64,
    /// Why the store refuses changes at present; null: it does not.
    #[schema(required = true)]
    pub changes_refused: Option<String>,
    /// All blobs on the disk.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Of these, the blobs that no manifest refers to: left by deletions and unfinished pushes.
    #[serde(default)]
    pub unused_bytes: u64,
    /// How many blobs that are.
    #[serde(default)]
    pub unused_blobs: u64,
    /// The free bytes on the disk of the blobs.
    pub free_bytes: u64,
    /// The size of that disk.
    pub total_bytes: u64,
    /// Why pushes are refused at present: too little free space.
    #[schema(required = true)]
    pub pushes_refused: Option<String>,
    /// Why the free space needs attention although pushes are accepted: less than `storage.warn_free`.
    #[serde(default)]
    #[schema(required = true)]
    pub space_warning: Option<String>,
    /// The server itself; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub server: Option<Server>,
    /// Principals that reached a limit in the last minute or two; for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limits: Option<Vec<LimitReached>>,
}

/// The state of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// Its URLs; empty when a command has opened the store itself.
    pub urls: Vec<String>,
    /// When its certificate expires; null without TLS.
    #[schema(required = true, format = DateTime)]
    pub certificate_expires_at: Option<String>,
    /// Why its certificate needs attention: it has expired, expires soon, is not valid yet, or its chain is
    /// long, unordered or incomplete.
    pub certificate_warnings: Vec<String>,
    /// How long it has run, in seconds.
    pub uptime_s: u64,
    /// Its data directory.
    pub data_dir: String,
    /// Open upload sessions.
    pub uploads: u64,
    /// Bytes of the database file on the disk.
    #[serde(default)]
    pub database_bytes: u64,
    /// Of these, the bytes that a compaction would give back, estimated.
    #[serde(default)]
    pub database_free_bytes: u64,
    /// When the last dump of the metadata was made.
    #[schema(required = true, format = DateTime)]
    pub last_dump_at: Option<String>,
    /// The last check that was completed.
    #[schema(required = true)]
    pub last_check: Option<LastCheck>,
    /// The last garbage collection that was completed.
    #[serde(default)]
    #[schema(required = true)]
    pub last_gc: Option<LastGc>,
    /// The pins that keep garbage collection from removing anything, by their end.
    #[serde(default)]
    #[schema(required = true)]
    pub pins: Vec<Pin>,
    /// The last scrub, and the damage that is not healed.
    #[serde(default)]
    #[schema(required = true)]
    pub last_scrub: Option<LastScrub>,
}

/// The last scrub, and the damage that the runs so far have found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastScrub {
    /// When the last run came to its end; null: none did yet.
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    /// What was found damaged by any run, and is not healed.
    pub damaged: u64,
}

/// A completed garbage collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastGc {
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: String,
    /// Bytes that it removed from the disk.
    pub freed_bytes: u64,
    /// Damaged rows, and files that could not be removed: they were left alone.
    pub spared: u64,
}

/// A completed check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastCheck {
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: String,
    /// Whether every blob was read.
    pub deep: bool,
    /// How many problems it found.
    pub problems: u64,
}

/// A principal that reached a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitReached {
    /// The user, or anonymous.
    pub principal: String,
    /// The address from which it called.
    #[schema(required = true)]
    pub address: Option<String>,
    /// The setting of the limit.
    pub setting: String,
    /// The value of that setting.
    pub limit: u64,
    /// How much it holds now.
    pub held: u64,
    /// Its requests that wait now.
    pub waiting: u64,
    /// How often it was refused or had to wait.
    #[schema(minimum = 1)]
    pub times: u64,
}

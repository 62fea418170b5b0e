//! What repositories, projects and the disk hold.

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::model::names::{ProjectId, RepoId};
use crate::store::meta::table::{Record, Table};

/// repository -> what it holds.
pub const USAGE_REPOSITORY: Table<RepoId, Usage> = Table::new("usage_repository");

/// project -> what it and the projects below it hold.
pub const USAGE_PROJECT: Table<ProjectId, Usage> = Table::new("usage_project");

/// What a repository or a project holds. Each blob counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes of the blobs that are held nowhere else: what removing all of it would give back.
    pub unique_bytes: u64,
    /// Manifests.
    pub manifests: u64,
    /// Bytes of these manifests.
    pub manifest_bytes: u64,
    /// Tags.
    pub tags: u64,
}

impl Record for Usage {}

/// (digest, project) -> in how many repositories of the project a blob is.
pub const PROJECT_BLOB: Table<(Digest, ProjectId), u64> = Table::new("project_blob");

/// `()` -> what lies in the directory of blobs, and what of it nothing uses.
pub const DISK: Table<(), Disk> = Table::new("disk");

/// What lies in the directory of blobs, as the rows of blobs have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Blobs that no manifest refers to.
    pub unused_blobs: u64,
    /// Bytes of these blobs.
    pub unused_bytes: u64,
}

impl Record for Disk {}

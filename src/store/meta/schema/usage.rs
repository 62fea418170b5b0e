//! The usage of repositories, projects and the disk.

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::model::names::{ProjectId, RepoId};
use crate::store::meta::table::{Record, Table};

/// repository -> its usage.
pub const USAGE_REPOSITORY: Table<RepoId, Usage> = Table::new("usage_repository");

/// project -> the usage of it and of the projects below it.
pub const USAGE_PROJECT: Table<ProjectId, Usage> = Table::new("usage_project");

/// The usage of a repository or a project. Each blob counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The number of blobs.
    pub blobs: u64,
    /// The bytes of these blobs.
    pub bytes: u64,
    /// The bytes of blobs that are held nowhere else: removing everything would free them.
    pub unique_bytes: u64,
    /// The number of manifests.
    pub manifests: u64,
    /// The bytes of these manifests.
    pub manifest_bytes: u64,
    /// The number of tags.
    pub tags: u64,
}

impl Record for Usage {}

/// (digest, project) -> the number of repositories of the project that hold the blob.
pub const PROJECT_BLOB: Table<(Digest, ProjectId), u64> = Table::new("project_blob");

/// `()` -> the figures of the blob directory.
pub const DISK: Table<(), Disk> = Table::new("disk");

/// The figures of the blob directory, computed from the rows of blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The number of blobs.
    pub blobs: u64,
    /// The bytes of these blobs.
    pub bytes: u64,
    /// The number of blobs that no manifest refers to.
    pub unused_blobs: u64,
    /// The bytes of these blobs.
    pub unused_bytes: u64,
}

impl Record for Disk {}

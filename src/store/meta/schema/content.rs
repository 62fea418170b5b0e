//! Blobs, and the links that bind them to repositories.

use serde::{Deserialize, Serialize};

use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::model::time::RunningSecond;
use crate::store::blob::Stamp;
use crate::store::meta::table::{Record, Table};

/// digest -> a blob's size, state and last verification.
pub const BLOB: Table<Digest, Blob> = Table::new("blob");

/// The state of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobState {
    /// Durable and, as far as is known, intact.
    Present,
    /// Its bytes do not have its digest. It is reported as absent until a push repairs it.
    Corrupt,
    /// No repository holds it and its file is being removed.
    Deleting,
}

/// A blob of the store, held by any number of repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be served.
    pub state: BlobState,
    /// Raised each time the file is replaced.
    pub generation: u32,
    /// The file's stamp when its content was last hashed.
    pub verified: Stamp,
    /// When it was stored, in Unix milliseconds.
    pub stored_ms: u64,
    /// Running second since which no repository holds it; `None` while one does.
    pub free_since: Option<RunningSecond>,
    /// The number of repositories that hold it and have a manifest that refers to it.
    pub users: u64,
}

impl Record for Blob {}

/// (running second, digest) -> (): blobs that no repository holds, oldest first.
pub const BLOB_FREE: Table<(RunningSecond, Digest), ()> = Table::new("blob_free");

/// (repository, digest) -> the link of a blob to a repository.
pub const LINK: Table<(RepoId, AnyDigest), Link> = Table::new("link");

/// The link of a blob to a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whether the repository has the blob. If not, the link only counts references to absent content.
    pub present: bool,
    /// The number of manifests of the repository that refer to it.
    pub references: u64,
    /// The number of manifests in the trash that refer to it.
    pub trash_references: u64,
    /// Deleted, but kept because the trash refers to it.
    pub hidden: bool,
    /// Running second at which `references` fell to 0, or at which the blob's existence was last promised;
    /// only meaningful while `references` is 0.
    pub zero_since: RunningSecond,
    /// While it is not present: the size that manifests give it.
    pub said: Option<u64>,
    /// Made by an upload whose response promised the blob to its client, and no manifest of the repository
    /// has named the blob since.
    pub fresh: bool,
}

impl Record for Link {
    const VERSION: u8 = 2;
}

/// (running second, repository, digest) -> (): exactly the links that nothing refers to, oldest first.
pub const LINK_ZERO: Table<(RunningSecond, RepoId, AnyDigest), ()> = Table::new("link_zero");

/// (digest, repository) -> (): the links of a blob that are present.
pub const BLOB_LINK: Table<(Digest, RepoId), ()> = Table::new("blob_link");

//! The trash: what was deleted and can be restored.
//!
//! A manifest in the trash has its row in another table, so no reader of manifests meets it. Its references
//! to blobs count as those of the trash. A repository in the trash keeps all its rows, and has no name.

use serde::{Deserialize, Serialize};

use super::{Manifest, Referrer, Tag};
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::model::time::RunningSecond;
use crate::store::meta::table::{Record, Table};

/// sequence -> one deletion, the oldest first.
pub const TRASH: Table<Sequence, Trashed> = Table::new("trash");

/// One deletion that can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trashed {
    /// What was deleted.
    pub kind: TrashKind,
    /// The repository.
    pub repository: RepoId,
    /// The name that it had.
    pub name: String,
    /// The tag, where a tag was deleted.
    pub tag: Option<String>,
    /// The manifest, or the one that the tag pointed to.
    pub digest: Option<Digest>,
    /// The size of the image, or of the repository, in bytes.
    pub bytes: u64,
    /// Who deleted it.
    pub by: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The running second of that time.
    pub since: RunningSecond,
    /// Whether it is being removed for good: then it cannot be restored any more.
    pub emptying: bool,
}

impl Record for Trashed {}

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrashKind {
    /// A tag.
    Tag,
    /// A manifest with its tags.
    Manifest,
    /// A repository.
    Repository,
}

/// (repository, sequence) -> (): the deletions in a repository.
pub const TRASH_BY_REPOSITORY: Table<(RepoId, Sequence), ()> = Table::new("trash_by_repository");

/// repository -> its deletion: it is in the trash, and its name does not lead to it.
pub const TRASH_REPOSITORY: Table<RepoId, Sequence> = Table::new("trash_repository");

/// (sequence, tag) -> a tag as it was when it was deleted.
pub const TRASH_TAG: Table<(Sequence, &'static str), Tag> = Table::new("trash_tag");

/// (repository, digest, sequence) -> (): the deletions of a manifest, or of a tag that pointed to it.
pub const TRASH_ROOT: Table<(RepoId, Digest, Sequence), ()> = Table::new("trash_root");

/// (repository, digest) -> a manifest in the trash. It is not in the table of manifests at the same time.
pub const TRASH_MANIFEST: Table<(RepoId, Digest), TrashedManifest> = Table::new("trash_manifest");

/// A manifest in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashedManifest {
    /// The deletion that it belongs to.
    pub entry: Sequence,
    /// Its row.
    pub manifest: Manifest,
}

impl Record for TrashedManifest {}

/// (sequence, digest) -> (): the manifests of a deletion.
pub const TRASH_CONTENT: Table<(Sequence, Digest), ()> = Table::new("trash_content");

/// (repository, subject, referrer) -> the row of a referrer in the trash.
pub const TRASH_REFERRER: Table<(RepoId, AnyDigest, Digest), Referrer> = Table::new("trash_referrer");

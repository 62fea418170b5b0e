//! Tags, the indexes over them, and their history.

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::table::{Record, Table};

/// (repository, tag) -> the manifest that it points to, since when, and who set it.
pub const TAG: Table<(RepoId, &'static str), Tag> = Table::new("tag");

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The digest under which the tag was set.
    pub digest: Digest,
    /// The sequence of the last change.
    pub sequence: Sequence,
    /// When it was set last, in Unix milliseconds.
    pub pushed_ms: u64,
    /// The user who set it.
    pub by: String,
    /// `content_bytes` of the manifest, so that a list of tags reads no manifests.
    pub content_bytes: u64,
    /// `platform` of the manifest.
    pub platform: String,
}

impl Record for Tag {}

/// (repository, digest, tag) -> ().
pub const TAG_BY_DIGEST: Table<(RepoId, Digest, &'static str), ()> = Table::new("tag_by_digest");

/// (repository, sequence) -> tag.
pub const TAG_BY_SEQUENCE: Table<(RepoId, Sequence), String> = Table::new("tag_by_sequence");

/// (repository, tag, sequence) -> one change of a tag; the last 100 of each tag are kept.
pub const TAG_HISTORY: Table<(RepoId, &'static str, Sequence), TagChange> = Table::new("tag_history");

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagChange {
    /// The manifest that it pointed to before.
    pub old: Option<Digest>,
    /// The manifest that it pointed to afterwards; `None` if it was deleted.
    pub new: Option<Digest>,
    /// Who changed it.
    pub by: String,
    /// From which address.
    pub address: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

impl Record for TagChange {}

//! Manifests, and the references to them.

use serde::{Deserialize, Serialize};

use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::model::time::RunningSecond;
use crate::store::meta::table::{Raw, Record, Table};

/// (repository, digest) -> a manifest's type, size, references and age.
pub const MANIFEST: Table<(RepoId, Digest), Manifest> = Table::new("manifest");

/// A manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The media type with which it was pushed, without parameters.
    pub media_type: String,
    /// The size of the body in bytes.
    pub size: u64,
    /// 0 for an image, 1 + the greatest depth of its present children for an index.
    pub depth: u8,
    /// The distinct blobs it refers to.
    pub blobs: Vec<AnyDigest>,
    /// The distinct manifests it lists.
    pub children: Vec<AnyDigest>,
    /// The manifest it refers to.
    pub subject: Option<AnyDigest>,
    /// The sequence of its last push.
    pub sequence: Sequence,
    /// When it was pushed last, in Unix milliseconds.
    pub pushed_ms: u64,
    /// Running second since which no tag points at it; `None` while one does.
    pub untagged_since: Option<RunningSecond>,
    /// The stored bytes do not have the digest. It is reported as absent until a push repairs it.
    pub corrupt: bool,
    /// The size of the image in bytes: its body and everything that it refers to, computed at its first push.
    pub content_bytes: u64,
    /// For people: `linux/amd64`, several of an index; empty if unknown.
    pub platform: String,
}

impl Record for Manifest {}

/// digest -> the bytes of a manifest as they were pushed.
pub const MANIFEST_BODY: Table<Digest, Raw> = Table::new("manifest_body");

/// (digest, repository) -> (): the repositories that hold a manifest, or have it in the trash: they keep its
/// body.
pub const MANIFEST_REPO: Table<(Digest, RepoId), ()> = Table::new("manifest_repo");

/// (repository, digest) -> how often and when a manifest was pulled last.
pub const PULLS: Table<(RepoId, Digest), Pulls> = Table::new("pulls");

/// The pulls of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulls {
    /// How often it was pulled.
    pub count: u64,
    /// When it was last pulled, in Unix milliseconds.
    pub last_ms: u64,
    /// The running second of that pull.
    pub last: RunningSecond,
}

impl Record for Pulls {
    const VERSION: u8 = 2;
}

/// (repository, child, parent) -> the description of a manifest in an index that lists it.
pub const PARENT: Table<(RepoId, AnyDigest, Digest), Listed> = Table::new("parent");

/// The description of a manifest in an index that lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Record for Listed {}

/// (repository, subject, referrer) -> what a list of referrers shows of a manifest, without its body.
pub const REFERRER: Table<(RepoId, AnyDigest, Digest), Referrer> = Table::new("referrer");

/// A manifest that names another one as its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// The referrer's media type.
    pub media_type: String,
    /// The referrer's size in bytes.
    pub size: u64,
    /// Its artifact type, or the type of its config (distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    /// Its annotations, or where they are.
    pub annotations: ReferrerAnnotations,
}

impl Record for Referrer {}

/// The annotations of a referrer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferrerAnnotations {
    /// There are none.
    None,
    /// A JSON object.
    Short(String),
    /// Too long for a row: the JSON object is these bytes of the body.
    Long {
        /// The first byte.
        start: u32,
        /// The byte after the last one.
        end: u32,
    },
}

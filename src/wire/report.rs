//! What a check has found.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something that was pushed is lost or cannot be read.
    Damage,
    /// Rows contradict each other.
    Inconsistency,
}

/// The word of the JSON document.
impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// What a check has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Repositories.
    pub repositories: u64,
    /// Manifests; one that two repositories hold counts twice.
    pub manifests: u64,
    /// Tags.
    pub tags: u64,
    /// Links between repositories and blobs.
    pub links: u64,
    /// Blobs that have a row.
    pub blobs: u64,
    /// Bytes that were hashed.
    pub bytes_hashed: u64,
    /// Uploads that have a row.
    pub uploads: u64,
    /// Blob files found in the tree.
    pub files: u64,
    /// Files without a row that are too old to belong to a push under way.
    pub orphans: u64,
    /// Blobs that no manifest refers to.
    pub unused_blobs: u64,
    /// Bytes of these.
    pub unused_bytes: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What is wrong, as one word.
    pub kind: String,
    /// How bad it is.
    // Not `Severity`: a later server may have more of them.
    #[schema(value_type = Severity, inline)]
    pub severity: String,
    /// The repository, by name or else by number.
    #[schema(required = true)]
    pub repository: Option<String>,
    /// The blob or manifest.
    #[schema(required = true)]
    pub digest: Option<String>,
    /// The images that need it, as repository:tag, or with a digest where there is no tag; at most 20.
    pub images: Vec<String>,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// What was looked at.
    #[schema(inline)]
    pub checked: Checked,
    /// What is wrong; empty when nothing is.
    #[schema(inline)]
    pub problems: Vec<Finding>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
}

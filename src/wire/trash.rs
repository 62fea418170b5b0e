//! `/api/v1/trash`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Absent, OpenEnum};

/// What was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrashKind {
    /// A tag.
    Tag,
    /// A manifest with its tags.
    Manifest,
    /// A repository.
    Repository,
}

/// A deletion that can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrashEntry {
    /// Its number.
    pub id: u64,
    /// What was deleted.
    #[schema(value_type = TrashKind, inline)]
    pub kind: OpenEnum<TrashKind>,
    /// The name of the repository.
    pub repository: String,
    /// The tags that went with it, at most 100.
    pub tags: Vec<String>,
    /// The digest of the manifest, or of the one that the tag pointed to; null: a repository was deleted.
    #[schema(required = true)]
    pub digest: Option<String>,
    /// The size of the image or of the repository in bytes. It may share them with others.
    pub size_bytes: u64,
    /// Who deleted it.
    pub deleted_by: String,
    /// When.
    #[schema(format = DateTime)]
    pub deleted_at: String,
    /// When it is removed for good if the server runs all the time.
    #[schema(format = DateTime)]
    pub kept_until: String,
}

/// A deletion to be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Another name: a tag for a deleted tag, the name of a repository for a deleted repository; absent: the
    /// one that it had.
    #[serde(default, rename = "as", skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = String)]
    pub name: Absent<String>,
}

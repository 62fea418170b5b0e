//! `/api/v1/repositories`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::names::RepoId;

/// A repository and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Repository {
    /// The stable number.
    #[schema(value_type = u64)]
    pub id: RepoId,
    /// The name, such as `team/app`.
    pub name: String,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How many tags it has.
    pub tags: u64,
    /// How many manifests it has.
    pub manifests: u64,
    /// How many blobs it has.
    pub blobs: u64,
    /// Manifests and blobs.
    pub size_bytes: u64,
    /// Blobs that no other repository holds.
    pub unique_bytes: u64,
    /// Blobs that other repositories hold, too.
    #[serde(default)]
    #[schema(required = true)]
    pub shared_bytes: u64,
    /// Manifests, which are in the database.
    #[serde(default)]
    #[schema(required = true)]
    pub manifest_bytes: u64,
}

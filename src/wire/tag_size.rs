//! `/api/v1/repositories/{name}/-/sizes`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The size of a tag: of its image, with everything that an index lists and that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagSize {
    /// The name of the tag.
    pub name: String,
    /// The manifest that it points to.
    pub digest: String,
    /// How many manifests that are.
    pub manifests: u64,
    /// Manifests and blobs, each once.
    pub size_bytes: u64,
    /// Blobs that would go if only this tag was deleted and garbage was collected.
    pub unique_bytes: u64,
    /// Blobs that would stay.
    pub shared_bytes: u64,
    /// Manifests, which are in the database.
    pub manifest_bytes: u64,
    /// There is more than is read for one tag: the figures are smaller than they should be.
    pub at_least: bool,
}

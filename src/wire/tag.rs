//! `/api/v1/repositories/{name}/-/tags`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// The name of the tag.
    pub name: String,
    /// The manifest that it points to.
    pub digest: String,
    /// The manifest and all that it refers to.
    pub size_bytes: u64,
    /// `linux/amd64`, or several of an index; null where nothing tells.
    #[schema(required = true)]
    pub platform: Option<String>,
    /// When it was last set.
    #[schema(format = DateTime)]
    pub pushed_at: String,
    /// The user who last set it.
    pub pushed_by: String,
}

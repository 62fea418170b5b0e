//! `/api/v1/repositories/{name}/-/manifests`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    /// Its digest.
    pub digest: String,
    /// The media type with which it was pushed.
    pub media_type: String,
    /// The manifest and all that it refers to.
    pub size_bytes: u64,
    /// `linux/amd64`, or several of an index; null where nothing tells.
    #[schema(required = true)]
    pub platform: Option<String>,
    /// When it was pushed last.
    #[schema(format = DateTime)]
    pub pushed_at: String,
    /// The first tags that point to it.
    #[schema(max_items = 10)]
    pub tags: Vec<String>,
    /// The manifest that it refers to, which need not be there.
    #[schema(required = true)]
    pub subject: Option<String>,
    /// An index of the repository lists it.
    pub in_index: bool,
    /// No tag, no index and no manifest that it refers to leads to it.
    pub untagged: bool,
}

//! `/api/v1/deletions`: what a deletion would free.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeletion {
    /// Tags as `team/app:1.0`, manifests with every tag that points to them as `team/app@sha256:...`, and
    /// whole repositories as `team/app`.
    pub names: Vec<String>,
}

/// What a deletion would free when garbage collection has taken everything that nothing holds any more, and
/// what it would leave. A manifest that nothing holds already now keeps no blob; what another repository uses
/// stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletionPlan {
    /// Tags that go.
    pub tags: u64,
    /// Manifests that go: those that are deleted, and everything below them that nothing else holds.
    pub manifests: u64,
    /// Bytes of these manifests, which are in the database: they make no file smaller.
    pub manifest_bytes: u64,
    /// Blobs that go.
    pub blobs: u64,
    /// Bytes of these blobs: so much is free on the disk afterwards.
    pub freed_bytes: u64,
    /// Manifests below those that are deleted that stay, because something else holds them.
    pub kept_manifests: u64,
    /// Bytes of blobs that stay because another manifest of their repository refers to them.
    pub kept_bytes: u64,
    /// Bytes of blobs that stay because another repository uses them.
    pub elsewhere_bytes: u64,
    /// The first tags that go, as `team/app:1.0`; none of repositories that are deleted as a whole.
    #[schema(max_items = 100)]
    pub tag_names: Vec<String>,
    /// The first manifests that go, as `team/app@sha256:...`; none of repositories that are deleted as a
    /// whole.
    #[schema(max_items = 100)]
    pub manifest_names: Vec<String>,
    /// The first manifests that stay.
    #[schema(max_items = 100)]
    pub kept: Vec<KeptManifest>,
    /// The selection is too large to be computed to its end: the figures are smaller than they should be.
    pub at_least: bool,
    /// From when on scheduled garbage collection takes all of it, if the server runs all the time and no
    /// client pulls any of it; null: it never takes all of it, because it leaves manifests that no tag leads
    /// to. The files of the blobs are then in quarantine for a day.
    #[schema(required = true, format = DateTime)]
    pub collected_from: Option<String>,
}

/// A manifest that stays although what is deleted led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptManifest {
    /// The manifest, as `team/app@sha256:...`.
    pub name: String,
    /// A tag that leads to it.
    #[schema(required = true)]
    pub by_tag: Option<String>,
    /// The digest of a manifest that holds it and stays; null, as is `by_tag`: more manifests may hold it
    /// than are searched.
    #[schema(required = true)]
    pub by_manifest: Option<String>,
}

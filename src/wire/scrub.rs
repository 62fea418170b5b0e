//! `/api/v1/scrub`: everything stored is read again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Absent, Finding, Job, OpenEnum};

/// A scrub to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewScrub {
    /// Begin a new cycle, and do not continue the one that was begun.
    #[serde(default)]
    pub full: bool,
    /// Read only the manifests and blobs of this repository. The cycle stays where it is.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = String)]
    pub repository: Absent<String>,
    /// Read only the manifest and the blob with this digest. The cycle stays where it is.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = String)]
    pub digest: Absent<String>,
}

/// What a scrub has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Scrubbed {
    /// Manifests that were hashed; one that two repositories hold counts once.
    pub manifests: u64,
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Manifests and blobs that are damaged or cannot be read, and rows that cannot be read.
    pub damaged: u64,
    /// Of these, the ones that were served before. They are hidden from now on, until they are pushed again.
    pub hidden: u64,
    /// Manifests and blobs that were hidden as damaged, are whole, and are served again.
    pub shown: u64,
    /// What is damaged; the first ones, if there are very many.
    #[schema(inline)]
    pub findings: Vec<Finding>,
    /// Whether all was read that was asked for; false: it was ended, and a later run reads the rest.
    pub complete: bool,
    /// Where the next scrub of everything continues; null: it begins a new cycle.
    #[schema(required = true)]
    pub cycle: Option<ScrubCycle>,
    /// When a cycle was completed last.
    #[schema(required = true, format = DateTime)]
    pub cycle_ended_at: Option<String>,
    /// What this run and those before it have found, and what was neither pushed again nor read whole since;
    /// the first 1,000.
    #[serde(default)]
    #[schema(required = true)]
    pub unhealed: Vec<Unhealed>,
}

/// Damage that was found and is not healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unhealed {
    /// The digest of the manifest or blob; null: it is not known.
    #[schema(required = true)]
    pub digest: Option<String>,
    /// Whether it is hidden until it is pushed again; false: it could not be read, which may be temporary.
    pub hidden: bool,
    /// When the run began that found it.
    #[schema(format = DateTime)]
    pub found_at: String,
}

/// A cycle: everything is read once, by one run or by several that continue each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubCycle {
    /// When it began.
    #[schema(format = DateTime)]
    pub began_at: String,
    /// What is read at present: `manifests`, which come first, or `blobs`.
    pub stage: String,
    /// The last digest of this stage that was read; null: none yet.
    #[schema(required = true)]
    pub after: Option<String>,
    /// Manifests that were hashed so far.
    pub manifests: u64,
    /// Blobs that were hashed so far.
    pub blobs: u64,
    /// Bytes that were hashed so far.
    pub bytes: u64,
    /// Damage that was found so far.
    pub damaged: u64,
}

/// The runs of the scrub, and what they have found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubStatus {
    /// The manifests that there are.
    pub manifests: u64,
    /// The blobs that there are.
    pub blobs: u64,
    /// The bytes of these blobs.
    pub bytes: u64,
    /// The cycle that is under way; null: the next run begins a new one.
    #[schema(required = true)]
    pub cycle: Option<ScrubCycle>,
    /// When a cycle was completed last.
    #[schema(required = true, format = DateTime)]
    pub cycle_ended_at: Option<String>,
    /// When the next run begins by itself; null: none is scheduled.
    #[schema(required = true, format = DateTime)]
    pub next_at: Option<String>,
    /// The run that works, with what it has found so far.
    #[schema(required = true)]
    pub running: Option<Job>,
    /// The last run that has ended, with what it found.
    #[schema(required = true)]
    pub last: Option<Job>,
}

/// What is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DamagedKind {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

/// A blob or manifest that is hidden because it is damaged, until it is pushed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Damaged {
    /// What it is.
    #[schema(value_type = DamagedKind, inline)]
    pub kind: OpenEnum<DamagedKind>,
    /// Its digest.
    pub digest: String,
    /// Its size when it was whole.
    pub size_bytes: u64,
    /// Damaged bytes that are kept; 0: they are lost, or were dropped.
    pub kept_bytes: u64,
    /// The images that need it, as repository:tag, or with a digest where there is no tag; at most 20.
    pub images: Vec<String>,
}

/// What was dropped from quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dropped {
    /// The digest.
    pub digest: String,
    /// Damaged bytes that were removed.
    pub bytes: u64,
}

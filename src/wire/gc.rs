//! `/api/v1/gc`: garbage collection.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Absent, Job, OpenEnum};

/// How far a run of garbage collection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GcMode {
    /// It takes what is due, and keeps the files in quarantine for a day.
    #[default]
    Scheduled,
    /// Space is short: it takes what is due, and removes the files at once, also those in quarantine. While
    /// pushes still have too little space, it empties the trash, the oldest deletions first, and takes what
    /// `now` takes.
    SpaceIsShort,
    /// It takes everything that nothing refers to and no client was promised, and removes the files at once.
    Now,
    /// It empties the trash, and takes what `now` takes.
    EmptyTrash,
}

/// A run of garbage collection to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGcRun {
    /// Free the space now: also take what nothing refers to and no client was promised, although its grace is
    /// not over, and remove the files at once, also those in quarantine.
    #[serde(default)]
    pub now: bool,
    /// Empty the trash first. What was in it is freed now, too.
    #[serde(default)]
    pub empty_trash: bool,
    /// How long a manifest stays that no tag leads to, for this run only, such as `0s`; absent:
    /// `storage.gc.untagged`.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = String)]
    pub untagged: Absent<String>,
}

/// What a run of garbage collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// Deletions that were removed from the trash.
    #[serde(default)]
    #[schema(required = true)]
    pub trash: u64,
    /// Manifests that were deleted because no tag leads to them.
    pub manifests: u64,
    /// Manifests that no tag leads to, and that stay for now: they are younger than `storage.gc.untagged`, or
    /// were pushed, pulled or asked for within `storage.gc.promise`.
    #[serde(default)]
    #[schema(required = true)]
    pub manifests_later: u64,
    /// Links of blobs to repositories that were removed.
    pub links: u64,
    /// Blobs whose files were taken out of the tree.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes of files that were removed from the disk: those in quarantine are still on it.
    pub freed_bytes: u64,
    /// Links that freeing the space now left, because a client was promised the blob.
    pub promised: u64,
    /// Rows that are damaged, or do not fit the others: what they could hold was left alone.
    pub spared: u64,
    /// The first of them, in words.
    pub spared_names: Vec<String>,
    /// Whether nothing was left that was due; false: it reached its longest duration, or a pin holds
    /// everything, and the next run continues.
    pub complete: bool,
    /// The pin that ended it; null: none did.
    #[serde(default)]
    #[schema(required = true)]
    pub pinned: Option<String>,
}

/// What a run of garbage collection would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcPlan {
    /// Deletions that it would remove from the trash.
    #[serde(default)]
    #[schema(required = true)]
    pub trash: u64,
    /// Manifests that it would delete because no tag leads to them.
    pub manifests: u64,
    /// Manifests that no tag leads to, and that stay for now: they are younger than `storage.gc.untagged`, or
    /// were pushed, pulled or asked for within `storage.gc.promise`.
    #[serde(default)]
    #[schema(required = true)]
    pub manifests_later: u64,
    /// Links that it would remove.
    pub links: u64,
    /// Blobs that it would take out of the tree.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes that it would remove from the disk.
    pub freed_bytes: u64,
    /// Links that it would leave because a client was promised the blob.
    pub promised: u64,
    /// When the last of these promises is over if the server runs all the time; null: there is none.
    #[schema(required = true, format = DateTime)]
    pub promised_until: Option<String>,
}

/// A pin: until its end, garbage collection removes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// Its end, if the server runs all the time.
    #[schema(format = DateTime)]
    pub until: String,
    /// Who set it; null: its row is damaged.
    #[schema(required = true)]
    pub by: Option<String>,
    /// When it was set; null: its row is damaged.
    #[schema(required = true, format = DateTime)]
    pub set_at: Option<String>,
}

/// A pin to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPin {
    /// The running time of the server until its end, such as `2h`; at most `7d`.
    pub duration: String,
}

/// Why bytes that nothing uses are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GarbageReason {
    /// The next run takes them.
    Due,
    /// Their grace is not over; freeing the space now takes them.
    Grace,
    /// A client was told that they exist, and may count on them.
    Promised,
    /// They would be due, and a pin holds everything.
    Pinned,
    /// Only the trash needs them.
    Trash,
    /// They were collected, and are kept in quarantine for a day.
    Quarantine,
    /// A row about them is damaged: they stay until it is repaired.
    Damaged,
}

/// Bytes that nothing uses and that are on the disk for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GarbagePart {
    /// The reason.
    #[schema(value_type = GarbageReason, inline)]
    pub reason: OpenEnum<GarbageReason>,
    /// Blobs, or files in quarantine.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first of them may go if the server runs all the time; null: that is not known.
    #[schema(required = true, format = DateTime)]
    pub first_at: Option<String>,
    /// The same for the last of them.
    #[schema(required = true, format = DateTime)]
    pub last_at: Option<String>,
}

/// What is on the disk and is not used, and the runs of garbage collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcStatus {
    /// Bytes of blobs to which manifests refer.
    pub live_bytes: u64,
    /// What is not used, by reason. Its bytes and the live ones are all bytes of blobs on the disk.
    pub garbage: Vec<GarbagePart>,
    /// Manifests that no tag leads to, and that the next run deletes.
    #[serde(default)]
    #[schema(required = true)]
    pub untagged_due: u64,
    /// Manifests that no tag leads to, and that stay for now: see `manifests_later` of a plan.
    #[serde(default)]
    #[schema(required = true)]
    pub untagged_later: u64,
    /// When the next run begins by itself; null: none is scheduled.
    #[serde(default)]
    #[schema(required = true, format = DateTime)]
    pub next_at: Option<String>,
    /// Until when freeing the space now takes nothing, because promises that were given before a crash are
    /// not known; null: all are known.
    #[schema(required = true, format = DateTime)]
    pub promises_unknown_until: Option<String>,
    /// The pins that hold everything now, by their end. While there is one, no run removes anything.
    #[serde(default)]
    #[schema(required = true)]
    pub pins: Vec<Pin>,
    /// Whether scheduled runs delete no untagged manifest until an admin has started a run: the store was
    /// rebuilt or migrated, and `gc plan` shows what would go.
    pub untagged_waits: bool,
    /// The run that works.
    #[schema(required = true)]
    pub running: Option<Job>,
    /// The last run that came to its end.
    #[schema(required = true)]
    pub last: Option<Job>,
}

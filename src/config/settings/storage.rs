//! `[storage]`: where the data is, `[storage.gc]`, `[storage.scrub]` and `[storage.dumps]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::keep_untagged::KeepUntagged;
use crate::config::min_free::MinFree;
use crate::model::units::{ByteSize, HumanDuration};
use crate::model::when::When;

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// The data directory; empty: see [`data_dir`](super::data_dir).
    pub data_dir: PathBuf,
    /// The directory of blobs, uploads and quarantine; empty: the data directory.
    pub blob_dir: PathBuf,
    /// Page cache of the metadata database.
    pub metadata_cache: ByteSize,
    /// Pushes are refused while less than this is free.
    pub min_free: MinFree,
    /// There is a warning while less than this is free; zero: never.
    pub warn_free: MinFree,
    /// How long what was deleted stays in the trash; zero: it is deleted at once.
    pub trash: HumanDuration,
    /// When the database file is compacted if more than half of it is free.
    pub compact: When,
    /// `[storage.gc]`: garbage collection.
    pub gc: GcConfig,
    /// `[storage.scrub]`: reads everything again, and finds what has changed on the disk.
    pub scrub: ScrubConfig,
    /// `[storage.dumps]`: copies of the metadata.
    pub dumps: DumpsConfig,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            blob_dir: PathBuf::new(),
            metadata_cache: ByteSize::mib(24),
            min_free: MinFree::percent(5),
            warn_free: MinFree::percent(15),
            trash: HumanDuration::days(7),
            compact: "daily 05:30".parse().unwrap_or(When::OFF),
            gc: GcConfig::default(),
            scrub: ScrubConfig::default(),
            dumps: DumpsConfig::default(),
        }
    }
}

/// `[storage.gc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcConfig {
    /// When garbage is collected.
    pub schedule: When,
    /// How long a blob stays after a client was told that it need not upload it.
    pub promise: HumanDuration,
    /// How long an upload without a byte lives, in the server's running time.
    pub upload_idle: HumanDuration,
    /// How long a manifest stays that no tag leads to.
    pub untagged: KeepUntagged,
    /// How long a run of garbage collection lasts at most; zero: until it is done.
    pub max_duration: HumanDuration,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self {
            schedule: "daily 03:30".parse().unwrap_or(When::OFF),
            promise: HumanDuration::hours(6),
            upload_idle: HumanDuration::hours(24),
            untagged: KeepUntagged::For(HumanDuration::days(14)),
            max_duration: HumanDuration::hours(0),
        }
    }
}

/// `[storage.scrub]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrubConfig {
    /// When everything is read again.
    pub schedule: When,
    /// How many bytes a second are read; zero: as fast as the disk permits.
    pub io_limit: ByteSize,
    /// How long a run lasts at most; zero: until it is done.
    pub max_duration: HumanDuration,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self {
            schedule: "weekly sun 04:30".parse().unwrap_or(When::OFF),
            io_limit: ByteSize::mib(50),
            max_duration: HumanDuration::hours(0),
        }
    }
}

/// `[storage.dumps]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DumpsConfig {
    /// How often a dump is made; zero: never.
    pub every: HumanDuration,
    /// How many dumps are kept; at least one is.
    pub keep: usize,
}

impl Default for DumpsConfig {
    fn default() -> Self {
        Self { every: HumanDuration::hours(1), keep: 24 }
    }
}

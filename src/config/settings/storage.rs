//! `[storage]`: where the data is, `[storage.gc]` and `[storage.dumps]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::min_free::MinFree;
use crate::model::units::{ByteSize, HumanDuration};

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
    /// `[storage.gc]`: when unused content may go.
    pub gc: GcConfig,
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
            gc: GcConfig::default(),
            dumps: DumpsConfig::default(),
        }
    }
}

/// `[storage.gc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcConfig {
    /// How long a blob stays after a client was told that it need not upload it.
    pub promise: HumanDuration,
    /// How long an upload without a byte lives, in the server's running time.
    pub upload_idle: HumanDuration,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self { promise: HumanDuration::hours(6), upload_idle: HumanDuration::hours(24) }
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

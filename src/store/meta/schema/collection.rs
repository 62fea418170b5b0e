//! What garbage collection remembers: files in quarantine, pins, and how long promises hold.

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;
use crate::model::names::Sequence;
use crate::model::time::RunningSecond;
use crate::store::meta::table::{Record, Table};

/// sequence -> a file in quarantine, the oldest first.
pub const QUARANTINE: Table<Sequence, Quarantined> = Table::new("quarantine");

/// A file in quarantine: a blob that garbage collection took out of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// What it was.
    pub digest: Digest,
    /// Tells it from other files of the same digest.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Running second at which it was taken out.
    pub since: RunningSecond,
}

impl Record for Quarantined {}

/// `()` -> what garbage collection may do in this store.
pub const COLLECTION: Table<(), Collection> = Table::new("collection");

/// What garbage collection may do in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Whether scheduled runs delete untagged manifests. In a store that was rebuilt or migrated, they do not
    /// until an admin has started a run.
    pub untagged: bool,
}

impl Record for Collection {}

/// `()` -> promises that the last server has given, written when it stopped and removed by the next start. A
/// server that was killed leaves no row: then every promise may have been given.
pub const PROMISED: Table<(), Promised> = Table::new("promised");

/// Promises that a server has given and not written to links: Bloom filters, each of a part of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// The oldest part first.
    pub parts: Vec<PromisedPart>,
}

impl Record for Promised {}

/// Promises of a part of a server's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromisedPart {
    /// Running second of the last promise in it.
    pub last: RunningSecond,
    /// The bits of the filter.
    pub bits: Vec<u64>,
}

/// (running second of its end, name) -> a pin. The end is in the key, so that a row that cannot be read ends,
/// too.
pub const PIN: Table<(RunningSecond, &'static str), Pin> = Table::new("pin");

/// A pin: until its end, garbage collection removes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Who set it.
    pub by: String,
    /// When it was set, in Unix milliseconds.
    pub at_ms: u64,
}

impl Record for Pin {}

/// `()` -> the promise of the settings, and a longer one that was given before and still applies.
pub const PROMISE: Table<(), Promise> = Table::new("promise");

/// How long a response protects a blob that lets a client skip its upload, in running seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The promise of the settings that applied last.
    pub seconds: u64,
    /// The longest promise before it was lowered.
    pub before_s: u64,
    /// Running second until which `before_s` applies.
    pub before_until: RunningSecond,
}

impl Record for Promise {}

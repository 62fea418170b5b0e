//! Dumps: files with all rows of one snapshot, from which the database can be restored.
//!
//! ```text
//! <data>/dumps/rows-<number>.dump    the rows of one snapshot and where the bodies of manifests are
//! <data>/dumps/bodies-<number>.seg   bodies of manifests, appended in the order in which dumps met them
//! ```
//!
//! A body never changes, so it is written once and later dumps refer to it. All other rows are written to
//! each dump, except usage, which is recomputed. Everything has a BLAKE3 checksum. A file of rows gets its
//! final name when everything that it needs is durable; segments are only appended to, and never after a torn
//! end.

mod bodies;
mod directory;
mod error;
mod frames;
mod read;
mod restore;
mod write;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use directory::{DIR_NAME, DumpFile, list, newest};
pub use error::DumpError;
pub use read::{check, inspect};
pub use restore::{Restored, restore};
pub use write::Written;

use super::schema;

/// The format number of dumps.
const FORMAT: u32 = 1;

/// Tables that are not dumped: their rows are computed from others.
const COUNTED: [&str; 4] = [
    schema::USAGE_REPOSITORY.name(),
    schema::USAGE_PROJECT.name(),
    schema::PROJECT_BLOB.name(),
    schema::DISK.name(),
];

/// Tables that no dump has. What jobs did, and when they ran, is history of a server and not content: a store
/// that is made again has none, and a job that writes about itself must not make the next dump due. What was
/// promised is only known to the server that stopped last. A pin is for a copy of this store.
const LEFT_OUT: [&str; 7] = [
    schema::JOB.name(),
    schema::JOB_ID.name(),
    schema::JOB_LOG.name(),
    schema::JOB_RESULT.name(),
    schema::SCHEDULE_RUN.name(),
    schema::PROMISED.name(),
    schema::PIN.name(),
];

/// How far a dump is: rows so far and in all. A break ends it.
pub type OnProgress<'p> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'p;

/// The header of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format of the dump.
    pub format: u32,
    /// The format of the tables.
    pub schema: u32,
    /// The store.
    pub store_id: Uuid,
    /// The number of the dump, which is also in its file name.
    pub number: u64,
    /// The last sequence number of the store.
    pub sequence: u64,
    /// When it was made, in Unix milliseconds.
    pub wall_ms: u64,
    /// The version of the program that made it.
    pub written_by: String,
}

/// The totals at the end of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The number of rows, without those of manifest bodies.
    pub rows: u64,
    /// Bodies of manifests.
    pub bodies: u64,
    /// Rows and bodies that were already damaged when the dump was made; it contains them unchanged.
    pub damaged: u64,
    /// The segments that the dump needs.
    segments: Vec<Segment>,
}

/// The part of a segment that a dump needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    number: u64,
    /// The offset of the end of its last record.
    length: u64,
    /// The total length of the records that the dump refers to.
    live: u64,
}

/// The position of a manifest's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BodyPosition {
    segment: u64,
    offset: u64,
    /// The length of the record in bytes.
    length: u64,
}

/// A frame of a file of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Frame<'a> {
    /// The first frame.
    Header(Header),
    /// The table of the following rows. `manifest_body` is the first table, in the order of its keys.
    Table(&'a str),
    /// A row.
    Row { key: &'a [u8], value: &'a [u8] },
    /// A row of `manifest_body` whose value is in a segment.
    Body { key: &'a [u8], place: BodyPosition },
    /// The last frame.
    End(Totals),
}

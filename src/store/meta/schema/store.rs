//! The store itself: its format, its counters, and the epoch of permissions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::names::{Sequence, TokenId};
use crate::store::meta::table::{Record, Table};

/// `()` -> the format of the store, its id and the version that created it.
pub const FORMAT: Table<(), Format> = Table::new("format");

/// The format of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The number of the format of the tables.
    pub schema: u32,
    /// The oldest schema number a program must know to read this store.
    pub min_reader: u32,
    /// The oldest schema number a program must know to change this store.
    pub min_writer: u32,
    /// The version of the program that created the store.
    pub written_by: String,
    /// The unique id of the store; the LOCK files of the data and blob directories repeat it.
    pub store_id: Uuid,
}

impl Record for Format {}

/// `()` -> the migration in progress, if there is one.
pub const MIGRATION: Table<(), Migration> = Table::new("migration");

/// The progress of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The format to which the present step leads.
    pub to: u32,
    /// Where the step continues, in a form of its own; empty at its beginning.
    pub cursor: Vec<u8>,
}

impl Record for Migration {}

/// `()` -> running seconds, the highest wall time seen, the last sequence number, the last id.
pub const CLOCK: Table<(), Clock> = Table::new("clock");

/// The counters of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Seconds that servers have run on this store, in total.
    pub running_s: u64,
    /// The latest wall time seen, in Unix milliseconds.
    pub wall_high_ms: u64,
    /// The last sequence number given out.
    pub sequence: Sequence,
    /// The last id given to a repository, a project or a user.
    pub last_id: u64,
    /// The number of rows in the outbox.
    pub outbox_rows: u64,
    /// The last number given to a personal token.
    pub last_token: TokenId,
    /// The number of commits. After a failed commit it shows whether the commit was written anyway.
    pub commits: u64,
}

impl Record for Clock {}

/// `()` -> a number that every change of users, tokens, members, projects or rules raises.
pub const AUTH_EPOCH: Table<(), u64> = Table::new("auth_epoch");

//! The store itself: its format, its counters, and the epoch of permissions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::names::{Sequence, TokenId};
use crate::store::meta::table::{Record, Table};

/// `()` -> the format of the store, its id and who wrote it last.
pub const FORMAT: Table<(), Format> = Table::new("format");

/// The format of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The number of the layout of the tables.
    pub schema: u32,
    /// The oldest schema number a program must know to read this store.
    pub min_reader: u32,
    /// The oldest schema number a program must know to change this store.
    pub min_writer: u32,
    /// The version of the program that made the store.
    pub written_by: String,
    /// Tells this store from every other; the LOCK files of the data and blob directories repeat it.
    pub store_id: Uuid,
}

impl Record for Format {}

/// `()` -> the migration that is under way, if there is one.
pub const MIGRATION: Table<(), Migration> = Table::new("migration");

/// How far a migration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The layout that the present step leads to.
    pub to: u32,
    /// Where the step goes on, in its own terms; empty at its beginning.
    pub cursor: Vec<u8>,
}

impl Record for Migration {}

/// `()` -> running seconds, the highest wall time seen, the last sequence number, the last id.
pub const CLOCK: Table<(), Clock> = Table::new("clock");

/// The counters of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Seconds that servers have run on this store.
    pub running_s: u64,
    /// The latest wall time seen, in Unix milliseconds.
    pub wall_high_ms: u64,
    /// The last sequence number given out.
    pub sequence: Sequence,
    /// The last id given to a repository, a project or a user.
    pub last_id: u64,
    /// Rows of the outbox.
    pub outbox_rows: u64,
    /// The last number given to a personal token.
    pub last_token: TokenId,
    /// Commits so far: tells after a failed commit whether it is there all the same.
    pub commits: u64,
}

impl Record for Clock {}

/// `()` -> the number raised by every change of users, tokens, members, projects or rules.
pub const AUTH_EPOCH: Table<(), u64> = Table::new("auth_epoch");

//! Migrations: numbered steps in place, each from one format of the tables to the next.
//!
//! A step works in slices. Each slice is one commit that also records where the next one begins, so the next
//! start completes a migration that was interrupted. The first commit creates the new tables and raises
//! `min_writer`: from then on no older program opens the store, although `schema` changes only with the last
//! commit of a step.

mod audit;
mod links;
mod pulls;

#[cfg(test)]
pub(super) use audit::Unchained;
#[cfg(test)]
pub(super) use links::LinkOf5;
#[cfg(test)]
pub(super) use pulls::PullsOf5;

use std::ops::{Bound, ControlFlow};
use std::path::Path;

use redb::Database;

use super::copy::no_room;
use super::error::{StoreError, guarded};
use super::format::{self, SCHEMA};
use super::read::Tx as _;
use super::schema::{self, Clock, Format, Migration};
use super::table::{Raw, Row, Table};
use super::tx::WriteTx;
use crate::model::time::Now;
use crate::store::open_error::OpenError;

/// The most free space that the steps themselves need: they rewrite rows, some at a time.
pub(super) const ROOM: u64 = 32 << 20;

/// What to do about a store of an older format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// Refuse it and leave it unchanged.
    Refuse,
    /// Migrate it.
    Migrate,
    /// Copy it to `backup-before-<format>.redb`, then migrate it.
    CopyAndMigrate,
}

/// Migrates the tables of an open database to the present format, and returns it.
pub(super) fn run(database: Database, path: &Path, found: &Format) -> Result<Database, OpenError> {
    tracing::warn!(from = found.schema, to = SCHEMA, "migrating the metadata to the format of this version");
    match guarded(|| steps(&database, found)).unwrap_or_else(Err) {
        Ok(()) => {
            tracing::warn!(format = SCHEMA, "the metadata is migrated");
            Ok(database)
        }
        Err(error) => {
            // After a panic on a damaged page, closing may panic, too.
            let _ = guarded(|| drop(database));
            Err(match error {
                StoreError::Full => no_room(path, ROOM, false),
                other => other.on_opening(path),
            })
        }
    }
}

fn steps(database: &Database, found: &Format) -> Result<(), StoreError> {
    if found.min_writer < SCHEMA {
        format::in_transaction(database, begin)?;
    }
    while !format::in_transaction(database, advance)? {}
    Ok(())
}

/// The first commit. A step that another version has begun continues.
fn begin(inner: &redb::WriteTransaction) -> Result<(), StoreError> {
    format::make_tables(inner)?;
    let tx = transaction(inner);
    let format = tx.get(&schema::FORMAT, ())?.ok_or(missing(schema::FORMAT.name()))?;
    if !tx.has(&schema::MIGRATION, ())? {
        let first = Migration { to: format.schema + 1, cursor: Vec::new() };
        tx.put(&schema::MIGRATION, (), &first)?;
    }
    tx.put(&schema::FORMAT, (), &Format { min_reader: SCHEMA, min_writer: SCHEMA, ..format })
}

/// Runs one slice; returns whether it was the last one of the last step.
fn advance(inner: &redb::WriteTransaction) -> Result<bool, StoreError> {
    let tx = transaction(inner);
    let Migration { to, cursor } =
        tx.get(&schema::MIGRATION, ())?.ok_or(missing(schema::MIGRATION.name()))?;
    let next = match to {
        5 => audit::slice(&tx, &cursor)?,
        6 => collection(&tx, &cursor)?,
        // The tables of the trash, and of pins, are new.
        7 | 8 => None,
        _ => return Err(missing(schema::MIGRATION.name())),
    };
    if let Some(cursor) = next {
        tx.put(&schema::MIGRATION, (), &Migration { to, cursor })?;
        return Ok(false);
    }
    let format = tx.get(&schema::FORMAT, ())?.ok_or(missing(schema::FORMAT.name()))?;
    tx.put(&schema::FORMAT, (), &Format { schema: to, ..format })?;
    if to < SCHEMA {
        tx.put(&schema::MIGRATION, (), &Migration { to: to + 1, cursor: Vec::new() })?;
        return Ok(false);
    }
    tx.delete(&schema::MIGRATION, ())?;
    Ok(true)
}

/// The step to format 6: links, then pulls. The first byte of the cursor says which.
fn collection(tx: &WriteTx<'_>, cursor: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let with = |part: u8, rest: &[u8]| Some([&[part], rest].concat());
    match cursor.split_first() {
        None | Some((0, _)) => {
            let rest = links::slice(tx, cursor.get(1..).unwrap_or_default())?;
            Ok(rest.map_or_else(|| with(1, &[]), |rest| with(0, &rest)))
        }
        Some((_, rest)) => Ok(pulls::slice(tx, rest)?.and_then(|rest| with(1, &rest))),
    }
}

/// Rows in one commit of a step that rewrites them.
const SLICE: usize = 1_000;

/// A row as it is stored, by repository and the bytes of a digest.
type StoredRow = ((u64, Vec<u8>), Vec<u8>);

/// The rows of one slice, and where the next one begins: after the repository and the digest in the cursor.
fn slice_of<R: Row>(
    tx: &WriteTx<'_>,
    table: &Table<(u64, &'static [u8]), R>,
    cursor: &[u8],
) -> Result<(Vec<StoredRow>, Option<Vec<u8>>), StoreError> {
    let from = match cursor.split_first_chunk::<8>() {
        Some((repository, digest)) => Bound::Excluded((u64::from_be_bytes(*repository), digest)),
        None => Bound::Unbounded,
    };
    let mut rows = Vec::new();
    tx.scan_range(&table.raw(), (from, Bound::Unbounded), |(repository, digest), Raw(row)| {
        rows.push(((repository, digest.to_vec()), row));
        if rows.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let next = rows.last().filter(|_| rows.len() == SLICE).map(|((repository, digest), _)| {
        let mut cursor = repository.to_be_bytes().to_vec();
        cursor.extend_from_slice(digest);
        cursor
    });
    Ok((rows, next))
}

/// The counters are not loaded: no step gives out numbers.
fn transaction(inner: &redb::WriteTransaction) -> WriteTx<'_> {
    WriteTx::new(inner, Now { wall_ms: 0, running_s: 0 }, Clock::default())
}

const fn missing(table: &'static str) -> StoreError {
    StoreError::Corrupt { table }
}

//! The format of the store: written once, checked at every start.

use std::ops::RangeInclusive;
use std::path::Path;

use redb::{Database, ReadableDatabase, TableHandle as _};
use uuid::Uuid;

use super::copy;
use super::error::{self, StoreError};
use super::read::Tx as _;
use super::schema::{self, CHAIN_ANCHOR, CHAIN_HEAD, ChainEnd, Clock, Collection, Format, Project, Promised};
use super::tx::{ReadTx, WriteTx};
use crate::model::names::ProjectId;
use crate::model::time::Now;
use crate::store::durable::parent;
use crate::store::open_error::OpenError;

/// The format that this program writes.
pub const SCHEMA: u32 = 8;

/// The oldest format that this program migrates.
pub(super) const OLDEST: u32 = 4;

/// The formats that this program reads: it migrates the older ones.
pub(super) const SUPPORTED: RangeInclusive<u32> = OLDEST..=SCHEMA;

/// The rows that every start reads first.
pub(super) struct Stored {
    pub(super) format: Format,
    pub(super) clock: Clock,
}

impl Stored {
    /// Whether the tables have an older format, or a migration is in progress.
    pub(super) const fn is_old(&self) -> bool {
        self.format.schema < SCHEMA
    }

    /// Whether a migration has begun.
    pub(super) const fn is_begun(&self) -> bool {
        self.format.min_writer > self.format.schema
    }
}

/// Makes the first commit of a new database at `path`: all tables, the format, the root project.
pub(super) fn create(database: &Database, path: &Path) -> Result<(), OpenError> {
    first_commit(database).map_err(|error| error.on_opening(path))
}

fn first_commit(database: &Database) -> Result<(), StoreError> {
    let mut inner = database.begin_write().map_err(error::transaction)?;
    inner.set_quick_repair(true);
    {
        make_tables(&inner)?;
        let clock = Clock { last_id: ProjectId::ROOT.0, ..Clock::default() };
        let tx = WriteTx::new(&inner, Now { wall_ms: 0, running_s: 0 }, clock);
        let format = Format {
            schema: SCHEMA,
            min_reader: SCHEMA,
            min_writer: SCHEMA,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            store_id: Uuid::new_v4(),
        };
        tx.put(&schema::FORMAT, (), &format)?;
        tx.put(&schema::CLOCK, (), &clock)?;
        tx.put(&schema::AUTH_EPOCH, (), &1)?;
        tx.put(
            &schema::PROJECT,
            ProjectId::ROOT,
            &Project { path: String::new(), parent: None, created_ms: 0 },
        )?;
        tx.put(&schema::PROJECT_PATH, "", &ProjectId::ROOT)?;
        tx.put(&schema::AUDIT_CHAIN, CHAIN_ANCHOR, &ChainEnd::START)?;
        tx.put(&schema::AUDIT_CHAIN, CHAIN_HEAD, &ChainEnd::START)?;
        tx.put(&schema::COLLECTION, (), &Collection { untagged: true })?;
        // Nothing was promised yet.
        tx.put(&schema::PROMISED, (), &Promised::default())?;
    }
    commit(inner)
}

/// Runs `work` in a transaction of its own, before the database has a writer.
pub(super) fn in_transaction<T>(
    database: &Database,
    work: impl FnOnce(&redb::WriteTransaction) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut transaction = database.begin_write().map_err(error::transaction)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    let done = work(&transaction)?;
    commit(transaction)?;
    Ok(done)
}

fn commit(inner: redb::WriteTransaction) -> Result<(), StoreError> {
    inner.commit().map_err(|error| match error {
        redb::CommitError::Storage(source) => error::storage(source),
        other => StoreError::Io(other.to_string()),
    })
}

/// Creates all tables at once, so that a reader always finds every table.
pub(super) fn make_tables(inner: &redb::WriteTransaction) -> Result<(), StoreError> {
    macro_rules! make {
        ($($table:ident)*) => { $( inner.open_table(schema::$table.definition()).map_err(error::table)?; )* };
    }
    schema::every_table!(make);
    Ok(())
}

/// [`read`], where no migration follows: an older format is refused, too.
pub(super) fn check(database: &impl ReadableDatabase, path: &Path) -> Result<Stored, OpenError> {
    let stored = read(database, path)?;
    if stored.is_old() {
        return Err(OpenError::OldFormat { path: path.to_owned(), schema: stored.format.schema });
    }
    Ok(stored)
}

/// Reads the format and refuses one that this program does not know, without changing anything.
pub(super) fn read(database: &impl ReadableDatabase, path: &Path) -> Result<Stored, OpenError> {
    let tables = database
        .begin_read()
        .map_err(error::transaction)
        .and_then(|tx| {
            let names = tx.list_tables().map_err(error::storage)?;
            Ok(names.map(|table| table.name().to_owned()).collect::<Vec<_>>())
        })
        .map_err(|error| error.on_opening(path))?;
    if !tables.iter().any(|name| name == schema::FORMAT.name()) {
        let found = "no format of Stowage".to_owned();
        return Err(unknown(path, found));
    }
    let read = || -> Result<_, StoreError> {
        let tx = ReadTx::begin(database)?;
        Ok((tx.get(&schema::FORMAT, ()), tx.get(&schema::CLOCK, ())))
    };
    match read().map_err(|error| error.on_opening(path))? {
        // Rows of a format that this program does not migrate would be reported as damaged.
        (Ok(Some(format)), _) if format.min_writer > SCHEMA || format.schema < OLDEST => {
            let Format { schema, written_by, .. } = format;
            Err(unknown(path, format!("format {schema} (written by Stowage {written_by})")))
        }
        (Ok(Some(format)), Ok(Some(clock))) => Ok(Stored { format, clock }),
        (Err(StoreError::Corrupt { .. }), _) => {
            Err(unknown(path, "a format stamp of another kind".to_owned()))
        }
        _ => Err(OpenError::Damaged {
            path: path.to_owned(),
            detail: "the format stamp or the clock is missing".to_owned(),
        }),
    }
}

/// The error for an unknown format.
pub(super) fn unknown(path: &Path, found: String) -> OpenError {
    let supported = format!("formats {OLDEST} to {SCHEMA}");
    let copy = copy::before_newer(parent(path), SCHEMA);
    OpenError::UnknownFormat { path: path.to_owned(), found, supported, copy }
}

//! The format of the store: made once, checked at every start, never guessed.

use std::io;
use std::path::{Path, PathBuf};

use redb::Database;
use redb::ReadableDatabase;
use redb::TableHandle as _;
use uuid::Uuid;

use super::error;
use super::error::StoreError;
use super::read::Tx as _;
use super::schema;
use super::schema::{Clock, Format, Project};
use super::tx::{ReadTx, WriteTx};
use crate::model::names::ProjectId;
use crate::model::time::Now;

/// The number of the layout that this program writes.
pub const SCHEMA: u32 = 4;

/// Why the store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the database {} is in use by another process", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// A format that this program does not know.
    #[error("the database {} has {found}, which this version does not know; use the version that wrote it", path.display())]
    UnknownFormat {
        /// The database file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The file is not a whole database.
    #[error("the database {} is damaged: {detail}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(StoreError::from_io(source), StoreError::Full))
    }

    fn store(path: &Path, error: &StoreError) -> Self {
        Self::Damaged { path: path.to_owned(), detail: error.to_string() }
    }
}

/// What every start reads first.
pub(super) struct Stored {
    pub(super) format: Format,
    pub(super) clock: Clock,
}

/// Writes the first commit of a new database: all tables, the format, the root project.
pub(super) fn create(database: &Database) -> Result<(), OpenError> {
    let path = PathBuf::from(super::handle::FILE_NAME);
    first_commit(database).map_err(|error| match error {
        StoreError::Full => OpenError::io(&path, io::Error::from(io::ErrorKind::StorageFull)),
        StoreError::Io(detail) => OpenError::io(&path, io::Error::other(detail)),
        other => OpenError::store(&path, &other),
    })
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
    }
    inner.commit().map_err(|error| match error {
        redb::CommitError::Storage(source) => error::storage(source),
        other => StoreError::Io(other.to_string()),
    })
}

/// Every table is made at once, so that a reader never meets one that is not there.
pub(super) fn make_tables(inner: &redb::WriteTransaction) -> Result<(), StoreError> {
    macro_rules! make {
        ($($table:ident)*) => { $( inner.open_table(schema::$table.definition()).map_err(error::table)?; )* };
    }
    schema::every_table!(make);
    Ok(())
}

/// Reads the format and refuses one that this program does not know, touching nothing.
pub(super) fn check(database: &impl ReadableDatabase, path: &Path) -> Result<Stored, OpenError> {
    let tables = database
        .begin_read()
        .map_err(error::transaction)
        .and_then(|tx| {
            let names = tx.list_tables().map_err(error::storage)?;
            Ok(names.map(|table| table.name().to_owned()).collect::<Vec<_>>())
        })
        .map_err(|error| OpenError::store(path, &error))?;
    if !tables.iter().any(|name| name == schema::FORMAT.name()) {
        let found = "no format of Stowage".to_owned();
        return Err(OpenError::UnknownFormat { path: path.to_owned(), found });
    }
    let read = || -> Result<_, StoreError> {
        let tx = ReadTx::begin(database)?;
        Ok((tx.get(&schema::FORMAT, ()), tx.get(&schema::CLOCK, ())))
    };
    match read().map_err(|error| OpenError::store(path, &error))? {
        // Until migrations exist, an older format is as unknown as a newer one: its rows would be taken for damaged ones.
        (Ok(Some(format)), _) if format.min_writer > SCHEMA || format.schema < SCHEMA => {
            Err(OpenError::UnknownFormat {
                path: path.to_owned(),
                found: format!("format {} (written by Stowage {})", format.schema, format.written_by),
            })
        }
        (Ok(Some(format)), Ok(Some(clock))) => Ok(Stored { format, clock }),
        (Err(StoreError::Corrupt { .. }), _) => Err(OpenError::UnknownFormat {
            path: path.to_owned(),
            found: "a format stamp of another kind".to_owned(),
        }),
        _ => Err(OpenError::Damaged {
            path: path.to_owned(),
            detail: "the format stamp or the clock is missing".to_owned(),
        }),
    }
}

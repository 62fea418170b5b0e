//! The database file: created and opened.

use std::borrow::Borrow;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

use super::copy;
use super::error::{self, StoreError};
use super::faulty::FaultyBackend;
use super::format::{self, SCHEMA, Stored};
use super::migrate::{self, Older};
use super::overlay::Overlay;
use super::place::FileId;
use super::schema::Clock;
use crate::config::{open_own, open_regular};
use crate::store::durable::{put_in_place, remove_if_there};
use crate::store::faulty::Faults;
use crate::store::open_error::OpenError;

/// The name of the database file in the data directory.
pub const FILE_NAME: &str = "stowage.redb";
/// The name of a database file that is being created, or filled by a compaction.
const NEW_FILE_NAME: &str = "stowage.redb.new";

/// Called with the progress of a repair, in percent. After a crash soon after a commit without quick-repair,
/// redb reads the whole file before the first request is answered: at most some ten seconds for each GiB.
pub type OnRepair = fn(u64);

/// Logs the progress of a repair, in percent.
pub fn log_repair(percent: u64) {
    tracing::warn!(
        percent,
        "the last run did not stop cleanly; all metadata is read before the registry answers"
    );
}

/// The parameters for opening the database file.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) data_dir: PathBuf,
    pub(super) cache_bytes: usize,
    pub(super) faults: Option<Arc<Faults>>,
    pub(super) on_repair: OnRepair,
    /// The file that was opened before, and must be opened again; `None` at the first time.
    pub(super) expected: Option<FileId>,
}

impl Opener {
    pub(super) fn path(&self) -> PathBuf {
        self.data_dir.join(FILE_NAME)
    }

    /// The path of a database that is not in use yet. Every start removes the file.
    pub(super) fn new_path(&self) -> PathBuf {
        self.data_dir.join(NEW_FILE_NAME)
    }

    fn database(&self, file: File) -> Result<Database, DatabaseError> {
        let mut builder = Builder::new();
        let on_repair = self.on_repair;
        builder.set_cache_size(self.cache_bytes).set_repair_callback(move |repair| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1")]
            on_repair((repair.progress() * 100.0).round() as u64);
        });
        match &self.faults {
            None => builder.create_file(file),
            Some(faults) => {
                builder.create_with_backend(FaultyBackend::new(FileBackend::new(file)?, Arc::clone(faults)))
            }
        }
    }

    /// Opens the database of the data directory. If there is none, it creates one under a temporary name and
    /// renames it when its first commit is durable, so that a crash in between leaves nothing that cannot be
    /// started. `older` says what to do about an older format.
    pub(super) fn open_or_create(&self, older: Older) -> Result<(Database, bool), OpenError> {
        let (path, new) = (self.path(), self.new_path());
        remove_if_there(&new).map_err(|source| OpenError::io(&new, source))?;
        if path.exists() {
            return Ok((self.open_present(older)?, false));
        }
        let (database, _) = self.create_new()?;
        format::create(&database, &path)?;
        put_in_place(&new, &path).map_err(|source| OpenError::io(&path, source))?;
        Ok((database, true))
    }

    /// An empty database at [`Opener::new_path`], where no file is, and its file.
    pub(super) fn create_new(&self) -> Result<(Database, FileId), OpenError> {
        let new = self.new_path();
        let failed = |source| OpenError::io(&new, source);
        let file = open_own(&new, options().create_new(true)).map_err(failed)?;
        let id = FileId::of(&file.metadata().map_err(failed)?);
        Ok((self.database(file).map_err(|error| self.refused(error, 0))?, id))
    }

    /// Opens the existing database, and migrates an older format.
    fn open_present(&self, older: Older) -> Result<Database, OpenError> {
        let path = self.path();
        let (found, repaired) = if let Some(found) = self.look()? {
            (found, None)
        } else {
            let database = self.open()?;
            (format::read(&database, &path)?, Some(database))
        };
        if !found.is_old() {
            return repaired.map_or_else(|| self.open(), Ok);
        }
        match older {
            Older::Refuse => Err(OpenError::OldFormat { path, schema: found.format.schema }),
            // Once a migration has begun the copy exists, and the file is no longer one of the older version.
            Older::CopyAndMigrate if !found.is_begun() => {
                // Closed first, so that no process writes to the file during the copy.
                drop(repaired);
                copy::make(&path, SCHEMA, migrate::ROOM, self.faults.as_ref())?;
                self.migrate(None, &found)
            }
            Older::CopyAndMigrate | Older::Migrate => self.migrate(repaired, &found),
        }
    }

    fn migrate(&self, open: Option<Database>, found: &Stored) -> Result<Database, OpenError> {
        let path = self.path();
        let database = open.map_or_else(|| self.open(), Ok).map_err(|error| match error {
            OpenError::Io { source, .. } if matches!(StoreError::from_io(&source), StoreError::Full) => {
                copy::no_room(&path, migrate::ROOM, false)
            }
            other => other,
        })?;
        migrate::run(database, &path, &found.format)
    }

    /// Reads the format without changing the file, as opening it for writing would. It is `None` if a crash
    /// left something to repair: then the format is read after the repair.
    fn look(&self) -> Result<Option<Stored>, OpenError> {
        let path = self.path();
        self.guard(
            &open_regular(&path, OpenOptions::new().read(true))
                .map_err(|source| OpenError::io(&path, source))?,
            |_| match Builder::new().set_cache_size(self.cache_bytes).open_read_only(&path) {
                Ok(database) => Ok(format::read(&database, &path).map(Some)),
                Err(DatabaseError::RepairAborted) => Ok(Ok(None)),
                Err(error) => Err(error),
            },
        )?
    }

    /// Opens the existing database.
    pub(super) fn open(&self) -> Result<Database, OpenError> {
        let file = self.file(&mut options())?;
        self.guard(file, |file| self.database(file))
    }

    /// The file at the path. It must be the one that was open before, because another file has other content.
    fn file(&self, options: &mut OpenOptions) -> Result<File, OpenError> {
        let path = self.path();
        let wrong = |source| OpenError::io(&path, source);
        let file = open_regular(&path, options).map_err(wrong)?;
        let id = FileId::of(&file.metadata().map_err(wrong)?);
        if self.expected.is_some_and(|expected| expected != id) {
            return Err(wrong(io::Error::other("another file is in its place")));
        }
        Ok(file)
    }

    /// Opens the existing database on a disk that takes no writes.
    pub(super) fn open_for_reading(&self) -> Result<Database, OpenError> {
        let file = self.file(OpenOptions::new().read(true))?;
        self.guard(file, |file| {
            Builder::new().set_cache_size(self.cache_bytes).create_with_backend(Overlay::new(file)?)
        })
    }

    /// The database that `open` returns, and its clock.
    pub(super) fn checked(
        &self,
        open: impl Fn(&Self) -> Result<Database, OpenError>,
    ) -> Result<(Database, Clock), OpenError> {
        let database = open(self)?;
        let stored = format::check(&database, &self.path())?;
        Ok((database, stored.clock))
    }

    /// Opens a database file that may have any content. An empty file is refused, because redb would create
    /// an empty database in it; a panic on damaged pages becomes an error.
    fn guard<F, T>(&self, file: F, open: impl FnOnce(F) -> Result<T, DatabaseError>) -> Result<T, OpenError>
    where
        F: Borrow<File>,
    {
        let path = self.path();
        let found = file.borrow().metadata().map_err(|source| OpenError::io(&path, source))?;
        if found.len() == 0 {
            return Err(OpenError::Damaged { path, detail: "the file is empty".to_owned() });
        }
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open(file))) {
            Ok(opened) => opened.map_err(|error| self.refused(error, found.len())),
            Err(_) => Err(OpenError::Damaged { path, detail: error::CONTRADICTION.to_owned() }),
        }
    }

    /// The error for a file of `len` bytes that redb refuses.
    fn refused(&self, error: DatabaseError, len: u64) -> OpenError {
        let path = self.path();
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path, pid: None },
            DatabaseError::UpgradeRequired(version) => {
                format::unknown(&path, format!("redb file format {version}"))
            }
            DatabaseError::Storage(redb::StorageError::Io(source))
                if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                OpenError::io(&path, source)
            }
            other => OpenError::Damaged { path, detail: error::damage(&other, len) },
        }
    }
}

fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

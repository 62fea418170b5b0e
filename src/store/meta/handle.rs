//! The database file: making it, opening it, and opening it again after an I/O error.

use std::borrow::Borrow;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

use super::copy;
use super::error::{self, StoreError, guarded};
use super::faulty::FaultyBackend;
use super::format::{self, SCHEMA, Stored};
use super::migrate::{self, Older};
use super::overlay::Overlay;
use super::place::{FileId, Place};
use super::reserve::Reserve;
use super::schema::Clock;
use crate::config::{open_own, open_regular};
use crate::store::durable::{put_in_place, remove_if_there};
use crate::store::faulty::Faults;
use crate::store::open_error::OpenError;

/// The name of the database file in the data directory.
pub const FILE_NAME: &str = "stowage.redb";
/// The name of the database file while it is being made.
const NEW_FILE_NAME: &str = "stowage.redb.new";

/// Is told how far a repair is, in percent. After a crash shortly behind a commit that saved nothing for a
/// quick start, the whole file is read before a request is answered: at most some ten seconds for each GiB.
pub type OnRepair = fn(u64);

/// Writes to the log how far a repair is, in percent.
pub fn log_repair(percent: u64) {
    tracing::warn!(
        percent,
        "the last run did not stop cleanly; all metadata is read before the registry answers"
    );
}

/// How the database file is opened.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) data_dir: PathBuf,
    pub(super) cache_bytes: usize,
    pub(super) faults: Option<Arc<Faults>>,
    pub(super) on_repair: OnRepair,
    /// The file that may be opened again; none before the first time.
    pub(super) expected: Option<FileId>,
}

impl Opener {
    fn path(&self) -> PathBuf {
        self.data_dir.join(FILE_NAME)
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

    /// Opens the database of the data directory, or makes one under a temporary name and renames it
    /// when its first commit is durable: a crash in between leaves nothing that cannot be started.
    /// `older` says what becomes of a database of an older format.
    pub(super) fn open_or_create(&self, older: Older) -> Result<(Database, bool), OpenError> {
        let path = self.path();
        let new = self.data_dir.join(NEW_FILE_NAME);
        remove_if_there(&new).map_err(|source| OpenError::io(&new, source))?;
        if path.exists() {
            return Ok((self.open_present(older)?, false));
        }
        let file =
            open_own(&new, options().create_new(true)).map_err(|source| OpenError::io(&new, source))?;
        let database = self.database(file).map_err(|error| self.refused(error, 0))?;
        format::create(&database, &path)?;
        put_in_place(&new, &path).map_err(|source| OpenError::io(&path, source))?;
        Ok((database, true))
    }

    /// Opens the database that is there, and migrates it where it has an older format.
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
            // Once it has begun, the file is not that of the version before any more, and the copy was made.
            Older::CopyAndMigrate if !found.is_begun() => {
                // The copy is of a file that no process writes to.
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

    /// Reads the format without changing a byte of the file, as opening it for writing would. Where a crash
    /// left something to repair it is none: that of a version is found out after the repair.
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

    /// Opens the database that is there.
    pub(super) fn open(&self) -> Result<Database, OpenError> {
        let file = self.file(&mut options())?;
        self.guard(file, |file| self.database(file))
    }

    /// The file at the path, which must be the one that was open before: another one has other content.
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

    /// Opens the database that is there on a disk that takes no writes.
    fn open_for_reading(&self) -> Result<Database, OpenError> {
        let file = self.file(OpenOptions::new().read(true))?;
        self.guard(file, |file| {
            Builder::new().set_cache_size(self.cache_bytes).create_with_backend(Overlay::new(file)?)
        })
    }

    /// The database that `open` finds, and its clock.
    fn checked(
        &self,
        open: impl Fn(&Self) -> Result<Database, OpenError>,
    ) -> Result<(Database, Clock), OpenError> {
        let database = open(self)?;
        let stored = format::check(&database, &self.path())?;
        Ok((database, stored.clock))
    }

    /// Opens a file that may be anything: an empty one is refused, for redb would make a new database of it
    /// and with it an empty registry, and a panic over its pages is an answer like another.
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

    /// What a refusal of redb means for a file of `len` bytes.
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

/// The open database, which the writer replaces after an I/O error (redb refuses all writes after one).
pub(super) struct Handle {
    opener: Opener,
    current: ArcSwapOption<Database>,
    reserve: Reserve,
    place: Place,
    /// Why the database can only be read, while that is so.
    refusal: Mutex<Option<StoreError>>,
}

impl Handle {
    pub(super) fn new(opener: Opener, database: Database, reserve: Reserve, place: Place) -> Self {
        let current = ArcSwapOption::from_pointee(database);
        Self { opener, current, reserve, place, refusal: Mutex::new(None) }
    }

    /// The room that is kept back for deletions.
    pub(super) const fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// Where the file is.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.current.load_full().ok_or(StoreError::Unavailable)
    }

    /// Whether new readers still get `database`.
    pub(super) fn is_current(&self, database: &Weak<Database>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Weak::ptr_eq(database, &Arc::downgrade(current)))
    }

    /// Why changes are to be refused: the file is not at its path, or the disk takes none, and what redb
    /// would write stays in memory.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        if self.place.is_displaced() {
            return Some(StoreError::Displaced);
        }
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_refusal(&self, refusal: Option<StoreError>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Opens the database again: as it was, or else for reading only, which [`Handle::refusal`] tells. Only
    /// the writer calls this, with its transaction dropped.
    pub(super) fn reopen(&self) -> Result<Clock, StoreError> {
        if !self.place.look() {
            // What is open can still be read; what is at the path is something else.
            return Err(StoreError::Displaced);
        }
        if self.refusal().is_some() {
            // Readers keep what they have until there is something better.
            let (database, clock) = self.opener.checked(Opener::open).map_err(failure)?;
            self.replace(database);
            self.set_refusal(None);
            tracing::warn!("the disk accepts writes again");
            return Ok(clock);
        }
        self.close();
        let mut pause = Duration::from_millis(50);
        let mut last = StoreError::Unavailable;
        for _ in 0..3 {
            match self.opener.checked(Opener::open) {
                Ok((database, clock)) => {
                    self.current.store(Some(Arc::new(database)));
                    tracing::warn!("the metadata database was reopened after an I/O error");
                    return Ok(clock);
                }
                Err(error) => last = failure(error),
            }
            match last {
                StoreError::ReadOnly => break,
                StoreError::Full if self.reserve.give_up() => continue,
                _ => {}
            }
            std::thread::sleep(pause);
            pause *= 4;
        }
        let Ok((database, clock)) = self.opener.checked(Opener::open_for_reading) else { return Err(last) };
        self.current.store(Some(Arc::new(database)));
        tracing::error!(error = %last, "the database is read-only: pulls still work, changes are refused");
        self.set_refusal(Some(match last {
            StoreError::ReadOnly | StoreError::Full => last,
            _ => StoreError::Unavailable,
        }));
        Ok(clock)
    }

    /// Opens the database again for reading when it cannot be opened otherwise.
    pub(super) fn renew(&self) {
        if self.refusal().is_some()
            && let Ok((database, _)) = self.opener.checked(Opener::open_for_reading)
        {
            self.replace(database);
        }
    }

    /// Gives new readers another database, and closes the old one once its last reader has let it go.
    fn replace(&self, database: Database) {
        if let Some(old) = self.current.swap(Some(Arc::new(database))) {
            close(old);
        }
    }

    /// Takes the database away from new readers, waits for those that have it, and closes it.
    pub(super) fn close(&self) {
        if let Some(old) = self.current.swap(None) {
            close(old);
        }
    }

    pub(super) fn file_len(&self) -> u64 {
        fs::metadata(self.opener.path()).map_or(0, |metadata| metadata.len())
    }
}

fn close(mut database: Arc<Database>) {
    loop {
        match Arc::try_unwrap(database) {
            Ok(last) => {
                if let Err(error) = guarded(|| drop(last)) {
                    tracing::error!(%error, "could not close the database");
                }
                return;
            }
            Err(shared) => {
                database = shared;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn failure(error: OpenError) -> StoreError {
    match error {
        OpenError::Io { source, .. } => StoreError::from_io(&source),
        other => StoreError::Io(other.to_string()),
    }
}

//! The open database, and how it is opened again after an I/O error.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redb::Database;

use super::error::{StoreError, guarded};
use super::opener::Opener;
use super::place::{DatabaseFile, Held};
use super::reserve::Reserve;
use super::schema::Clock;
use crate::store::faulty::Faults;
use crate::store::open_error::OpenError;

/// The open database. The writer replaces it after an I/O error, because redb refuses all writes after one.
pub(super) struct Handle {
    opener: Opener,
    current: ArcSwapOption<Database>,
    /// The database that a compaction replaced last. Who reads a snapshot of it may end that.
    retired: Mutex<Weak<Database>>,
    reserve: Reserve,
    place: DatabaseFile,
    /// Why the database can only be read, if it can.
    refusal: Mutex<Option<StoreError>>,
}

impl Handle {
    pub(super) fn new(opener: Opener, database: Database, reserve: Reserve, place: DatabaseFile) -> Self {
        let current = ArcSwapOption::from_pointee(database);
        Self { opener, current, retired: Mutex::default(), reserve, place, refusal: Mutex::new(None) }
    }

    /// Opens the file that is at the path now, and no other.
    pub(super) fn opener(&self) -> Opener {
        Opener { expected: Some(self.place.id()), ..self.opener.clone() }
    }

    /// The space that is reserved for deletions.
    pub(super) const fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// The path of the database, and the file that is open.
    pub(super) const fn place(&self) -> &DatabaseFile {
        &self.place
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.current.load_full().ok_or(StoreError::Unavailable)
    }

    /// Whether a snapshot of `database` may still be read. One of a database that was closed after an error
    /// may not, because its reopening waits for the readers.
    pub(super) fn may_read(&self, database: &Weak<Database>) -> bool {
        self.is_current(database) || Weak::ptr_eq(database, &self.retired())
    }

    /// Whether `database` is still the one that new readers get.
    pub(super) fn is_current(&self, database: &Weak<Database>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Weak::ptr_eq(database, &Arc::downgrade(current)))
    }

    /// Why changes must be refused: the file is not at its path, or the disk takes no writes and redb's
    /// writes stay in memory.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        if self.place.is_displaced() {
            return Some(StoreError::Displaced);
        }
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_refusal(&self, refusal: Option<StoreError>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Opens the database again: for writing if possible, else for reading only, with the reason in
    /// [`Handle::refusal`]. Only the writer may call this, after it dropped its transaction.
    pub(super) fn reopen(&self) -> Result<Clock, StoreError> {
        if !self.place.look() {
            // The open file can still be read; the file at the path is another one.
            return Err(StoreError::Displaced);
        }
        if self.refusal().is_some() {
            // Readers keep the old database until the new one is open.
            let (database, clock) = self.opener().checked(Opener::open).map_err(failure)?;
            self.replace(database);
            self.set_refusal(None);
            tracing::warn!("the disk accepts writes again");
            return Ok(clock);
        }
        self.close();
        let mut pause = Duration::from_millis(50);
        let mut last = StoreError::Unavailable;
        for _ in 0..3 {
            match self.opener().checked(Opener::open) {
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
        let Ok((database, clock)) = self.opener().checked(Opener::open_for_reading) else { return Err(last) };
        self.current.store(Some(Arc::new(database)));
        tracing::error!(error = %last, "the database is read-only: pulls still work, changes are refused");
        self.set_refusal(Some(match last {
            StoreError::ReadOnly | StoreError::Full => last,
            _ => StoreError::Unavailable,
        }));
        Ok(clock)
    }

    /// Opens the database again for reading, if it cannot be opened for writing.
    pub(super) fn renew(&self) {
        if self.refusal().is_some()
            && let Ok((database, _)) = self.opener().checked(Opener::open_for_reading)
        {
            self.replace(database);
        }
    }

    /// Gives new readers the database of a compacted file, which is at the path now. Returns the old one: it
    /// can be read until its last reader has dropped it, and [`close`] waits for that. Only the writer may
    /// call this.
    pub(super) fn compacted(&self, database: Database, held: Held) -> Option<Arc<Database>> {
        self.place.replaced(held);
        let old = self.current.swap(Some(Arc::new(database)));
        *self.retired() = old.as_ref().map(Arc::downgrade).unwrap_or_default();
        old
    }

    fn retired(&self) -> std::sync::MutexGuard<'_, Weak<Database>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives new readers another database; the old one is closed when its last reader has dropped it.
    fn replace(&self, database: Database) {
        if let Some(old) = self.current.swap(Some(Arc::new(database))) {
            close(old);
        }
    }

    /// [`DatabaseFile::settle`].
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.place.settle(self.faults()).map_err(|error| StoreError::from_io(&error))
    }

    /// Takes the database from new readers, waits for the present ones, and closes it.
    pub(super) fn close(&self) {
        if let Some(old) = self.current.swap(None) {
            close(old);
        }
    }

    pub(super) fn file_len(&self) -> u64 {
        fs::metadata(self.opener.path()).map_or(0, |metadata| metadata.len())
    }

    /// What the file takes on the disk: redb makes it longer than what it writes.
    pub(super) fn file_bytes(&self) -> u64 {
        fs::metadata(self.opener.path())
            .map_or(0, |found| found.len().min(found.blocks().saturating_mul(512)))
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.opener.data_dir
    }

    pub(super) const fn faults(&self) -> Option<&Arc<Faults>> {
        self.opener.faults.as_ref()
    }
}

/// Waits for the readers of a database that new readers do not get, and closes it.
pub(super) fn close(mut database: Arc<Database>) {
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

/// The error of opening it, as one of the open database.
pub(super) fn failure(error: OpenError) -> StoreError {
    match error {
        OpenError::Io { source, .. } => StoreError::from_io(&source),
        other => StoreError::Io(other.to_string()),
    }
}

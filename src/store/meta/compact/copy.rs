//! The new database file, until it is in its place.

use std::sync::Arc;
use std::{fs, io};

use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, Value as _, WriteTransaction};

use super::changed::ChangedRow;
use super::{Checked, CompactError};
use crate::store::durable::remove_if_there;
use crate::store::faulty::{Call, Faults};
use crate::store::meta::error::{self, StoreError, guarded};
use crate::store::meta::format::make_tables;
use crate::store::meta::handle::failure;
use crate::store::meta::key::Key;
use crate::store::meta::open_tables::OpenTable as _;
use crate::store::meta::opener::Opener;
use crate::store::meta::place::{FileId, Held};
use crate::store::meta::table::{Raw, Table};
use crate::store::meta::tx::ReadTx;
use crate::store::meta::{Meta, Pages, Row, batch, schema};

/// Bytes after which what was copied is committed. The rest of it waits in memory until then.
const SLICE: u64 = 8 << 20;
/// Changed rows that are read in one snapshot.
const CHANGES: usize = 1_000;

/// A copy of the database. Dropping it removes its file, unless that was put in place.
pub(super) struct Copy {
    opener: Opener,
    /// Identifies the file, which another one may have replaced when it is put in place.
    id: Option<FileId>,
    /// Whether the file has taken the place of the database's file.
    is_placed: bool,
    database: Option<Database>,
    /// What is not committed yet, and its bytes.
    open: Option<WriteTransaction>,
    pending: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The most bytes that are copied.
    pub(super) most_bytes: u64,
}

impl Copy {
    /// An empty database beside the one that `opener` opens.
    pub(super) fn create(opener: Opener) -> Result<Self, CompactError> {
        let path = opener.new_path();
        remove_if_there(&path).map_err(|source| CompactError::Copy(StoreError::from_io(&source)))?;
        // Dropping it removes the file, also if it cannot be opened.
        let mut copy = Self {
            opener,
            id: None,
            is_placed: false,
            database: None,
            open: None,
            pending: 0,
            rows: 0,
            bytes: 0,
            most_bytes: u64::MAX,
        };
        let created = guarded(|| copy.opener.create_new()).map_err(CompactError::Copy)?;
        let (database, id) = created.map_err(|error| CompactError::Copy(failure(error)))?;
        (copy.database, copy.id) = (Some(database), Some(id));
        make_tables(copy.begin()?).map_err(CompactError::Copy)?;
        Ok(copy)
    }

    /// Copies all rows, each as it is when it is read.
    pub(super) fn fill(&mut self, meta: &Meta, on_progress: &mut Checked<'_>) -> Result<(), CompactError> {
        let mut expected = 0;
        macro_rules! expect {
            ($($table:ident)*) => { $( expected += meta.read_blocking(|tx| tx.count(&schema::$table))?; )* };
        }
        schema::every_table!(expect);
        macro_rules! copy {
            ($($table:ident)*) => { $(
                self.table(meta, &schema::$table.raw_keys().raw(), expected, on_progress)?;
            )* };
        }
        schema::every_table!(copy);
        self.commit()
    }

    fn table<K: Key>(
        &mut self,
        meta: &Meta,
        table: &Table<K, Raw>,
        expected: u64,
        on_progress: &mut Checked<'_>,
    ) -> Result<(), CompactError> {
        let mut pages = Pages::all();
        loop {
            let (mut rows, mut bytes) = (0, 0);
            let more = {
                let open = self.begin()?.open_table(table.definition());
                let mut open = open.map_err(|error| CompactError::Copy(error::table(error)))?;
                meta.page(table, &mut pages, |_, key, row: Option<Raw>| {
                    let Some(Raw(row)) = row else { return Ok(()) };
                    let key = K::Stored::as_bytes(&key);
                    rows += 1;
                    bytes += (key.as_ref().len() + row.len()) as u64;
                    open.put(key.as_ref(), &row).map_err(CompactError::Copy)
                })?
            };
            self.rows += rows;
            self.wrote(bytes)?;
            if !more {
                return Ok(());
            }
            on_progress(self.rows, expected.max(self.rows), self.bytes)?;
        }
    }

    /// Reads the whole file again, and compares its pages with their checksums.
    pub(super) fn verify(&mut self) -> Result<(), CompactError> {
        let database = self.database.as_mut().ok_or(CompactError::Copy(StoreError::Failed))?;
        match guarded(|| database.check_integrity()).map_err(CompactError::Copy)? {
            Ok(true) => Ok(()),
            Err(redb::DatabaseError::Storage(error)) => Err(CompactError::Copy(error::storage(error))),
            Ok(false) | Err(_) => Err(CompactError::Copy(StoreError::Failed)),
        }
    }

    /// Copies these rows again, or removes those that are gone.
    pub(super) fn catch_up(
        &mut self,
        meta: &Meta,
        rows: &[ChangedRow],
        on_progress: &mut Checked<'_>,
    ) -> Result<(), CompactError> {
        for part in rows.chunks(CHANGES) {
            meta.read_blocking(|tx| self.follow(tx, part))?;
            on_progress(self.rows, self.rows, self.bytes)?;
        }
        self.commit()
    }

    /// The same in one snapshot, without a commit.
    pub(super) fn follow(&mut self, tx: &ReadTx, rows: &[ChangedRow]) -> Result<(), CompactError> {
        macro_rules! follow {
            ($($table:ident)*) => { $( self.follow_in(tx, &schema::$table.raw_keys().raw(), rows)?; )* };
        }
        schema::every_table!(follow);
        Ok(())
    }

    fn follow_in<K: Key>(
        &mut self,
        tx: &ReadTx,
        table: &Table<K, Raw>,
        rows: &[ChangedRow],
    ) -> Result<(), CompactError> {
        let mut keys = rows.iter().filter(|(name, _)| *name == table.name()).peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        let (mut bytes, most) = (0, self.most_bytes.saturating_sub(self.bytes));
        {
            let from = tx.open(table)?;
            let open = self.begin()?.open_table(table.definition());
            let mut open = open.map_err(|error| CompactError::Copy(error::table(error)))?;
            for (_, key) in keys {
                let row = from.get(K::Stored::from_bytes(key)).map_err(error::storage)?;
                let written = match row {
                    Some(row) => {
                        bytes += (key.len() + row.value().len()) as u64;
                        if bytes > most {
                            return Err(CompactError::Busy);
                        }
                        open.put(key, row.value())
                    }
                    None => open.delete(key).map(drop),
                };
                written.map_err(CompactError::Copy)?;
            }
        }
        self.wrote(bytes)
    }

    /// Commits in two phases, so that the file can be put in place, and checks that every table has as many
    /// rows as in this snapshot.
    pub(super) fn complete(&mut self, tx: &ReadTx) -> Result<(), CompactError> {
        self.begin()?;
        if let Some(mut open) = self.open.take() {
            open.set_two_phase_commit(true);
            open.set_quick_repair(true);
            batch::commit(open).map_err(CompactError::Copy)?;
        }
        let copy =
            self.database()?.begin_read().map_err(|error| CompactError::Copy(error::transaction(error)))?;
        macro_rules! compare {
            ($($table:ident)*) => { $( compare(tx, &copy, &schema::$table)?; )* };
        }
        schema::every_table!(compare);
        Ok(())
    }

    /// Puts the file in the place of the database's file. A crash before or after this leaves a file with
    /// every change; the caller makes it durable which of them it is.
    pub(super) fn put_in_place(
        &mut self,
        faults: Option<&Arc<Faults>>,
    ) -> Result<(Database, Held), CompactError> {
        let (new, path) = (self.opener.new_path(), self.opener.path());
        let renamed = Held::at(&new).and_then(|held| {
            if self.id != Some(held.id()) {
                return Err(io::Error::other("another file is in the place of the new database file"));
            }
            if let Some(faults) = faults {
                faults.step(Call::DatabaseRename)?;
            }
            fs::rename(&new, &path).map(|()| held)
        });
        let held = renamed.map_err(|error| CompactError::Copy(StoreError::from_io(&error)))?;
        self.is_placed = true;
        let database = self.database.take().ok_or(CompactError::Copy(StoreError::Failed))?;
        Ok((database, held))
    }

    fn database(&self) -> Result<&Database, CompactError> {
        self.database.as_ref().ok_or(CompactError::Copy(StoreError::Failed))
    }

    /// The transaction that is open, or a new one.
    fn begin(&mut self) -> Result<&WriteTransaction, CompactError> {
        let open = if let Some(open) = self.open.take() {
            open
        } else {
            let begun = self.database()?.begin_write();
            begun.map_err(|error| CompactError::Copy(error::transaction(error)))?
        };
        Ok(self.open.insert(open))
    }

    /// Counts bytes, and commits when there are enough of them.
    fn wrote(&mut self, bytes: u64) -> Result<(), CompactError> {
        self.bytes += bytes;
        self.pending += bytes;
        if self.pending < SLICE { Ok(()) } else { self.commit() }
    }

    /// A crash loses the whole copy, so one phase and no state for a quick repair are enough.
    fn commit(&mut self) -> Result<(), CompactError> {
        self.pending = 0;
        let Some(open) = self.open.take() else { return Ok(()) };
        batch::commit(open).map_err(CompactError::Copy)
    }
}

fn compare<K: Key, R: Row>(
    tx: &ReadTx,
    copy: &redb::ReadTransaction,
    table: &Table<K, R>,
) -> Result<(), CompactError> {
    let open =
        copy.open_table(table.definition()).map_err(|error| CompactError::Copy(error::table(error)))?;
    let rows = open.len().map_err(|error| CompactError::Copy(error::storage(error)))?;
    if tx.count(table)? == rows { Ok(()) } else { Err(CompactError::Differs(table.name())) }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // After a panic over a page, closing may panic, too.
        let _ = guarded(|| drop(self.open.take()));
        let _ = guarded(|| drop(self.database.take()));
        if !self.is_placed
            && let Err(error) = remove_if_there(&self.opener.new_path())
        {
            // The next start removes it.
            tracing::warn!(%error, "the file of an ended compaction could not be removed");
        }
    }
}

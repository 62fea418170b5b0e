//! Transactions: snapshots for reading, and write transactions for jobs.

use std::cell::{Cell, RefCell};
use std::ops::{Bound, ControlFlow};

use redb::{ReadableDatabase, ReadableTableMetadata as _, TableHandle as _, Value as _};

use super::compact::Changed;
use super::error::{self, StoreError};
use super::key::{Key, KeyOf, Stored};
use super::open_tables::OpenTables;
use super::read::{Tx, decoded, get_in, scan_in};
use super::schema::{self, Clock};
use super::table::{Raw, Row, Table};
use crate::model::names::{ProjectId, RepoId, Sequence, TokenId, UserId};
use crate::model::time::Now;

/// Rows after which a transaction is committed.
pub(super) const MAX_ROWS: u64 = 10_000;

/// A snapshot. Drop it soon: pages that it sees cannot be reused while it lives.
pub struct ReadTx {
    inner: redb::ReadTransaction,
    broken: Cell<bool>,
}

impl ReadTx {
    pub(super) fn begin(database: &impl ReadableDatabase) -> Result<Self, StoreError> {
        let inner = database.begin_read().map_err(error::transaction)?;
        Ok(Self { inner, broken: Cell::new(false) })
    }

    /// Whether an I/O error occurred; after one, redb only reads what is in its cache.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub(super) fn open<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
    ) -> Result<redb::ReadOnlyTable<K::Stored, &'static [u8]>, StoreError> {
        self.inner.open_table(table.definition()).map_err(error::table)
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(StoreError::breaks_handle) {
            self.broken.set(true);
        }
        result
    }

    /// Calls `take` with the stored bytes at `key`, without copying them.
    pub fn with<K: Key, Q: KeyOf<K>, T>(
        &self,
        table: &Table<K, Raw>,
        key: Q,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let held = key.hold();
        let read = |open: redb::ReadOnlyTable<K::Stored, &'static [u8]>| {
            let row = open.get(Q::stored(&held)).map_err(error::storage)?;
            Ok(row.map(|row| take(row.value())))
        };
        self.note(self.open(table).and_then(read))
    }

    /// The names of the tables in the file.
    pub(super) fn tables(&self) -> Result<Vec<String>, StoreError> {
        let names = self.inner.list_tables().map_err(error::storage);
        self.note(names.map(|names| names.map(|table| table.name().to_owned()).collect()))
    }

    /// The number of rows of a table.
    pub fn count<K: Key, R: Row>(&self, table: &Table<K, R>) -> Result<u64, StoreError> {
        self.note(self.open(table).and_then(|open| open.len().map_err(error::storage)))
    }
}

impl Tx for ReadTx {
    fn get<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<Option<R>, StoreError> {
        let held = key.hold();
        self.note(self.open(table).and_then(|open| get_in(&open, table, &Q::stored(&held))))
    }

    fn has<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<bool, StoreError> {
        let held = key.hold();
        let read = |open: redb::ReadOnlyTable<K::Stored, &'static [u8]>| {
            Ok(open.get(Q::stored(&held)).map_err(error::storage)?.is_some())
        };
        self.note(self.open(table).and_then(read))
    }

    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<Stored<'k, K>>,
        to: Bound<Stored<'k, K>>,
        visit: impl FnMut(Stored<'_, K>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.note(self.open(table).and_then(|open| scan_in(&open, table, (from, to), visit)))
    }
}

/// A write transaction. The jobs of a batch use it one after the other.
pub struct WriteTx<'t> {
    inner: &'t redb::WriteTransaction,
    tables: OpenTables<'t>,
    now: Now,
    clock: Cell<Clock>,
    changes: Cell<u64>,
    epoch: Cell<Option<u64>>,
    failure: RefCell<Option<StoreError>>,
    /// Receives the key of each row that is changed, while a compaction copies the database.
    changed: Option<&'t RefCell<Changed>>,
}

impl<'t> WriteTx<'t> {
    pub(super) fn new(inner: &'t redb::WriteTransaction, now: Now, clock: Clock) -> Self {
        Self {
            inner,
            tables: OpenTables::default(),
            now,
            clock: Cell::new(clock),
            changes: Cell::new(0),
            epoch: Cell::new(None),
            failure: RefCell::new(None),
            changed: None,
        }
    }

    /// The same transaction, which notes what it changes, whether or not it is committed.
    pub(super) fn noting(self, changed: Option<&'t RefCell<Changed>>) -> Self {
        Self { changed, ..self }
    }

    /// The time of the transaction.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// The latest time that is known to have passed: [`Meta::latest_ms`](super::Meta::latest_ms).
    pub const fn latest_ms(&self) -> u64 {
        self.clock.get().wall_high_ms
    }

    /// The next number of the store's single order of changes.
    pub fn next_sequence(&self) -> Sequence {
        let mut clock = self.clock.get();
        clock.sequence.0 += 1;
        self.clock.set(clock);
        clock.sequence
    }

    /// A number for a new repository; it was never used before.
    pub fn next_repository(&self) -> RepoId {
        RepoId(self.next_id())
    }

    /// A number for a new project; it was never used before.
    pub fn next_project(&self) -> ProjectId {
        ProjectId(self.next_id())
    }

    /// A number for a new user; it was never used before.
    pub fn next_user(&self) -> UserId {
        UserId(self.next_id())
    }

    /// Repositories, projects and users share one counter.
    fn next_id(&self) -> u64 {
        let mut clock = self.clock.get();
        clock.last_id += 1;
        self.clock.set(clock);
        clock.last_id
    }

    /// Raises the `auth_epoch`: every permission that was granted before is evaluated again when it is used.
    pub fn raise_epoch(&self) -> Result<(), StoreError> {
        let raised = self.get(&schema::AUTH_EPOCH, ())?.unwrap_or(0) + 1;
        self.put(&schema::AUTH_EPOCH, (), &raised)?;
        self.epoch.set(Some(raised));
        Ok(())
    }

    /// The epoch that a job of this transaction has set.
    pub(super) const fn raised_epoch(&self) -> Option<u64> {
        self.epoch.get()
    }

    /// A number for a new personal token; it was never used before.
    pub fn next_token(&self) -> TokenId {
        let mut clock = self.clock.get();
        clock.last_token.0 += 1;
        self.clock.set(clock);
        clock.last_token
    }

    pub(super) fn set_outbox_rows(&self, rows: u64) {
        self.clock.set(Clock { outbox_rows: rows, ..self.clock.get() });
    }

    /// Sets the row at `key`.
    pub fn put<K: Key, R: Row, Q: KeyOf<K>>(
        &self,
        table: &Table<K, R>,
        key: Q,
        row: &R,
    ) -> Result<(), StoreError> {
        self.changes.set(self.changes.get() + 1);
        let held = key.hold();
        let key = Q::stored(&held);
        let bytes = K::Stored::as_bytes(&key);
        self.note_change(table.name(), bytes.as_ref());
        let open = self.tables.open(self.inner, table);
        let result = open.and_then(|open| open.borrow_mut().put(bytes.as_ref(), &row.encode()));
        self.note(result)
    }

    /// Removes the row at `key`; returns whether there was one.
    pub fn delete<K: Key, R: Row, Q: KeyOf<K>>(
        &self,
        table: &Table<K, R>,
        key: Q,
    ) -> Result<bool, StoreError> {
        self.changes.set(self.changes.get() + 1);
        let held = key.hold();
        let key = Q::stored(&held);
        let bytes = K::Stored::as_bytes(&key);
        self.note_change(table.name(), bytes.as_ref());
        let open = self.tables.open(self.inner, table);
        let result = open.and_then(|open| open.borrow_mut().delete(bytes.as_ref()));
        self.note(result)
    }

    fn note_change(&self, table: &'static str, key: &[u8]) {
        if let Some(changed) = self.changed {
            changed.borrow_mut().note(table, key);
        }
    }

    /// Whether the transaction has enough rows: a job with more work continues in another transaction.
    pub const fn is_full(&self) -> bool {
        self.changes.get() >= MAX_ROWS
    }

    /// How many rows the batch has written so far.
    pub(super) const fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Takes the error of the store in the last job.
    pub(super) fn take_failure(&self) -> Option<StoreError> {
        self.failure.borrow_mut().take()
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock.get()
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            *self.failure.borrow_mut() = Some(error.clone());
        }
        result
    }
}

impl Tx for WriteTx<'_> {
    fn get<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<Option<R>, StoreError> {
        let held = key.hold();
        let key = Q::stored(&held);
        let read = || {
            let mut row = None;
            let open = self.tables.open(self.inner, table)?;
            open.borrow()
                .get(K::Stored::as_bytes(&key).as_ref(), &mut |bytes| row = Some(decoded(table, bytes)))?;
            row.transpose()
        };
        self.note(read())
    }

    fn has<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<bool, StoreError> {
        let held = key.hold();
        let key = Q::stored(&held);
        let open = self.tables.open(self.inner, table);
        self.note(open.and_then(|open| open.borrow().get(K::Stored::as_bytes(&key).as_ref(), &mut |_| ())))
    }

    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<Stored<'k, K>>,
        to: Bound<Stored<'k, K>>,
        mut visit: impl FnMut(Stored<'_, K>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let bytes = (from.as_ref().map(K::Stored::as_bytes), to.as_ref().map(K::Stored::as_bytes));
        let mut read = || {
            let mut damaged = None;
            let open = self.tables.open(self.inner, table)?;
            let range = (bytes.0.as_ref().map(AsRef::as_ref), bytes.1.as_ref().map(AsRef::as_ref));
            open.borrow().scan(range, &mut |key, bytes| match decoded(table, bytes) {
                Ok(row) => visit(K::Stored::from_bytes(key), row),
                Err(error) => {
                    damaged = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            damaged.map_or(Ok(()), Err)
        };
        self.note(read())
    }
}

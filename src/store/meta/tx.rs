//! Transactions: a snapshot to read, and one job's part of a write.

use std::cell::Cell;
use std::cell::RefCell;
use std::ops::Bound;
use std::ops::ControlFlow;

use redb::Key;
use redb::ReadableDatabase;
use redb::ReadableTable;
use redb::ReadableTableMetadata as _;

use super::error;
use super::error::StoreError;
use super::open_tables::{OpenTables, stored};
use super::rows::Clock;
use super::table::{Raw, Row, Table};
use super::tables;
use crate::model::time::Now;

/// Rows that a transaction writes before it is committed.
pub(super) const MAX_ROWS: u64 = 10_000;

/// What can be read, in a snapshot as in a write transaction.
pub trait Tx {
    /// The row at `key`.
    fn get<K: Key, R: Row>(&self, table: &Table<K, R>, key: K::SelfType<'_>)
    -> Result<Option<R>, StoreError>;

    /// Whether there is a row at `key`, which is not read.
    fn has<K: Key, R: Row>(&self, table: &Table<K, R>, key: K::SelfType<'_>) -> Result<bool, StoreError>;

    /// Calls `visit` with each row from `from` to `to` in the order of the keys until it breaks.
    /// In a write transaction `visit` must not change this table.
    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<K::SelfType<'k>>,
        to: Bound<K::SelfType<'k>>,
        visit: impl FnMut(K::SelfType<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Whether there is any row from `from` to `to`.
    fn any<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<K::SelfType<'k>>,
        to: Bound<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        let mut found = false;
        self.scan(table, from, to, |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

fn decoded<K: Key, R: Row>(table: &Table<K, R>, bytes: &[u8]) -> Result<R, StoreError> {
    R::decode(bytes).ok_or(StoreError::Corrupt { table: table.name() })
}

fn get_in<K: Key + 'static, R: Row>(
    open: &impl ReadableTable<K, &'static [u8]>,
    table: &Table<K, R>,
    key: &K::SelfType<'_>,
) -> Result<Option<R>, StoreError> {
    let row = open.get(key).map_err(error::storage)?;
    row.map(|row| decoded(table, row.value())).transpose()
}

fn has_in<K: Key + 'static>(
    open: &impl ReadableTable<K, &'static [u8]>,
    key: &K::SelfType<'_>,
) -> Result<bool, StoreError> {
    Ok(open.get(key).map_err(error::storage)?.is_some())
}

fn scan_in<'k, K: Key + 'static, R: Row>(
    open: &impl ReadableTable<K, &'static [u8]>,
    table: &Table<K, R>,
    range: (Bound<K::SelfType<'k>>, Bound<K::SelfType<'k>>),
    mut visit: impl FnMut(K::SelfType<'_>, R) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for entry in open.range::<K::SelfType<'k>>(range).map_err(error::storage)? {
        let (key, row) = entry.map_err(error::storage)?;
        if visit(key.value(), decoded(table, row.value())?).is_break() {
            break;
        }
    }
    Ok(())
}

/// A snapshot. It must be short: pages that it sees cannot be reused while it lives.
pub struct ReadTx {
    inner: redb::ReadTransaction,
    broken: Cell<bool>,
}

impl ReadTx {
    pub(super) fn begin(database: &impl ReadableDatabase) -> Result<Self, StoreError> {
        let inner = database.begin_read().map_err(error::transaction)?;
        Ok(Self { inner, broken: Cell::new(false) })
    }

    /// Whether the disk failed, after which redb reads nothing more that is not in its cache.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn open<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
    ) -> Result<redb::ReadOnlyTable<K, &'static [u8]>, StoreError> {
        self.inner.open_table(table.definition()).map_err(error::table)
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(StoreError::breaks_handle) {
            self.broken.set(true);
        }
        result
    }

    /// What `take` makes of the stored bytes at `key`, which are not copied.
    pub fn with<K: Key, T>(
        &self,
        table: &Table<K, Raw>,
        key: &K::SelfType<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let read = |open: redb::ReadOnlyTable<K, &'static [u8]>| {
            let row = open.get(key).map_err(error::storage)?;
            Ok(row.map(|row| take(row.value())))
        };
        self.note(self.open(table).and_then(read))
    }

    /// How many rows a table has.
    pub fn count<K: Key, R: Row>(&self, table: &Table<K, R>) -> Result<u64, StoreError> {
        self.note(self.open(table).and_then(|open| open.len().map_err(error::storage)))
    }
}

impl Tx for ReadTx {
    fn get<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<Option<R>, StoreError> {
        self.note(self.open(table).and_then(|open| get_in(&open, table, &key)))
    }

    fn has<K: Key, R: Row>(&self, table: &Table<K, R>, key: K::SelfType<'_>) -> Result<bool, StoreError> {
        self.note(self.open(table).and_then(|open| has_in(&open, &key)))
    }

    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<K::SelfType<'k>>,
        to: Bound<K::SelfType<'k>>,
        visit: impl FnMut(K::SelfType<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.note(self.open(table).and_then(|open| scan_in(&open, table, (from, to), visit)))
    }
}

/// One write transaction, shared by the jobs of a batch one after the other.
pub struct WriteTx<'t> {
    inner: &'t redb::WriteTransaction,
    tables: OpenTables<'t>,
    now: Now,
    clock: Cell<Clock>,
    changes: Cell<u64>,
    epoch: Cell<Option<u64>>,
    failure: RefCell<Option<StoreError>>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "keys are numbers and borrowed text; callers read better without `&`"
)]
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
        }
    }

    /// The time of the transaction.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// The latest time that is known to have passed: [`Meta::latest_ms`](super::Meta::latest_ms).
    pub const fn latest_ms(&self) -> u64 {
        self.clock.get().wall_high_ms
    }

    /// The next number of the store's one order of changes.
    pub fn next_sequence(&self) -> u64 {
        let mut clock = self.clock.get();
        clock.sequence += 1;
        self.clock.set(clock);
        clock.sequence
    }

    /// A number for a new repository, project or user, never given before.
    pub fn next_id(&self) -> u64 {
        let mut clock = self.clock.get();
        clock.last_id += 1;
        self.clock.set(clock);
        clock.last_id
    }

    /// Raises the `auth_epoch`: every permission that was granted before is checked again at its use.
    pub fn raise_epoch(&self) -> Result<(), StoreError> {
        let raised = self.get(&tables::AUTH_EPOCH, ())?.unwrap_or(0) + 1;
        self.put(&tables::AUTH_EPOCH, (), &raised)?;
        self.epoch.set(Some(raised));
        Ok(())
    }

    /// The epoch that a job of this transaction has set.
    pub(super) const fn raised_epoch(&self) -> Option<u64> {
        self.epoch.get()
    }

    /// A number for a new personal token, never given before.
    pub fn next_token(&self) -> u64 {
        let mut clock = self.clock.get();
        clock.last_token += 1;
        self.clock.set(clock);
        clock.last_token
    }

    pub(super) fn set_outbox_rows(&self, rows: u64) {
        self.clock.set(Clock { outbox_rows: rows, ..self.clock.get() });
    }

    /// Sets the row at `key`.
    pub fn put<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        key: K::SelfType<'_>,
        row: &R,
    ) -> Result<(), StoreError> {
        self.changes.set(self.changes.get() + 1);
        let open = self.tables.open(self.inner, table);
        let result = open.and_then(|open| open.borrow_mut().put(K::as_bytes(&key).as_ref(), &row.encode()));
        self.note(result)
    }

    /// Removes the row at `key`; whether there was one.
    pub fn delete<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<bool, StoreError> {
        self.changes.set(self.changes.get() + 1);
        let open = self.tables.open(self.inner, table);
        let result = open.and_then(|open| open.borrow_mut().delete(K::as_bytes(&key).as_ref()));
        self.note(result)
    }

    /// Whether the transaction has as many rows as one should have: who has more to do goes on in the next one.
    pub const fn is_full(&self) -> bool {
        self.changes.get() >= MAX_ROWS
    }

    /// How many rows the batch has written so far.
    pub(super) const fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// The error that the store itself had in the last job.
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
    fn get<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<Option<R>, StoreError> {
        let read = || {
            let mut row = None;
            let open = self.tables.open(self.inner, table)?;
            open.borrow().get(K::as_bytes(&key).as_ref(), &mut |bytes| row = Some(decoded(table, bytes)))?;
            row.transpose()
        };
        self.note(read())
    }

    fn has<K: Key, R: Row>(&self, table: &Table<K, R>, key: K::SelfType<'_>) -> Result<bool, StoreError> {
        let open = self.tables.open(self.inner, table);
        self.note(open.and_then(|open| open.borrow().get(K::as_bytes(&key).as_ref(), &mut |_| ())))
    }

    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<K::SelfType<'k>>,
        to: Bound<K::SelfType<'k>>,
        mut visit: impl FnMut(K::SelfType<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (from, to) = (from.map(|key| stored::<K>(&key)), to.map(|key| stored::<K>(&key)));
        let mut read = || {
            let mut damaged = None;
            let open = self.tables.open(self.inner, table)?;
            let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
            open.borrow().scan(range, &mut |key, bytes| match decoded(table, bytes) {
                Ok(row) => visit(K::from_bytes(key), row),
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

//! Reads a whole table without holding a snapshot for long.

use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redb::{Database, Value as _};

use super::error::StoreError;
use super::key::{Key, PrefixOf, Stored};
use super::read::Tx as _;
use super::table::{Row, Table};
use super::tx::ReadTx;
use super::{Meta, read_of};

/// The most rows that are read in one snapshot.
const PAGE_ROWS: usize = 10_000;
/// After this time a new snapshot is taken: pages that a snapshot sees cannot be reused while it lives.
const PAGE_TIME: Duration = Duration::from_millis(100);

/// The part of a table that is not read yet.
#[derive(Debug)]
pub struct Pages {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    end: bool,
}

impl Pages {
    /// The rows of a table whose keys begin with `prefix`.
    pub fn of_prefix<K: Key, R: Row, P: PrefixOf<K>>(_: &Table<K, R>, prefix: P) -> Self {
        let held = prefix.hold();
        let from = Bound::Included(bytes::<K>(&P::with(&held, P::Rest::lowest())));
        Self { from, to: P::end(&held).map(|key| bytes::<K>(&key)), end: false }
    }

    /// All rows.
    pub const fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded, end: false }
    }
}

fn bytes<K: Key>(key: &Stored<'_, K>) -> Vec<u8> {
    K::Stored::as_bytes(key).as_ref().to_vec()
}

fn key<K: Key>(bound: &Bound<Vec<u8>>) -> Bound<Stored<'_, K>> {
    bound.as_ref().map(|bytes| K::Stored::from_bytes(bytes))
}

/// Reads for long work: each in a short snapshot of its own, or all in one snapshot.
#[derive(Clone, Copy)]
pub struct Reader<'m> {
    meta: &'m Meta,
    held: Option<Held<'m>>,
}

#[derive(Clone, Copy)]
struct Held<'m> {
    tx: &'m ReadTx,
    database: &'m Weak<Database>,
}

impl Meta {
    /// Reads in short snapshots, on the calling thread, which may block.
    pub const fn reader(&self) -> Reader<'_> {
        Reader { meta: self, held: None }
    }

    /// Runs `read` so that everything it reads is from one snapshot. Pages that the snapshot sees cannot be
    /// reused while it lives, so the file grows with every change meanwhile: use it only for what must be
    /// exact while others write. It ends with [`StoreError::Unavailable`] when the database is closed, or
    /// reopened after an error.
    pub fn hold<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(Reader<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let database = self.handle.database()?;
        let weak = Arc::downgrade(&database);
        read_of(&database, &self.queue, |tx| {
            read(Reader { meta: self, held: Some(Held { tx, database: &weak }) })
        })?
    }

    /// [`Reader::page`] in a short snapshot.
    pub fn page<K: Key, R: Row, E: From<StoreError>>(
        &self,
        table: &Table<K, R>,
        pages: &mut Pages,
        visit: impl FnMut(&ReadTx, Stored<'_, K>, Option<R>) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.reader().page(table, pages, visit)
    }

    /// [`Reader::sweep`] in short snapshots.
    pub fn sweep<K: Key, R: Row, E: From<StoreError>>(
        &self,
        table: &Table<K, R>,
        pages: Pages,
        visit: impl FnMut(&ReadTx, Stored<'_, K>, Option<R>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reader().sweep(table, pages, visit)
    }
}

impl<'m> Reader<'m> {
    /// The metadata.
    pub const fn meta(self) -> &'m Meta {
        self.meta
    }

    /// Reads in a snapshot.
    pub fn read<T, E: From<StoreError>>(self, read: impl FnOnce(&ReadTx) -> Result<T, E>) -> Result<T, E> {
        match self.held {
            None => self.meta.read_blocking(read),
            Some(held) if self.meta.handle.may_read(held.database) => read(held.tx),
            Some(_) => Err(StoreError::Unavailable.into()),
        }
    }

    /// Calls `visit` with the next rows of `table` in the order of their keys, all in one snapshot, from
    /// which `visit` may read. Keys are in stored form, and a row that cannot be decoded is `None`. Returns
    /// false when there are no more rows. It runs on the calling thread, which may block.
    pub fn page<K: Key, R: Row, E: From<StoreError>>(
        self,
        table: &Table<K, R>,
        pages: &mut Pages,
        mut visit: impl FnMut(&ReadTx, Stored<'_, K>, Option<R>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if pages.end {
            return Ok(false);
        }
        let last = self.read(|tx| {
            let started = Instant::now();
            let mut rows = 0;
            let mut last = None;
            let mut result = Ok(());
            tx.scan(&table.raw(), key::<K>(&pages.from), key::<K>(&pages.to), |key, row| {
                rows += 1;
                if rows == PAGE_ROWS || started.elapsed() >= PAGE_TIME {
                    last = Some(bytes::<K>(&key));
                }
                result = visit(tx, key, R::decode(&row.0));
                if last.is_some() || result.is_err() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            result.map(|()| last)
        })?;
        match last {
            Some(last) => pages.from = Bound::Excluded(last),
            None => pages.end = true,
        }
        Ok(true)
    }

    /// Calls `visit` with every row of a table, page by page: see [`Reader::page`].
    pub fn sweep<K: Key, R: Row, E: From<StoreError>>(
        self,
        table: &Table<K, R>,
        mut pages: Pages,
        mut visit: impl FnMut(&ReadTx, Stored<'_, K>, Option<R>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.page(table, &mut pages, &mut visit)? {}
        Ok(())
    }
}

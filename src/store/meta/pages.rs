//! Reading a whole table without holding a snapshot for long.

use std::ops::Bound;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use redb::Key;

use super::Meta;
use super::error::StoreError;
use super::table::{Row, Table};
use super::tx::{ReadTx, Tx as _};

/// Rows that are read in one snapshot at most.
const PAGE_ROWS: usize = 10_000;
/// After this time a snapshot is given up for a new one: pages that it sees cannot be reused while it lives.
const PAGE_TIME: Duration = Duration::from_millis(100);

/// The part of a table that is still to be read.
#[derive(Debug)]
pub struct Pages {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    end: bool,
}

impl Pages {
    /// All rows from `from` to `to`.
    pub fn new<K: Key>(from: &Bound<K::SelfType<'_>>, to: &Bound<K::SelfType<'_>>) -> Self {
        Self { from: stored::<K>(from), to: stored::<K>(to), end: false }
    }

    /// All rows.
    pub const fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded, end: false }
    }
}

fn stored<K: Key>(bound: &Bound<K::SelfType<'_>>) -> Bound<Vec<u8>> {
    bound.as_ref().map(|key| K::as_bytes(key).as_ref().to_vec())
}

fn key<K: Key>(bound: &Bound<Vec<u8>>) -> Bound<K::SelfType<'_>> {
    bound.as_ref().map(|bytes| K::from_bytes(bytes))
}

impl Meta {
    /// Calls `visit` with the next rows of `table` in the order of their keys, all in one short snapshot, which
    /// `visit` may read from. A row that cannot be decoded comes as `None`. False when there were no more. It runs
    /// on the calling thread, which may block.
    pub fn page<K: Key, R: Row, E: From<StoreError>>(
        &self,
        table: &Table<K, R>,
        pages: &mut Pages,
        mut visit: impl FnMut(&ReadTx, K::SelfType<'_>, Option<R>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if pages.end {
            return Ok(false);
        }
        let last = self.read_blocking(|tx| {
            let started = Instant::now();
            let mut rows = 0;
            let mut last = None;
            let mut result = Ok(());
            tx.scan(&table.raw(), key::<K>(&pages.from), key::<K>(&pages.to), |key, row| {
                rows += 1;
                if rows == PAGE_ROWS || started.elapsed() >= PAGE_TIME {
                    last = Some(K::as_bytes(&key).as_ref().to_vec());
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

    /// Calls `visit` with every row of a table, page by page: see [`Meta::page`].
    pub fn sweep<K: Key, R: Row, E: From<StoreError>>(
        &self,
        table: &Table<K, R>,
        mut pages: Pages,
        mut visit: impl FnMut(&ReadTx, K::SelfType<'_>, Option<R>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.page(table, &mut pages, &mut visit)? {}
        Ok(())
    }
}

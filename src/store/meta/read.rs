//! Reads: single rows by key, and the rows of a range.

use std::ops::{Bound, ControlFlow};

use redb::ReadableTable;

use super::error::{self, StoreError};
use super::key::{Key, KeyOf, PrefixOf, Stored};
use super::table::{Row, Table};

/// The functions to read, in a snapshot and in a write transaction.
pub trait Tx {
    /// The row at `key`.
    fn get<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<Option<R>, StoreError>;

    /// Whether there is a row at `key`, without decoding it.
    fn has<K: Key, R: Row, Q: KeyOf<K>>(&self, table: &Table<K, R>, key: Q) -> Result<bool, StoreError>;

    /// Calls `visit` with each row from `from` to `to` in the order of the keys, until it returns a break.
    /// Keys are in redb's form; the other scans are built on this one. In a write transaction `visit` must
    /// not change this table.
    fn scan<'k, K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        from: Bound<Stored<'k, K>>,
        to: Bound<Stored<'k, K>>,
        visit: impl FnMut(Stored<'_, K>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Calls `visit` with each row whose key begins with `prefix`, and with the fields after the prefix.
    fn scan_prefix<K: Key, R: Row, P: PrefixOf<K>>(
        &self,
        table: &Table<K, R>,
        prefix: P,
        visit: impl FnMut(<P::Rest as Key>::Read<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let held = prefix.hold();
        let from = Bound::Included(P::with(&held, P::Rest::lowest()));
        self.scan(table, from, P::end(&held), following::<K, R, P>(table, visit))
    }

    /// Like [`Tx::scan_prefix`], from one bound to another of the fields after the prefix.
    fn scan_within<K: Key, R: Row, P: PrefixOf<K>, Q: KeyOf<P::Rest>>(
        &self,
        table: &Table<K, R>,
        prefix: P,
        (from, to): (Bound<Q>, Bound<Q>),
        visit: impl FnMut(<P::Rest as Key>::Read<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (held, from, to) = (prefix.hold(), from.map(Q::hold), to.map(Q::hold));
        let from = match &from {
            Bound::Unbounded => Bound::Included(P::with(&held, P::Rest::lowest())),
            bound => bound.as_ref().map(|rest| P::with(&held, Q::stored(rest))),
        };
        let to = match &to {
            Bound::Unbounded => P::end(&held),
            bound => bound.as_ref().map(|rest| P::with(&held, Q::stored(rest))),
        };
        self.scan(table, from, to, following::<K, R, P>(table, visit))
    }

    /// Calls `visit` with each row of a table.
    fn scan_all<K: Key, R: Row>(
        &self,
        table: &Table<K, R>,
        visit: impl FnMut(K::Read<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(table, Bound::Unbounded, Bound::Unbounded, reading(table, visit))
    }

    /// Calls `visit` with each row from one bound to the other.
    fn scan_range<K: Key, R: Row, Q: KeyOf<K>>(
        &self,
        table: &Table<K, R>,
        (from, to): (Bound<Q>, Bound<Q>),
        visit: impl FnMut(K::Read<'_>, R) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (from, to) = (from.map(Q::hold), to.map(Q::hold));
        let (from, to) = (from.as_ref().map(Q::stored), to.as_ref().map(Q::stored));
        self.scan(table, from, to, reading(table, visit))
    }

    /// Whether there is any row whose key begins with `prefix`.
    fn any<K: Key, R: Row, P: PrefixOf<K>>(
        &self,
        table: &Table<K, R>,
        prefix: P,
    ) -> Result<bool, StoreError> {
        let held = prefix.hold();
        let mut found = false;
        // Only the key is read: a damaged row is there, too.
        let from = Bound::Included(P::with(&held, P::Rest::lowest()));
        self.scan(&table.keys(), from, P::end(&held), |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// A key that cannot be decoded, because a page is damaged. Scans skip it, so that it hides no other row.
#[derive(Debug, thiserror::Error)]
#[error("the key {key} in the table `{table}` is damaged; stop the server and run: stowage fsck")]
struct DamagedKey {
    table: &'static str,
    key: String,
}

fn skip<K: Key, R: Row>(table: &Table<K, R>, key: &Stored<'_, K>) -> ControlFlow<()> {
    let error = DamagedKey { table: table.name(), key: format!("{key:?}") };
    tracing::error!(%error, "a row is left out");
    ControlFlow::Continue(())
}

fn reading<'t, K: Key, R: Row>(
    table: &'t Table<K, R>,
    mut visit: impl FnMut(K::Read<'_>, R) -> ControlFlow<()> + 't,
) -> impl FnMut(Stored<'_, K>, R) -> ControlFlow<()> + 't {
    move |key, row| match K::read(&key) {
        Some(read) => visit(read, row),
        None => skip(table, &key),
    }
}

fn following<'t, K: Key, R: Row, P: PrefixOf<K>>(
    table: &'t Table<K, R>,
    mut visit: impl FnMut(<P::Rest as Key>::Read<'_>, R) -> ControlFlow<()> + 't,
) -> impl FnMut(Stored<'_, K>, R) -> ControlFlow<()> + 't {
    move |key, row| match P::rest(&key) {
        Some(rest) => visit(rest, row),
        None => skip(table, &key),
    }
}

pub(super) fn decoded<K: Key, R: Row>(table: &Table<K, R>, bytes: &[u8]) -> Result<R, StoreError> {
    R::decode(bytes).ok_or(StoreError::Corrupt { table: table.name() })
}

pub(super) fn get_in<K: Key, R: Row>(
    open: &impl ReadableTable<K::Stored, &'static [u8]>,
    table: &Table<K, R>,
    key: &Stored<'_, K>,
) -> Result<Option<R>, StoreError> {
    let row = open.get(key).map_err(error::storage)?;
    row.map(|row| decoded(table, row.value())).transpose()
}

pub(super) fn scan_in<'k, K: Key, R: Row>(
    open: &impl ReadableTable<K::Stored, &'static [u8]>,
    table: &Table<K, R>,
    range: (Bound<Stored<'k, K>>, Bound<Stored<'k, K>>),
    mut visit: impl FnMut(Stored<'_, K>, R) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for entry in open.range::<Stored<'k, K>>(range).map_err(error::storage)? {
        let (key, row) = entry.map_err(error::storage)?;
        if visit(key.value(), decoded(table, row.value())?).is_break() {
            break;
        }
    }
    Ok(())
}

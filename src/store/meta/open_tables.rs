//! The tables that a write transaction has open.
//!
//! Opening a table costs redb more than changing a row in it (a search in the list of tables, the names of
//! the types, a lock), so a batch opens each table once, at its first use.

use std::cell::RefCell;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use redb::ReadableTable;

use super::error::{self, StoreError};
use super::key::Key;
use super::table::{Row, Table};

/// Takes a key and its row, and returns whether the scan continues.
type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// A table with keys of any type, as the bytes that redb stores.
pub(super) trait OpenTable {
    /// Calls `visit` with the row at `key`; returns whether there is one.
    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError>;

    /// Calls `visit` with each key and row from `from` to `to`, in the order of the keys, until it returns a
    /// break.
    fn scan(&self, range: (Bound<&[u8]>, Bound<&[u8]>), visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Sets the row at `key`.
    fn put(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError>;

    /// Removes the row at `key`; returns whether there was one.
    fn delete(&mut self, key: &[u8]) -> Result<bool, StoreError>;
}

impl<K: redb::Key + 'static> OpenTable for redb::Table<'_, K, &'static [u8]> {
    fn get(&self, key: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        let row = ReadableTable::get(self, K::from_bytes(key)).map_err(error::storage)?;
        Ok(row.map(|row| visit(row.value())).is_some())
    }

    fn scan(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let range = (from.map(|key| K::from_bytes(key)), to.map(|key| K::from_bytes(key)));
        for entry in self.range::<K::SelfType<'_>>(range).map_err(error::storage)? {
            let (key, row) = entry.map_err(error::storage)?;
            if visit(K::as_bytes(&key.value()).as_ref(), row.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        self.insert(K::from_bytes(key), row).map(drop).map_err(error::storage)
    }

    fn delete(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        self.remove(K::from_bytes(key)).map(|old| old.is_some()).map_err(error::storage)
    }
}

type Shared<'t> = Rc<RefCell<Box<dyn OpenTable + 't>>>;

/// The tables that are open so far. Dropping this closes them, which writes their changes to the transaction.
#[derive(Default)]
pub(super) struct OpenTables<'t>(RefCell<Vec<(&'static str, Shared<'t>)>>);

impl<'t> OpenTables<'t> {
    /// The table in the transaction `inner`.
    pub(super) fn open<K: Key, R: Row>(
        &self,
        inner: &'t redb::WriteTransaction,
        table: &Table<K, R>,
    ) -> Result<Shared<'t>, StoreError> {
        let mut open = self.0.borrow_mut();
        if let Some((_, found)) = open.iter().find(|(name, _)| *name == table.name()) {
            return Ok(Rc::clone(found));
        }
        let opened = inner.open_table(table.definition()).map_err(error::table)?;
        let opened: Shared<'t> = Rc::new(RefCell::new(Box::new(opened)));
        open.push((table.name(), Rc::clone(&opened)));
        Ok(opened)
    }
}

impl Drop for OpenTables<'_> {
    /// Closes each table on its own. After redb panicked on a damaged page, closing may panic too, once for
    /// each table, and two panics at once would abort the process. If a table could not be closed, the
    /// transaction must not be committed.
    fn drop(&mut self) {
        let mut panic = None;
        for (_, table) in self.0.take() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(table))) {
                panic = Some(payload);
            }
        }
        if let Some(payload) = panic.filter(|_| !std::thread::panicking()) {
            resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that panics when it is closed.
    struct Stuck(Rc<RefCell<u32>>);

    impl OpenTable for Stuck {
        fn get(&self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
            Ok(false)
        }

        fn scan(&self, _: (Bound<&[u8]>, Bound<&[u8]>), _: &mut Visit<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn put(&mut self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }

        fn delete(&mut self, _: &[u8]) -> Result<bool, StoreError> {
            Ok(false)
        }
    }

    impl Drop for Stuck {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
            panic!("a lock is poisoned");
        }
    }

    fn stuck(count: &Rc<RefCell<u32>>) -> OpenTables<'static> {
        let tables = OpenTables::default();
        for name in ["tag", "blob", "link"] {
            tables.0.borrow_mut().push((name, Rc::new(RefCell::new(Box::new(Stuck(Rc::clone(count)))))));
        }
        tables
    }

    #[test]
    fn tables_that_cannot_be_closed_end_their_transaction_and_not_the_process() {
        let closed = Rc::default();
        let tables = stuck(&closed);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(tables))).is_err(), "a commit would follow");
        assert_eq!(*closed.borrow(), 3);

        let tables = stuck(&closed);
        let during_another_panic = catch_unwind(AssertUnwindSafe(|| {
            let _tables = tables;
            panic!("a damaged page");
        }));
        assert!(during_another_panic.is_err());
        assert_eq!(*closed.borrow(), 6);
    }
}

//! The keys of rows that change while the database is copied.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::store::meta::writer::Writer;
use crate::store::meta::{Meta, StoreError};

/// The most memory that the keys take, roughly.
const MAX_BYTES: usize = 64 << 20;
/// Memory of a key besides its bytes.
const OVERHEAD: usize = 48;

/// Keys of changed rows, by their table. A key may be there although its row did not change, because its
/// transaction was aborted.
#[derive(Debug, Default)]
pub(in crate::store::meta) struct Changed {
    rows: BTreeMap<&'static str, BTreeSet<Box<[u8]>>>,
    bytes: usize,
    /// Whether keys are missing, because there were too many.
    overflowed: bool,
}

/// The name of a table, and the key of a row as stored.
pub(super) type ChangedRow = (&'static str, Box<[u8]>);

impl Changed {
    /// Adds a row.
    pub(in crate::store::meta) fn note(&mut self, table: &'static str, key: &[u8]) {
        if self.overflowed {
            return;
        }
        let keys = self.rows.entry(table).or_default();
        if !keys.contains(key) {
            keys.insert(key.into());
            self.bytes += key.len() + OVERHEAD;
        }
        if self.bytes > MAX_BYTES {
            *self = Self::incomplete();
        }
    }

    /// Changes of which some are missing.
    pub(in crate::store::meta) fn incomplete() -> Self {
        Self { overflowed: true, ..Self::default() }
    }

    /// The rows, those of one table together; `None` if some are missing.
    pub(super) fn into_rows(self) -> Option<Vec<ChangedRow>> {
        let rows =
            self.rows.into_iter().flat_map(|(table, keys)| keys.into_iter().map(move |key| (table, key)));
        (!self.overflowed).then(|| rows.collect())
    }
}

/// While it lives, the writer notes the rows that change.
pub(super) struct Recording<'m>(&'m Meta);

impl<'m> Recording<'m> {
    /// Begins between two commits, so that a reader which begins later sees every change that is not noted.
    /// Only one may live.
    pub(super) fn begin(meta: &'m Meta) -> Result<Self, StoreError> {
        meta.on_writer(|writer: &mut Writer| writer.changed = Some(RefCell::default()))?;
        Ok(Self(meta))
    }

    /// What has changed since the beginning, or since the last call.
    pub(super) fn take(&self) -> Result<Changed, StoreError> {
        let taken = self.0.on_writer(|writer| writer.changed.replace(RefCell::default()))?;
        // Without a recording it is not known what has changed.
        Ok(taken.map_or_else(Changed::incomplete, RefCell::into_inner))
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        // Without a writer there are no changes.
        let _ = self.0.on_writer(|writer| writer.changed = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_noted_once_and_too_many_are_none() {
        let mut changed = Changed::default();
        changed.note("tag", b"one");
        changed.note("blob", b"one");
        changed.note("tag", b"one");
        let bytes = changed.bytes;
        let rows = changed.into_rows().unwrap();
        assert_eq!(rows, [("blob", b"one"[..].into()), ("tag", b"one"[..].into())]);
        assert_eq!(bytes, 2 * (3 + OVERHEAD));

        let mut changed = Changed::default();
        let key = vec![0; MAX_BYTES / 4];
        for number in 0..4_u8 {
            changed.note("tag", &[&key[..], &[number]].concat());
        }
        assert!(changed.rows.is_empty() && changed.overflowed, "{}", changed.bytes);
        changed.note("tag", b"one");
        assert_eq!(changed.into_rows(), None);
    }
}

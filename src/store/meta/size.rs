//! How large the database file is, and how much of it its rows need.

use redb::{ReadableTable as _, Value as _};

use super::error::{self, StoreError};
use super::key::Key;
use super::table::{Row, Table};
use super::tx::ReadTx;
use super::{Meta, schema};

/// The size of a page of redb.
const PAGE: u64 = 4096;
/// Bytes at the begin of a page.
const HEADER: u64 = 8;
/// Bytes that a page has for each row besides its key and value.
const PER_ROW: u64 = 8;
/// Rows at each end of a table whose sizes are looked at.
const ROWS: u64 = 500;
/// The most bytes of rows at each end that are read for that.
const BYTES: u64 = 256 << 10;
/// Free space below this is not worth a compaction by itself.
const WORTH_IT: u64 = 8 << 20;

/// The size of the database file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Bytes of the file on the disk.
    pub file_bytes: u64,
    /// Bytes that a file with nothing but its rows would have, estimated from some rows of each table.
    pub needed_bytes: u64,
}

impl DatabaseSize {
    /// Bytes that a compaction would give back.
    pub const fn free_bytes(self) -> u64 {
        self.file_bytes.saturating_sub(self.needed_bytes)
    }

    /// Whether the server compacts the file by itself: more than half of it is free.
    pub const fn is_mostly_free(self) -> bool {
        self.free_bytes() > self.file_bytes / 2 && self.free_bytes() >= WORTH_IT
    }
}

impl Meta {
    /// The size of the database file. It reads a bounded number of rows on the calling thread, which may
    /// block.
    pub fn database_size(&self) -> Result<DatabaseSize, StoreError> {
        let (needed, file_bytes) = (self.read_blocking(needed)?, self.handle.file_bytes());
        // An estimate from a few large rows is not more than what is there.
        Ok(DatabaseSize { file_bytes, needed_bytes: needed.min(file_bytes) })
    }
}

fn needed(tx: &ReadTx) -> Result<u64, StoreError> {
    let mut all = PAGE;
    macro_rules! add {
        ($($table:ident)*) => { $( all += of_table(tx, &schema::$table)?; )* };
    }
    schema::every_table!(add);
    // The pages that lead to those with rows.
    Ok(all + all / 20)
}

fn of_table<K: Key, R: Row>(tx: &ReadTx, table: &Table<K, R>) -> Result<u64, StoreError> {
    let rows = tx.count(table)?;
    if rows == 0 {
        return Ok(0);
    }
    let open = tx.open(table)?;
    let (mut seen, mut bytes) = (0_u64, 0_u64);
    let mut all = open.iter().map_err(error::storage)?;
    for from_end in [false, true] {
        let (mut at_this_end, mut read) = (0, 0);
        while at_this_end < ROWS && read < BYTES {
            let Some(entry) = (if from_end { all.next_back() } else { all.next() }) else { break };
            let (key, row) = entry.map_err(error::storage)?;
            let pair = (K::Stored::as_bytes(&key.value()).as_ref().len() + row.value().len()) as u64;
            (at_this_end, read) = (at_this_end + 1, read + pair);
            (seen, bytes) = (seen + 1, bytes + on_disk(pair));
        }
    }
    let all = u128::from(bytes) * u128::from(rows) / u128::from(seen.max(1));
    Ok(u64::try_from(all).unwrap_or(u64::MAX).max(PAGE))
}

/// The share of its page that a row takes, with a key and value of so many bytes, if all rows are like it. A
/// row that is larger than a page has pages of its own, a power of two.
const fn on_disk(pair: u64) -> u64 {
    let each = pair + PER_ROW;
    match (PAGE - HEADER) / each {
        0 => (each + HEADER).div_ceil(PAGE).next_power_of_two() * PAGE,
        in_a_page => PAGE / in_a_page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_its_share_of_a_page_or_pages_of_its_own() {
        assert_eq!(on_disk(0), PAGE / 511);
        assert_eq!(on_disk(100), PAGE / 37);
        assert_eq!(on_disk(4_080), PAGE);
        assert_eq!(on_disk(4_081), 2 * PAGE);
        assert_eq!(on_disk(3 * PAGE), 4 * PAGE);
    }

    #[test]
    fn only_what_is_large_and_mostly_free_is_compacted_without_being_asked() {
        let size = |file_bytes, needed_bytes| DatabaseSize { file_bytes, needed_bytes };
        assert!(size(100 << 20, 49 << 20).is_mostly_free());
        assert!(!size(100 << 20, 50 << 20).is_mostly_free());
        assert!(!size(8 << 20, 1 << 20).is_mostly_free());
        assert_eq!(size(1, 2).free_bytes(), 0);
    }
}

//! Restores a database from a dump.

use std::path::Path;

use redb::{Builder, Database, Value as _};

use super::bodies::Bodies;
use super::error::{DumpError, at};
use super::frames::FrameReader;
use super::{Frame, Header, read};
use crate::model::time::Now;
use crate::store::durable::sync_dir;
use crate::store::meta::error::{self, guarded};
use crate::store::meta::schema::{self, Clock, Collection};
use crate::store::meta::{FILE_NAME, Key, Row, StoreError, Table, Tx as _, WriteTx, format};

/// The most rows and bytes of one transaction.
const BATCH_ROWS: usize = 10_000;
const BATCH_BYTES: usize = 16 << 20;
/// By how much counters are raised: numbers that may have been given out after the dump must not be reused.
const GAP: u64 = 1 << 20;

/// A database that was restored from a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The header of the dump.
    pub header: Header,
    /// Rows that were written.
    pub rows: u64,
}

/// Restores a database from a dump into `dir`, which must have none. Usage must be computed afterwards.
/// `progress` is called with the number of rows written.
pub fn restore(dump: &Path, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Restored, DumpError> {
    let path = dir.join(FILE_NAME);
    let file = super::directory::options().read(true).create_new(true).open(&path).map_err(at(&path))?;
    let database = Builder::new().set_cache_size(BATCH_BYTES * 4).create_file(file);
    let database = database.map_err(|error| StoreError::Io(error.to_string()))?;
    let restored = fill(&database, dump, progress)?;
    guarded(|| drop(database))?;
    sync_dir(dir).map_err(at(dir))?;
    Ok(restored)
}

fn fill(database: &Database, dump: &Path, progress: &mut dyn FnMut(u64)) -> Result<Restored, DumpError> {
    format::in_transaction(database, format::make_tables)?;
    let mut reader = FrameReader::open(dump)?;
    let header = read::begin(&mut reader)?;
    let mut bodies = Bodies::new(dump.parent().unwrap_or(dump));
    let mut batch = Batch::default();
    let mut rows = 0;
    loop {
        match reader.next()? {
            Frame::Table(name) => {
                batch.write(database)?;
                name.clone_into(&mut batch.table);
            }
            Frame::Row { key, value } => batch.add(key.to_vec(), value.to_vec()),
            Frame::Body { key, place } => batch.add(key.to_vec(), bodies.read(key, place)?),
            Frame::End(_) => break,
            Frame::Header(_) => return Err(DumpError::damaged(dump, "it has two headers")),
        }
        rows += 1;
        if batch.is_full() {
            batch.write(database)?;
            progress(rows);
        }
    }
    batch.write(database)?;
    format::in_transaction(database, leave_a_gap)?;
    Ok(Restored { header, rows })
}

/// Raises the counters beyond every number that was given out after the dump.
fn leave_a_gap(inner: &redb::WriteTransaction) -> Result<(), StoreError> {
    let tx = WriteTx::new(inner, Now { wall_ms: 0, running_s: 0 }, Clock::default());
    let missing = |table| StoreError::Corrupt { table };
    let mut clock = tx.get(&schema::CLOCK, ())?.ok_or(missing(schema::CLOCK.name()))?;
    clock.sequence.0 += GAP;
    clock.last_id += GAP;
    clock.last_token.0 += GAP;
    tx.put(&schema::CLOCK, (), &clock)?;
    // What is tagged now may differ from what was tagged when the dump was made.
    tx.put(&schema::COLLECTION, (), &Collection { untagged: false })?;
    let epoch = tx.get(&schema::AUTH_EPOCH, ())?.ok_or(missing(schema::AUTH_EPOCH.name()))?;
    tx.put(&schema::AUTH_EPOCH, (), &(epoch + GAP))
}

/// Rows of one table that wait for the next transaction.
#[derive(Default)]
struct Batch {
    table: String,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.rows.push((key, value));
    }

    const fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn write(&mut self, database: &Database) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        format::in_transaction(database, |inner| insert(inner, &self.table, &rows))
    }
}

fn insert(inner: &redb::WriteTransaction, name: &str, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
    macro_rules! find {
        ($($table:ident)*) => { $(
            if name == schema::$table.name() {
                return insert_into(inner, &schema::$table, rows);
            }
        )* };
    }
    schema::every_table!(find);
    Err(StoreError::Io(format!("there is no table `{name}`")))
}

fn insert_into<K: Key, R: Row>(
    inner: &redb::WriteTransaction,
    table: &Table<K, R>,
    rows: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), StoreError> {
    let mut open = inner.open_table(table.definition()).map_err(error::table)?;
    for (key, value) in rows {
        // redb panics on a key of a wrong form. The checksum says that the keys are right, but this must not
        // rely on it.
        let inserted = guarded(|| open.insert(K::Stored::from_bytes(key), value.as_slice()).map(drop))?;
        inserted.map_err(error::storage)?;
    }
    Ok(())
}

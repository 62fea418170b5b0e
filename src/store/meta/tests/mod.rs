//! Tests of the store as its callers see it: the results, the stored state, and what survives a failing disk.

mod compact;
pub(crate) mod dumps;
mod faults;
mod keys;
mod migration;
mod open;
mod outbox;
mod pages;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::ReadableTable as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::schema::{self, Clock};
use super::{Meta, Older, Options, StoreError, SyncBarrier, Tx as _, WallClock, log_repair};
use crate::model::names::Sequence;
use crate::store::faulty::Faults;
use crate::store::open_error::OpenError;

/// A directory in memory, where syncs cost nothing, if the system has one.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A store that a test opens, closes and opens again.
struct Store {
    dir: TempDir,
    runtime: Runtime,
    cache_bytes: usize,
    wall: WallClock,
    sync_barrier: SyncBarrier,
    faults: Option<Arc<Faults>>,
    older: Older,
}

impl Store {
    fn new() -> Self {
        Self {
            dir: scratch(),
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
            cache_bytes: 1 << 20,
            wall: || 1_700_000_000_000,
            sync_barrier: Arc::new(|_| Ok(())),
            faults: None,
            older: Older::Refuse,
        }
    }

    fn try_open(&self) -> Result<Meta, OpenError> {
        let options = Options {
            data_dir: self.dir.path().to_owned(),
            cache_bytes: self.cache_bytes,
            wall: self.wall,
            sync_barrier: Arc::clone(&self.sync_barrier),
            runtime: self.runtime.handle().clone(),
            faults: self.faults.clone(),
            on_repair: log_repair,
        };
        Meta::open_older(options, self.older)
    }

    fn open(&self) -> Meta {
        self.try_open().unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(super::FILE_NAME)
    }

    /// Sets a number and waits for the result.
    fn set(&self, meta: &Meta, name: &str, number: u64) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.runtime
            .block_on(meta.write(move |tx| tx.put(&schema::OUTBOX_CURSOR, name.as_str(), &Sequence(number))))
    }
}

/// The number of a name. `outbox_cursor` is the simplest table: numbers by name.
fn number(meta: &Meta, name: &str) -> Option<u64> {
    meta.get(|tx| tx.get(&schema::OUTBOX_CURSOR, name)).unwrap().map(|number| number.0)
}

fn clock(meta: &Meta) -> Clock {
    meta.get(|tx| tx.get(&schema::CLOCK, ())).unwrap().unwrap()
}

/// Changes the clock of a closed store without the store's functions.
fn forge_clock(file: &Path, change: impl Fn(&mut Clock)) {
    use super::table::Row as _;
    let database = redb::Database::open(file).unwrap();
    let tx = database.begin_write().unwrap();
    {
        let mut table = tx.open_table(schema::CLOCK.definition()).unwrap();
        let mut clock = Clock::decode(table.get(()).unwrap().unwrap().value()).unwrap();
        change(&mut clock);
        table.insert((), clock.encode().as_slice()).unwrap();
    }
    tx.commit().unwrap();
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

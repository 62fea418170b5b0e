//! A store that no server has open: running time that passes in it, and everything that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use redb::{Database, ReadableTable as _, TableDefinition};
use stowage::store::meta::schema::{self, Clock, Promised};
use stowage::store::meta::{FILE_NAME, Row as _, StoreError, Tx as _};
use stowage::store::open::Store;

use crate::dumps;

/// The settings of the servers: promises that are over soon, frequent dumps, and nothing that begins by the
/// clock.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    dumps::OFTEN[0],
    dumps::OFTEN[1],
    ("STOWAGE__STORAGE__GC__PROMISE", "1h"),
    ("STOWAGE__STORAGE__GC__SCHEDULE", "off"),
    ("STOWAGE__STORAGE__GC__UNTAGGED", "never"),
    ("STOWAGE__STORAGE__SCRUB__SCHEDULE", "off"),
    ("STOWAGE__STORAGE__COMPACT", "off"),
];
/// Running seconds after which nothing is promised any more, and every grace is over.
pub(crate) const PROMISES_S: u64 = 2 * 3600 + 1;

/// A table with one row.
type Single = TableDefinition<'static, (), &'static [u8]>;

/// Lets running seconds pass as in a server that gets no request and then stops: what it has promised is
/// over, and known.
pub(crate) fn pass_time(data: &Path, seconds: u64) {
    let database = Database::open(data.join(FILE_NAME)).expect("the database opens");
    let tx = database.begin_write().expect("a transaction");
    {
        let mut table = tx.open_table(Single::new(schema::CLOCK.name())).expect("the clock");
        let row = table.get(()).expect("it can be read").map(|row| row.value().to_vec());
        let clock = Clock::decode(&row.expect("a row")).expect("the clock");
        let later = Clock { running_s: clock.running_s + seconds, ..clock };
        table.insert((), &later.encode()[..]).expect("the row changes");
        let mut table = tx.open_table(Single::new(schema::PROMISED.name())).expect("the promises");
        table.insert((), &Promised::default().encode()[..]).expect("the row changes");
    }
    tx.commit().expect("it is committed");
}

/// What a store has.
pub(crate) struct Contents {
    /// The rows of blobs.
    pub(crate) blobs: BTreeSet<String>,
    /// The files of blobs, and their sizes.
    pub(crate) files: BTreeMap<String, u64>,
    /// The number of rows of each table that content is in.
    pub(crate) rows: BTreeMap<&'static str, u64>,
}

/// Counts the rows of tables.
macro_rules! rows_of {
    ($tx:ident, $($table:ident)*) => {
        BTreeMap::from([$( (schema::$table.name(), $tx.count(&schema::$table)?) ),*])
    };
}

impl Contents {
    pub(crate) fn of(data: &Path) -> Self {
        let store = Store::offline(data, data).expect("the store opens");
        let read = store.meta.get(|tx| {
            let mut blobs = BTreeSet::new();
            tx.scan_all(&schema::BLOB.keys(), |digest, _| {
                blobs.insert(digest.to_string());
                ControlFlow::Continue(())
            })?;
            let rows = rows_of!(tx, REPOSITORY REPOSITORY_NAME CATALOG BLOB LINK LINK_ZERO BLOB_LINK BLOB_FREE
                MANIFEST MANIFEST_BODY MANIFEST_REPO PARENT REFERRER TAG TAG_BY_DIGEST TAG_BY_SEQUENCE
                USAGE_REPOSITORY UPLOAD UPLOAD_BY_REPOSITORY QUARANTINE TRASH
                TRASH_BY_REPOSITORY TRASH_REPOSITORY TRASH_TAG TRASH_ROOT TRASH_MANIFEST TRASH_CONTENT
                TRASH_REFERRER);
            Ok::<_, StoreError>((blobs, rows))
        });
        let (blobs, rows) = read.expect("the rows can be read");
        store.close();
        Self { blobs, files: files(&data.join("blobs")), rows }
    }

    /// Files without a row.
    pub(crate) fn strays(&self) -> BTreeMap<String, u64> {
        let strays = self.files.iter().filter(|(digest, _)| !self.blobs.contains(*digest));
        strays.map(|(digest, size)| (digest.clone(), *size)).collect()
    }
}

/// The files of blobs by their digests.
fn files(blobs: &Path) -> BTreeMap<String, u64> {
    let entries = |dir: &Path| fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let mut found = BTreeMap::new();
    for algorithm in entries(blobs) {
        let name = algorithm.file_name().into_string().expect("a name");
        for file in entries(&algorithm.path()).flat_map(|shard| entries(&shard.path())) {
            let hex = file.file_name().into_string().expect("a name");
            found.insert(format!("{name}:{hex}"), file.metadata().expect("a file").len());
        }
    }
    found
}

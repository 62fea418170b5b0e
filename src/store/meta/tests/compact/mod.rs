//! Compaction: the file shrinks, everything is in the new one, also what changes meanwhile, and a disk that
//! fails or a kill at any call loses nothing that was answered.

mod refused;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use redb::Value as _;

use super::*;
use crate::config::MinFree;
use crate::store::faulty::{Call, Faults};
use crate::store::meta::{CompactError, Key, Pages, Raw, Row, Stored, Table, WriteTx, saved_database};

/// Bodies of a store that is compacted with faults.
const BODIES: u16 = 200;
/// A body that has a page of its own.
const BODY: usize = 3_000;

fn body(key: u16) -> Raw {
    Raw([&key.to_be_bytes()[..], &vec![7; BODY]].concat())
}

/// Sets bodies, or removes them.
fn change(store: &Store, meta: &Meta, keys: impl IntoIterator<Item = u16>, is_there: bool) {
    try_change(store, meta, keys, is_there).unwrap();
}

fn try_change(
    store: &Store,
    meta: &Meta,
    keys: impl IntoIterator<Item = u16>,
    is_there: bool,
) -> Result<(), StoreError> {
    let keys: Vec<u16> = keys.into_iter().collect();
    store.runtime.block_on(meta.write(move |tx| {
        for key in &keys {
            let (table, bytes) = (schema::MANIFEST_BODY.raw_keys(), key.to_be_bytes());
            if is_there {
                tx.put(&table, &bytes[..], &body(*key))?;
            } else {
                tx.delete(&table, &bytes[..])?;
            }
        }
        Ok(())
    }))
}

/// A store of which most is deleted.
fn sparse(store: &Store) -> Meta {
    sparse_of(store, 1_000)
}

fn sparse_of(store: &Store, bodies: u16) -> Meta {
    let meta = store.open();
    change(store, &meta, 0..bodies, true);
    for number in 0..200 {
        store.set(&meta, &format!("name {number}"), number).unwrap();
    }
    change(store, &meta, (0..bodies).filter(|key| key % 10 != 0), false);
    meta
}

fn no_minimum() -> MinFree {
    "0".parse().unwrap()
}

fn go_on(_: u64, _: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn stored<K: Key, R: Row>(_: &Table<K, R>, key: &Stored<'_, K>) -> Vec<u8> {
    K::Stored::as_bytes(key).as_ref().to_vec()
}

/// A key and its row.
type StoredRow = (Vec<u8>, Vec<u8>);

/// All rows of all tables, as stored.
fn rows(meta: &Meta) -> BTreeMap<&'static str, Vec<StoredRow>> {
    let mut all = BTreeMap::new();
    macro_rules! read {
        ($($table:ident)*) => { $( {
            let (table, mut rows) = (schema::$table.raw_keys().raw(), Vec::new());
            meta.sweep(&table, Pages::all(), |_, key, row: Option<Raw>| {
                rows.push((stored(&table, &key), row.unwrap().0));
                Ok::<_, StoreError>(())
            }).unwrap();
            all.insert(table.name(), rows);
        } )* };
    }
    schema::every_table!(read);
    all
}

fn len(store: &Store) -> u64 {
    std::fs::metadata(store.file()).unwrap().len()
}

fn new_file(store: &Store) -> std::path::PathBuf {
    store.dir.path().join("stowage.redb.new")
}

#[test]
fn the_file_shrinks_and_has_the_same_rows() {
    let store = Store::new();
    let meta = sparse(&store);
    let (before, had) = (len(&store), rows(&meta));
    let size = meta.database_size().unwrap();
    assert!(size.file_bytes > 3_000_000 && size.needed_bytes < size.file_bytes / 3, "{size:?}");
    let done = meta.compact(no_minimum(), &mut go_on).unwrap();
    assert_eq!(done.before_bytes, size.file_bytes);
    assert!(len(&store) < before / 2, "{} of {before}", len(&store));
    assert!(done.after_bytes < before / 4, "{done:?}");
    assert!(
        size.needed_bytes > done.after_bytes / 2 && size.needed_bytes < done.after_bytes * 2,
        "{size:?} {done:?}"
    );
    assert_eq!(done.rows, had.values().map(|rows| rows.len() as u64).sum::<u64>());
    assert_eq!(rows(&meta), had);
    assert!(!new_file(&store).exists());
    store.set(&meta, "later", 1).unwrap();
    let had = rows(&meta);
    meta.close();
    let meta = store.open();
    assert_eq!(rows(&meta)["outbox_cursor"], had["outbox_cursor"]);
    assert_eq!(rows(&meta)["manifest_body"], had["manifest_body"]);
    // Once more, with nothing to gain.
    meta.compact(no_minimum(), &mut go_on).unwrap();
    assert_eq!(number(&meta, "later"), Some(1));
}

#[test]
fn what_changes_while_it_is_copied_is_in_the_new_file() {
    let store = Store::new();
    let meta = sparse(&store);
    let mut call = 0_u16;
    let done = meta.compact(no_minimum(), &mut |_, _, _| {
        call += 1;
        // In a table that is copied early, and in one that is copied late, until long after both are copied.
        // More rows than the writer copies while changes wait.
        let now = call;
        store.runtime.block_on(meta.write(move |tx| names(tx, now))).unwrap();
        change(&store, &meta, [1_000 + call, call], true);
        change(&store, &meta, [10 * call], false);
        ControlFlow::Continue(())
    });
    let done = done.unwrap();
    assert!(call > 50, "{call}");
    let had = rows(&meta);
    assert_eq!(number(&meta, "busy 599"), Some(u64::from(call)));
    assert_eq!(number(&meta, "name 1"), None);
    assert!(done.paused < Duration::from_secs(30));
    meta.close();
    let meta = store.open();
    assert_eq!(rows(&meta)["outbox_cursor"], had["outbox_cursor"]);
    assert_eq!(rows(&meta)["manifest_body"], had["manifest_body"]);
}

/// Sets 600 names, and removes another one.
fn names(tx: &WriteTx<'_>, call: u16) -> Result<(), StoreError> {
    for number in 0..600_u64 {
        tx.put(&schema::OUTBOX_CURSOR, format!("busy {number}").as_str(), &Sequence(u64::from(call)))?;
    }
    tx.delete(&schema::OUTBOX_CURSOR, format!("name {call}").as_str()).map(drop)
}

#[test]
fn a_snapshot_that_is_held_is_read_to_its_end() {
    let store = Store::new();
    let meta = sparse(&store);
    let before = rows(&meta)["manifest_body"].len() as u64;
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        let held = meta.hold(|reader| -> Result<u64, StoreError> {
            let meta = &meta;
            scope.spawn(move || done.send(meta.compact(no_minimum(), &mut go_on)).unwrap());
            let file = || std::fs::metadata(store.file()).unwrap().ino();
            let (first, waiting) = (file(), Instant::now());
            while file() == first {
                assert!(waiting.elapsed() < Duration::from_mins(1), "no compaction came to its end");
                std::thread::sleep(Duration::from_millis(1));
            }
            change(&store, meta, [1], true);
            reader.read(|tx| tx.count(&schema::MANIFEST_BODY))
        });
        assert_eq!(held.unwrap(), before);
        is_done.recv().unwrap().unwrap();
    });
    assert_eq!(rows(&meta)["manifest_body"].len() as u64, before + 1);
}

/// Where a compaction and the changes beside it are ended.
type Fault = fn(&Faults, u64);

/// Compacts a store once for each call to the file of the database, with a fault there, and changes beside
/// it. Returns the number of calls of one without a fault.
fn play(fault: Fault, is_lasting: bool) -> u64 {
    let model = Store::new();
    sparse_of(&model, BODIES).close();
    for n in 1.. {
        let mut store = Store::new();
        // So large that few of the calls are reads.
        store.cache_bytes = 8 << 20;
        std::fs::copy(model.file(), store.file()).unwrap();
        let faults = Arc::new(Faults::default());
        store.faults = Some(Arc::clone(&faults));
        let meta = store.open();
        let context = format!("a fault at call {n}");
        let before = faults.calls();
        fault(&faults, n);
        // A server that was killed is asked for nothing.
        let goes_on = || !is_lasting || faults.calls() < before + n;
        let mut answers = Vec::new();
        let mut call = 0_u16;
        let done = meta.compact(no_minimum(), &mut |_, _, _| {
            call += 1;
            if call.is_multiple_of(20) && goes_on() {
                answers.push((1_000 + call, try_change(&store, &meta, [1_000 + call], true)));
            }
            ControlFlow::Continue(())
        });
        if goes_on() {
            answers.push((2_000, try_change(&store, &meta, [2_000], true)));
        }
        let fired = faults.calls() >= before + n;
        if !is_lasting {
            faults.set_plan(None);
            let waiting = Instant::now();
            while let Err(error) = try_change(&store, &meta, [3_000], true) {
                assert!(waiting.elapsed() < Duration::from_secs(20), "{context}: {error}");
            }
            answers.push((3_000, Ok(())));
            assert_whole(&meta, &answers, &context);
            assert!(!new_file(&store).exists(), "{context}");
        }
        drop(meta);
        store.faults = None;
        let meta = store.try_open().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(!new_file(&store).exists(), "{context}");
        assert_whole(&meta, &answers, &context);
        if !fired {
            done.unwrap();
            return n;
        }
    }
    unreachable!("a compaction has an end")
}

/// Asserts that everything is there that was before or was acknowledged, and nothing that was refused.
fn assert_whole(meta: &Meta, answers: &[(u16, Result<(), StoreError>)], context: &str) {
    let found = rows(meta);
    let bodies: BTreeMap<&[u8], &[u8]> =
        found["manifest_body"].iter().map(|(key, row)| (&key[..], &row[..])).collect();
    for key in (0..BODIES).step_by(10) {
        assert_eq!(bodies.get(&key.to_be_bytes()[..]).copied(), Some(&body(key).0[..]), "{context}: {key}");
    }
    for (key, answer) in answers {
        let is_there = bodies.contains_key(&key.to_be_bytes()[..]);
        match answer {
            Ok(()) => assert!(is_there, "{context}: row {key} is lost"),
            Err(StoreError::OutcomeUnknown) => {}
            Err(error) => assert!(!is_there, "{context}: row {key} is there after: {error}"),
        }
    }
    assert_eq!(found["outbox_cursor"].len(), 200, "{context}");
}

#[test]
fn a_kill_at_any_call_loses_nothing() {
    assert!(play(|faults, n| faults.stop_after(n, libc::EIO), true) > 50);
}

#[test]
fn an_io_error_at_any_call_loses_nothing() {
    assert!(play(|faults, n| faults.fail_after(n, libc::EIO), false) > 50);
}

#[test]
fn a_full_disk_at_any_call_loses_nothing() {
    assert!(play(|faults, n| faults.fail_after(n, libc::ENOSPC), false) > 50);
}

#[test]
fn no_change_is_answered_before_it_is_durable_which_file_is_the_database() {
    let model = Store::new();
    sparse(&model).close();
    let open = |faults: &Arc<Faults>| {
        let mut store = Store::new();
        std::fs::copy(model.file(), store.file()).unwrap();
        store.faults = Some(Arc::clone(faults));
        let meta = store.open();
        (store, meta)
    };
    let faults = Arc::new(Faults::recording());
    let (_store, meta) = open(&faults);
    let before = faults.calls();
    meta.compact(no_minimum(), &mut go_on).unwrap();
    let trace = faults.trace();
    let at = trace.iter().position(|call| *call == Call::DatabaseDirectory).unwrap() as u64;
    let rename = usize::try_from(at).unwrap() - 1;
    assert_eq!(trace[rename], Call::DatabaseRename);
    let changes = [Call::DatabaseWrite, Call::DatabaseLength, Call::DatabaseSync];
    let last = trace[..rename].iter().rev().find(|call| changes.contains(call));
    assert_eq!(last, Some(&Call::DatabaseSync), "the new file is durable before it has the name");
    drop(meta);

    let faults = Arc::new(Faults::default());
    let (store, meta) = open(&faults);
    faults.stop_after(at - before, libc::EIO);
    meta.compact(no_minimum(), &mut go_on).unwrap();
    for _ in 0..3 {
        let refused = store.set(&meta, "early", 1);
        assert!(matches!(refused, Err(StoreError::Io(_))), "{refused:?}");
    }
    assert_eq!(number(&meta, "name 7"), Some(7), "reads go on");
    faults.set_plan(None);
    store.set(&meta, "late", 1).unwrap();
    assert_eq!((number(&meta, "early"), number(&meta, "late")), (None, Some(1)));
}

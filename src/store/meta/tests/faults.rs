//! A disk that fails once, at any call: the store continues without a restart, and every acknowledged change
//! is there.

use std::time::{Duration, Instant};

use super::*;
use crate::store::meta::handle::Handle;
use crate::store::meta::opener::{FILE_NAME, Opener};
use crate::store::meta::place::DatabaseFile;
use crate::store::meta::reserve::Reserve;
use crate::store::meta::writer::Writer;
use crate::store::meta::{Raw, StoreClock};

/// A body so large that the file grows more than once.
const BODY: usize = 200 << 10;

fn body(key: u8) -> Raw {
    Raw(vec![key; BODY + usize::from(key)])
}

fn write(store: &Store, meta: &Meta, key: u8) -> Result<(), StoreError> {
    store
        .runtime
        .block_on(meta.write(move |tx| tx.put(&schema::MANIFEST_BODY.raw_keys(), &[key][..], &body(key))))
}

fn holds(meta: &Meta, key: u8) -> bool {
    let found = meta.get(|tx| tx.get(&schema::MANIFEST_BODY.raw_keys(), &[key][..])).unwrap();
    assert!(found.as_ref().is_none_or(|found| *found == body(key)), "the row {key} has other bytes");
    found.is_some()
}

/// Asserts that the store has exactly the changes that were acknowledged.
fn agree(meta: &Meta, answers: &[Result<(), StoreError>], context: &str) {
    for (key, answer) in (0..).zip(answers) {
        let there = holds(meta, key);
        match answer {
            Ok(()) => assert!(there, "{context}: row {key} is lost"),
            Err(StoreError::OutcomeUnknown) => {}
            Err(error) => assert!(!there, "{context}: row {key} is there after: {error}"),
        }
    }
}

/// Runs a script of writes once for each call to the database file, with that call failing.
fn play(number: i32, cache_bytes: usize, writes: u8) -> u64 {
    for n in 1.. {
        let faults = Arc::new(Faults::default());
        let mut store = Store::new();
        (store.faults, store.cache_bytes) = (Some(Arc::clone(&faults)), cache_bytes);
        let meta = store.open();
        let before = faults.calls();
        faults.fail_after(n, number);
        let answers: Vec<_> = (0..writes).map(|key| write(&store, &meta, key)).collect();
        let fired = faults.calls() >= before + n;
        faults.fail_after(u64::MAX / 2, number);
        let context = format!("call {n} fails with {}", errno(number));

        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        assert!(failed <= 1, "{context}: {failed} writes failed for one fault");
        agree(&meta, &answers, &context);
        write(&store, &meta, writes).unwrap();
        meta.close();
        store.faults = None;
        let meta = store.open();
        agree(&meta, &answers, &context);
        assert!(holds(&meta, writes));
        if !fired {
            return n;
        }
    }
    unreachable!("a script has an end")
}

#[test]
fn an_io_error_at_any_call_loses_nothing_that_was_answered() {
    assert!(play(libc::EIO, 1 << 20, 6) > 50);
}

#[test]
fn a_full_disk_at_any_call_loses_nothing_that_was_answered() {
    assert!(play(libc::ENOSPC, 1 << 20, 6) > 50);
}

#[test]
fn an_io_error_at_any_call_of_a_store_without_a_cache_loses_nothing_that_was_answered() {
    assert!(play(libc::EIO, 0, 3) > 50);
}

#[test]
fn a_read_error_is_over_when_the_disk_has_recovered_although_nobody_writes() {
    let faults = Arc::new(Faults::default());
    let mut store = Store::new();
    (store.faults, store.cache_bytes) = (Some(Arc::clone(&faults)), 0);
    let meta = store.open();
    write(&store, &meta, 1).unwrap();
    let read = || meta.get(|tx| tx.get(&schema::MANIFEST_BODY.raw_keys(), &[1][..]));
    assert!(read().unwrap().is_some());
    faults.fail_after(1, libc::EIO);
    let before = faults.calls();
    let first = read();
    assert!(faults.calls() > before && first.is_err(), "a read without a cache asks the disk");
    let waiting = Instant::now();
    while read().is_err() {
        assert!(waiting.elapsed() < Duration::from_mins(1), "the store does not recover by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(holds(&meta, 1));
}

/// Opens a store once for each call to the database file that this takes, with that call failing, and then
/// once without a fault.
fn play_opening(errno: i32, kept: Option<u64>) -> u64 {
    for n in 1.. {
        let mut store = Store::new();
        if let Some(kept) = kept {
            store.set(&store.open(), "kept", kept).unwrap();
        }
        let faults = Arc::new(Faults::default());
        store.faults = Some(Arc::clone(&faults));
        faults.fail_after(n, errno);
        let opened = store.try_open();
        let fired = faults.calls() >= n;
        match &opened {
            Err(error) => assert!(matches!(error, OpenError::Io { .. }), "call {n}: {error}"),
            // A fault at the last call is met when the store is used or closed.
            Ok(meta) => drop(store.set(meta, "sometimes", 1)),
        }
        drop(opened);
        store.faults = None;
        let meta = store.try_open().unwrap_or_else(|error| panic!("after a failure of call {n}: {error}"));
        store.set(&meta, "works", n).unwrap();
        drop(meta);
        let meta = store.open();
        assert_eq!((number(&meta, "works"), number(&meta, "kept")), (Some(n), kept));
        if !fired {
            return n;
        }
    }
    unreachable!("opening has an end")
}

#[test]
fn a_disk_that_fails_while_a_store_is_made_leaves_nothing_that_cannot_be_started() {
    for number in [libc::EIO, libc::ENOSPC] {
        assert!(play_opening(number, None) > 10);
    }
}

#[test]
fn a_disk_that_fails_while_a_store_is_opened_leaves_the_store_as_it_was() {
    for number in [libc::EIO, libc::ENOSPC] {
        assert!(play_opening(number, Some(7)) > 5);
    }
}

#[test]
fn an_idle_commit_that_failed_is_not_tried_again_at_once() {
    let store = Store::new();
    store.open().close();
    let faults = Arc::new(Faults::default());
    let opener = Opener {
        data_dir: store.dir.path().to_owned(),
        cache_bytes: 1 << 20,
        faults: Some(Arc::clone(&faults)),
        on_repair: log_repair,
        expected: None,
    };
    let database = opener.open().unwrap();
    let place = DatabaseFile::new(store.dir.path().join(FILE_NAME)).unwrap();
    let handle = Arc::new(Handle::new(opener, database, Reserve::new(store.dir.path()), place));
    let clock = StoreClock::start(store.wall, 0);
    let mut writer =
        Writer::new((handle, Arc::default()), clock, Clock::default(), Arc::clone(&store.sync_barrier));
    writer.repair_owed = true;
    faults.fail_after(1, libc::ENOSPC);
    let before = faults.calls();
    writer.idle();
    let tried = faults.calls();
    assert!(tried > before && writer.idle_failed.is_some(), "{before} {tried}");
    assert!(writer.handle.database().is_ok(), "reopened");
    for _ in 0..3 {
        writer.idle();
    }
    assert_eq!(faults.calls(), tried);
    writer.idle_failed = None;
    writer.idle();
    assert!(!writer.repair_owed, "saved when the disk has room again");
}

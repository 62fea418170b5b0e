//! The outbox keeps, within bounds, the events that a consumer has not seen.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::model::audit::Actor;
use crate::model::event::EventKind;
use crate::store::meta::{Pages, WriteTx};

static WALL_MS: AtomicU64 = AtomicU64::new(0);

fn record_one(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let actor = Actor { name: "hanna", address: None };
    tx.record(actor, EventKind::RepositoryCreated { repository: "team/app".parse().unwrap() })
}

fn record(store: &Store, meta: &Meta, events: u64) {
    let write = meta.write(move |tx| (0..events).try_for_each(|_| record_one(tx)));
    store.runtime.block_on(write).unwrap();
}

/// The numbers of the events that are kept; asserts that the clock's count of them is right.
fn kept(meta: &Meta) -> Vec<u64> {
    let mut kept = Vec::new();
    let visited = meta.sweep(&schema::OUTBOX, Pages::all(), |_, sequence, row| {
        assert!(row.is_some());
        kept.push(sequence);
        Ok::<_, StoreError>(())
    });
    visited.unwrap();
    assert_eq!(clock(meta).outbox_rows, kept.len() as u64);
    kept
}

#[test]
fn events_wait_for_the_slowest_consumer() {
    let store = Store::new();
    let meta = store.open();
    record(&store, &meta, 10);
    assert_eq!(kept(&meta), (1..=10).collect::<Vec<_>>(), "no consumer has seen anything");
    store.set(&meta, "fast", 9).unwrap();
    store.set(&meta, "slow", 3).unwrap();
    record(&store, &meta, 1);
    assert_eq!(kept(&meta), (4..=11).collect::<Vec<_>>());
    store.set(&meta, "slow", 11).unwrap();
    record(&store, &meta, 1);
    assert_eq!(kept(&meta), [8, 9, 10, 11, 12], "a write removes a few, not all");
    record(&store, &meta, 2);
    assert_eq!(kept(&meta), [10, 11, 12, 13, 14].into_iter().filter(|n| *n > 9).collect::<Vec<_>>());
}

#[test]
fn events_that_are_too_old_go_unseen() {
    let mut store = Store::new();
    store.wall = || WALL_MS.load(Ordering::SeqCst);
    WALL_MS.store(1_700_000_000_000, Ordering::SeqCst);
    let meta = store.open();
    record(&store, &meta, 3);
    WALL_MS.fetch_add(7 * 24 * 3600 * 1000, Ordering::SeqCst);
    record(&store, &meta, 1);
    assert_eq!(kept(&meta), [1, 2, 3, 4], "a week is not too old");
    WALL_MS.fetch_add(1, Ordering::SeqCst);
    record(&store, &meta, 1);
    assert_eq!(kept(&meta), [4, 5]);
}

#[test]
fn there_are_never_much_more_than_a_hundred_thousand_events() {
    let store = Store::new();
    let meta = store.open();
    record(&store, &meta, 10);
    meta.close();
    forge_clock(&store.file(), |clock| clock.outbox_rows = 100_002);
    let meta = store.open();
    store.runtime.block_on(meta.write(record_one)).unwrap();
    let first = meta.read_blocking(|tx| tx.has(&schema::OUTBOX, Sequence(4))).unwrap();
    let gone = meta.read_blocking(|tx| tx.has(&schema::OUTBOX, Sequence(3))).unwrap();
    assert!(first && !gone);
    assert_eq!(clock(&meta).outbox_rows, 100_000);
}

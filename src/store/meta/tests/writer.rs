//! Group commit: how jobs of one batch affect each other, and how they do not.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::Poll;

use futures_util::future::join_all;

use super::*;
use crate::model::names::UserId;
use crate::store::blob::Barrier;
use crate::store::meta::job::Message;
use crate::store::meta::schema::User;
use crate::store::meta::{Change, WriteTx};

/// The error of a job in these tests.
#[derive(Debug)]
enum Refusal {
    /// The job's own.
    Mine,
    /// The store's.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + 'a>>;

/// Blocks the writer until something is sent, so that jobs that are sent meanwhile form one batch.
fn hold<'a>(store: &Store, meta: &'a Meta) -> (Answer<'a>, mpsc::Sender<()>) {
    let (entered, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut held = job(meta, move |_| {
        entered.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    });
    assert!(send(store, &mut held).is_pending());
    is_held.recv().unwrap();
    (held, release)
}

/// Polls a job once: that sends it to the writer.
fn send(store: &Store, job: &mut Answer<'_>) -> Poll<()> {
    store.runtime.block_on(poll_fn(|context| Poll::Ready(job.as_mut().poll(context).map(drop))))
}

/// Sends jobs so that they form one batch, and returns their results.
fn together(store: &Store, meta: &Meta, mut jobs: Vec<Answer<'_>>) -> Vec<Result<(), Refusal>> {
    let (held, release) = hold(store, meta);
    for job in &mut jobs {
        assert!(send(store, job).is_pending());
    }
    release.send(()).unwrap();
    store.runtime.block_on(held).unwrap();
    store.runtime.block_on(join_all(jobs))
}

/// Adds one to a number, and one to `runs`.
fn increment<'a>(meta: &'a Meta, name: &str, runs: &Arc<AtomicUsize>) -> Answer<'a> {
    let (name, runs) = (name.to_owned(), Arc::clone(runs));
    Box::pin(meta.write(move |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        add_one(tx, &name)
    }))
}

fn add_one(tx: &WriteTx<'_>, name: &str) -> Result<(), Refusal> {
    let number = tx.get(&schema::OUTBOX_CURSOR, name)?.unwrap_or_default();
    Ok(tx.put(&schema::OUTBOX_CURSOR, name, &Sequence(number.0 + 1))?)
}

fn job(meta: &Meta, change: impl Fn(&WriteTx<'_>) -> Result<(), Refusal> + Send + 'static) -> Answer<'_> {
    Box::pin(meta.write(change))
}

#[test]
fn a_job_that_fails_after_a_change_costs_the_others_nothing() {
    let store = Store::new();
    let meta = store.open();
    let runs = Arc::default();
    let poison = |tx: &WriteTx<'_>| add_one(tx, "poison");
    let answers = together(
        &store,
        &meta,
        vec![
            increment(&meta, "first", &runs),
            job(&meta, move |tx| {
                poison(tx)?;
                Err(Refusal::Mine)
            }),
            increment(&meta, "shared", &runs),
            job(&meta, move |tx| {
                poison(tx)?;
                panic!("a job that panics after a change");
            }),
            increment(&meta, "shared", &runs),
            job(&meta, |_| panic!("a job that panics before any change")),
            increment(&meta, "last", &runs),
        ],
    );
    assert!(matches!(
        &answers[..],
        [
            Ok(()),
            Err(Refusal::Mine),
            Ok(()),
            Err(Refusal::Store(StoreError::Failed)),
            Ok(()),
            Err(Refusal::Store(StoreError::Failed)),
            Ok(())
        ]
    ));
    meta.close();
    let meta = store.open();
    for (name, expected) in [("first", Some(1)), ("shared", Some(2)), ("last", Some(1)), ("poison", None)] {
        assert_eq!(number(&meta, name), expected, "{name}");
    }
}

#[test]
fn a_refusal_before_any_change_costs_nothing() {
    let store = Store::new();
    let meta = store.open();
    let before = clock(&meta).commits;
    let refuse = |tx: &WriteTx<'_>| {
        tx.get(&schema::OUTBOX_CURSOR, "good")?;
        Err(Refusal::Mine)
    };
    let alone = store.runtime.block_on(job(&meta, refuse));
    assert!(matches!(alone, Err(Refusal::Mine)));
    assert_eq!(clock(&meta).commits, before);

    let runs = Arc::default();
    let jobs = vec![
        job(&meta, refuse),
        increment(&meta, "good", &runs),
        job(&meta, refuse),
        increment(&meta, "good", &runs),
        job(&meta, refuse),
    ];
    let answers = together(&store, &meta, jobs);
    let refused: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(refused, [true, false, true, false, true]);
    assert_eq!(number(&meta, "good"), Some(2));
    assert_eq!(clock(&meta).commits, before + 1);
    assert_eq!(runs.load(Ordering::SeqCst), 2, "no good job ran twice");
}

#[test]
fn jobs_that_wait_together_are_one_commit() {
    let store = Store::new();
    let meta = store.open();
    let before = clock(&meta).commits;
    let runs = Arc::default();
    let answers = together(&store, &meta, (0..100).map(|_| increment(&meta, "sum", &runs)).collect());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(number(&meta, "sum"), Some(100));
    assert_eq!(clock(&meta).commits, before + 1);
}

#[test]
fn a_transaction_ends_after_ten_thousand_rows() {
    let store = Store::new();
    let meta = store.open();
    let before = clock(&meta).commits;
    let many = |from: u64| {
        job(&meta, move |tx| {
            (from..from + 6000).try_for_each(|key| {
                Ok(tx.put(&schema::USER, UserId(key), &User::sample(&key.to_string()))?)
            })
        })
    };
    let answers = together(&store, &meta, vec![many(0), many(10_000), many(20_000)]);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(clock(&meta).commits, before + 2);
    assert_eq!(meta.read_blocking(|tx| tx.count(&schema::USER)).unwrap(), 18_000);
}

#[test]
fn a_barrier_that_cannot_be_synced_fails_only_the_jobs_that_need_it() {
    let mut store = Store::new();
    let synced: Arc<Mutex<Vec<u64>>> = Arc::default();
    let seen = Arc::clone(&synced);
    store.sync_barrier = Arc::new(move |barrier| {
        seen.lock().unwrap().push(barrier.number());
        if barrier.number() == 7 { Err(errno(libc::EIO)) } else { Ok(()) }
    });
    let meta = store.open();
    let before = clock(&meta).commits;
    let write = |name: &'static str, barriers: &[u64]| -> Answer<'_> {
        let barriers: Vec<Barrier> = barriers.iter().copied().map(Barrier::new).collect();
        let (needed, synced) = (barriers.clone(), Arc::clone(&synced));
        Box::pin(meta.change(Change::after(barriers), move |tx| {
            let synced = synced.lock().unwrap();
            assert!(
                needed.iter().all(|barrier| synced.contains(&barrier.number())),
                "the rows come after the sync"
            );
            add_one(tx, name)
        }))
    };
    let jobs =
        vec![write("a", &[1]), write("b", &[7]), write("c", &[1, 7]), write("d", &[]), write("e", &[1, 2])];
    let answers = together(&store, &meta, jobs);
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, true, false, false]);
    assert!(matches!(answers[1], Err(Refusal::Store(StoreError::Io(_)))));
    for (name, expected) in [("a", Some(1)), ("b", None), ("c", None), ("d", Some(1)), ("e", Some(1))] {
        assert_eq!(number(&meta, name), expected, "{name}");
    }
    let mut synced = synced.lock().unwrap().clone();
    synced.sort_unstable();
    assert_eq!(synced, [1, 2, 7], "each barrier is synced once");
    assert_eq!(clock(&meta).commits, before + 1);
}

#[test]
fn what_waits_at_a_stop_is_committed_before_it() {
    let store = Store::new();
    let meta = store.open();
    let runs = Arc::default();
    let (held, release) = hold(&store, &meta);
    let mut jobs: Vec<Answer<'_>> = (0..10).map(|_| increment(&meta, "sum", &runs)).collect();
    for job in &mut jobs {
        assert!(send(&store, job).is_pending());
    }
    // The writer finds the jobs and the stop message together. The message that `close` sends later has no
    // effect.
    meta.queue.send(Message::Stop).unwrap();
    release.send(()).unwrap();
    meta.close();
    store.runtime.block_on(held).unwrap();
    assert!(store.runtime.block_on(join_all(jobs)).iter().all(Result::is_ok));
    assert_eq!(number(&store.open(), "sum"), Some(10));
}

#[test]
fn a_job_lives_until_its_commit_although_nobody_waits() {
    let store = Store::new();
    let meta = store.open();
    let owned = Arc::new(());
    let held = Arc::clone(&owned);
    let (_, release) = hold(&store, &meta);
    let mut write = job(&meta, move |tx| {
        assert!(Arc::strong_count(&held) > 0);
        add_one(tx, "abandoned")
    });
    assert!(send(&store, &mut write).is_pending());
    drop(write);
    assert_eq!(Arc::strong_count(&owned), 2);
    release.send(()).unwrap();
    meta.close();
    assert_eq!(Arc::strong_count(&owned), 1);
    assert_eq!(number(&store.open(), "abandoned"), Some(1));
}

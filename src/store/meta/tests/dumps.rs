//! Dumps: their content, damage to them, and which of them are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use redb::Value as _;

use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::{ProjectId, RepoId, Sequence};
use crate::store::meta::dump::{self, DumpError};
use crate::store::meta::{Key, Pages, Raw, Row, Table};

/// The rows of one table, as bytes.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Every row of every table.
pub(crate) fn all_rows(meta: &Meta) -> BTreeMap<&'static str, Rows> {
    let mut all = BTreeMap::new();
    macro_rules! read {
        ($($table:ident)*) => { $( all.insert(schema::$table.name(), rows_of(meta, &schema::$table)); )* };
    }
    schema::every_table!(read);
    all
}

fn rows_of<K: Key, R: Row>(meta: &Meta, table: &Table<K, R>) -> Rows {
    let mut rows = Vec::new();
    let read = meta.sweep(&table.raw(), Pages::all(), |_, key, row| {
        rows.push((K::Stored::as_bytes(&key).as_ref().to_vec(), row.unwrap().0));
        Ok::<_, StoreError>(())
    });
    read.unwrap();
    rows
}

/// Gives a repository a manifest with these bytes.
fn push(store: &Store, meta: &Meta, body: &[u8]) -> Digest {
    let digest = Digest::of(Algorithm::Sha256, body);
    let body = Raw(body.to_vec());
    let pushed = store.runtime.block_on(meta.write(move |tx| {
        tx.put(&schema::MANIFEST_BODY, &digest, &body)?;
        tx.put(&schema::MANIFEST_REPO, (&digest, RepoId(7)), &())
    }));
    pushed.unwrap_or_else(|error: StoreError| panic!("{error}"));
    digest
}

fn delete(store: &Store, meta: &Meta, digest: &Digest) {
    let digest = *digest;
    let deleted = store.runtime.block_on(meta.write(move |tx| {
        tx.delete(&schema::MANIFEST_BODY, &digest)?;
        tx.delete(&schema::MANIFEST_REPO, (&digest, RepoId(7)))
    }));
    assert!(deleted.unwrap_or_else(|error: StoreError| panic!("{error}")));
}

fn dumps(store: &Store) -> PathBuf {
    store.dir.path().join(dump::DIR_NAME)
}

fn sizes(dir: &Path, ends_with: &str) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .filter(|(name, _)| name.ends_with(ends_with))
        .collect();
    found.sort();
    found
}

/// The store that is restored from a dump.
fn restored(path: &Path) -> (Store, Meta) {
    let store = Store::new();
    dump::restore(path, store.dir.path(), &mut |_| ()).unwrap();
    let meta = store.open();
    (store, meta)
}

fn body(meta: &Meta, digest: &Digest) -> Option<Vec<u8>> {
    meta.get(|tx| tx.get(&schema::MANIFEST_BODY, digest)).unwrap().map(|Raw(body)| body)
}

#[test]
fn a_dump_has_every_row_and_no_number_is_given_out_twice() {
    let store = Store::new();
    let meta = store.open();
    store.set(&meta, "seen", 41).unwrap();
    let digest = push(&store, &meta, b"a manifest");
    let written = meta.dump(&dumps(&store), 3).unwrap();
    assert_eq!(written.totals.bodies, 1);
    let (_other, copy) = restored(&written.path);
    assert_eq!(number(&copy, "seen"), Some(41));
    assert_eq!(body(&copy, &digest).unwrap(), b"a manifest");
    assert_eq!(copy.store_id(), meta.store_id());
    assert!(!copy.created());
    let root = copy.get(|tx| tx.get(&schema::PROJECT, ProjectId::ROOT)).unwrap().unwrap();
    assert_eq!(root.path, "");
    let (before, after) = (clock(&meta), clock(&copy));
    assert!(after.sequence.0 >= before.sequence.0 + 1000 && after.last_id >= before.last_id + 1000);
}

#[test]
fn nobody_but_the_owner_can_read_dumps() {
    use std::os::unix::fs::PermissionsExt as _;
    let store = Store::new();
    let meta = store.open();
    push(&store, &meta, b"a manifest");
    meta.dump(&dumps(&store), 3).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dumps(&store)), 0o700);
    for entry in fs::read_dir(dumps(&store)).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_body_is_written_once_and_every_dump_can_use_it() {
    let store = Store::new();
    let meta = store.open();
    let first = push(&store, &meta, &[1; 5000]);
    let one = meta.dump(&dumps(&store), 3).unwrap();
    let after_one = sizes(&dumps(&store), ".seg");
    let second = push(&store, &meta, &[2; 3000]);
    let two = meta.dump(&dumps(&store), 3).unwrap();
    let after_two = sizes(&dumps(&store), ".seg");
    assert_eq!((after_one.len(), after_two.len()), (1, 1));
    let added = after_two[0].1 - after_one[0].1;
    assert!((3000..3200).contains(&added), "{added} bytes were added");
    meta.dump(&dumps(&store), 3).unwrap();
    assert_eq!(sizes(&dumps(&store), ".seg"), after_two, "nothing new has nothing to add");
    let (_a, old) = restored(&one.path);
    assert!(body(&old, &first).is_some() && body(&old, &second).is_none());
    let (_b, new) = restored(&two.path);
    assert!(body(&new, &first).is_some() && body(&new, &second).is_some());
}

#[test]
fn old_dumps_go_and_with_them_the_bodies_that_nothing_needs() {
    let store = Store::new();
    let meta = store.open();
    let first = push(&store, &meta, &vec![1; 50_000]);
    meta.dump(&dumps(&store), 2).unwrap();
    delete(&store, &meta, &first);
    let second = push(&store, &meta, &[2; 100]);
    for _ in 0..4 {
        let written = meta.dump(&dumps(&store), 2).unwrap();
        let (_s, copy) = restored(&written.path);
        assert!(body(&copy, &second).is_some() && body(&copy, &first).is_none());
    }
    assert_eq!(sizes(&dumps(&store), ".dump").len(), 2);
    let left: u64 = sizes(&dumps(&store), ".seg").iter().map(|(_, size)| size).sum();
    assert!(left < 1000, "{left} bytes of bodies");
}

#[test]
fn any_damage_is_noticed_and_the_next_dump_is_whole() {
    let store = Store::new();
    let meta = store.open();
    let digest = push(&store, &meta, b"a manifest");
    let written = meta.dump(&dumps(&store), 9).unwrap();
    let whole = fs::read(&written.path).unwrap();
    for position in 0..whole.len() {
        let mut content = whole.clone();
        content[position] ^= 1 << (position % 8);
        fs::write(&written.path, &content).unwrap();
        let checked = dump::check(&written.path);
        assert!(
            matches!(checked, Err(DumpError::Damaged { .. } | DumpError::UnknownFormat { .. })),
            "byte {position} of {}: {checked:?}",
            whole.len()
        );
    }
    for length in 0..whole.len() {
        fs::write(&written.path, &whole[..length]).unwrap();
        assert!(matches!(dump::check(&written.path), Err(DumpError::Damaged { .. })), "{length} bytes");
    }
    let next = meta.dump(&dumps(&store), 9).unwrap();
    dump::check(&next.path).unwrap();
    assert!(body(&restored(&next.path).1, &digest).is_some());
}

#[test]
fn damaged_bodies_are_noticed_and_written_again() {
    let store = Store::new();
    let meta = store.open();
    let digest = push(&store, &meta, b"a manifest");
    let written = meta.dump(&dumps(&store), 9).unwrap();
    let segment = dumps(&store).join(&sizes(&dumps(&store), ".seg")[0].0);
    let whole = fs::read(&segment).unwrap();
    for position in 0..whole.len() {
        let mut content = whole.clone();
        content[position] ^= 1 << (position % 8);
        fs::write(&segment, &content).unwrap();
        assert!(matches!(dump::check(&written.path), Err(DumpError::Damaged { .. })), "byte {position}");
    }
    let mut content = whole.clone();
    content[20] ^= 1;
    fs::write(&segment, &content).unwrap();
    let next = meta.dump(&dumps(&store), 9).unwrap();
    dump::check(&next.path).unwrap();
    assert!(body(&restored(&next.path).1, &digest).is_some());
    fs::remove_file(&segment).unwrap();
    assert!(matches!(dump::check(&written.path), Err(DumpError::Damaged { .. })));
    dump::check(&meta.dump(&dumps(&store), 9).unwrap().path).unwrap();
}

#[test]
fn bytes_that_are_not_what_their_digest_says_are_dumped_as_they_are() {
    let store = Store::new();
    let meta = store.open();
    let digest = push(&store, &meta, b"a manifest");
    let change = move |tx: &crate::store::meta::WriteTx<'_>| {
        tx.put(&schema::MANIFEST_BODY, &digest, &Raw(b"damaged".to_vec()))
    };
    store.runtime.block_on(meta.write(change)).unwrap();
    let damaged = meta.dump(&dumps(&store), 9).unwrap();
    assert_eq!(body(&restored(&damaged.path).1, &digest).unwrap(), b"damaged");
    push(&store, &meta, b"a manifest");
    let healed = meta.dump(&dumps(&store), 9).unwrap();
    assert_eq!(body(&restored(&healed.path).1, &digest).unwrap(), b"a manifest");
}

#[test]
fn a_dump_that_fails_leaves_those_that_are_there() {
    let store = Store::new();
    let meta = store.open();
    push(&store, &meta, b"a manifest");
    meta.dump(&dumps(&store), 1).unwrap();
    let before = (sizes(&dumps(&store), ".dump"), sizes(&dumps(&store), ".seg"));
    push(&store, &meta, b"another manifest");
    meta.close();
    assert!(matches!(meta.dump(&dumps(&store), 1), Err(DumpError::Store(StoreError::Unavailable))));
    assert_eq!((sizes(&dumps(&store), ".dump"), sizes(&dumps(&store), ".seg")), before);
    assert_eq!(sizes(&dumps(&store), ".new"), []);
}

#[test]
fn changes_go_on_while_a_dump_is_made_and_are_not_in_it() {
    let store = Store::new();
    let meta = store.open();
    let filled = store.runtime.block_on(meta.write(|tx| {
        (0..40_000)
            .try_for_each(|n| tx.put(&schema::TAG_BY_SEQUENCE, (RepoId(n), Sequence(n)), &"x".repeat(100)))
    }));
    filled.unwrap_or_else(|error: StoreError| panic!("{error}"));
    store.set(&meta, "a", 0).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let changed = std::sync::atomic::AtomicU64::new(0);
    let written = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                let pair = store.runtime.block_on(meta.write(move |tx| {
                    tx.put(&schema::OUTBOX_CURSOR, "a", &Sequence(n))?;
                    tx.put(&schema::TAG_BY_SEQUENCE, (RepoId(n), Sequence(n)), &n.to_string())
                }));
                pair.unwrap_or_else(|error: StoreError| panic!("{error}"));
                changed.store(n, std::sync::atomic::Ordering::Relaxed);
            }
        });
        // On a busy machine a dump may end before a change was made, so it is repeated.
        let written = loop {
            let before = changed.load(std::sync::atomic::Ordering::Relaxed);
            let written = meta.dump(&dumps(&store), 1).unwrap();
            if changed.load(std::sync::atomic::Ordering::Relaxed) > before {
                break written;
            }
        };
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        written
    });
    let (_s, copy) = restored(&written.path);
    let n = number(&copy, "a").unwrap();
    for row in 1..40_000 {
        let text =
            copy.get(|tx| tx.get(&schema::TAG_BY_SEQUENCE, (RepoId(row), Sequence(row)))).unwrap().unwrap();
        assert_eq!(text == row.to_string(), row <= n, "row {row}, changed up to {n}");
    }
}

#[test]
fn while_rows_are_damaged_the_last_dump_of_before_is_kept() {
    let store = Store::new();
    let meta = store.open();
    store.set(&meta, "seen", 41).unwrap();
    let sound = meta.dump(&dumps(&store), 1).unwrap();
    let damage =
        |tx: &crate::store::meta::WriteTx<'_>| tx.put(&schema::OUTBOX_CURSOR.raw(), "seen", &Raw(vec![9, 9]));
    store.runtime.block_on(meta.write(damage)).unwrap();
    for _ in 0..3 {
        let written = meta.dump(&dumps(&store), 1).unwrap();
        assert_eq!(written.totals.damaged, 1);
        let kept: Vec<PathBuf> =
            dump::list(&dumps(&store)).unwrap().into_iter().map(|dump| dump.path).collect();
        assert_eq!(kept, [written.path, sound.path.clone()]);
    }
    assert_eq!(number(&restored(&sound.path).1, "seen"), Some(41));
    store.set(&meta, "seen", 42).unwrap();
    let healed = meta.dump(&dumps(&store), 1).unwrap();
    assert_eq!(dump::list(&dumps(&store)).unwrap().len(), 1);
    assert_eq!(number(&restored(&healed.path).1, "seen"), Some(42));
}

#[test]
fn what_a_dump_left_that_was_cut_off_is_in_nobodys_way() {
    let store = Store::new();
    let meta = store.open();
    let first = push(&store, &meta, &[1; 500]);
    let one = meta.dump(&dumps(&store), 9).unwrap();
    let segment = dumps(&store).join(&sizes(&dumps(&store), ".seg")[0].0);
    let torn = [fs::read(&segment).unwrap(), vec![0; 4096]].concat();
    fs::write(&segment, &torn).unwrap();
    fs::write(dumps(&store).join("rows-00000002.dump.new"), b"STWDUMP\n").unwrap();
    let second = push(&store, &meta, &[2; 500]);
    let two = meta.dump(&dumps(&store), 9).unwrap();
    assert_eq!(fs::read(&segment).unwrap(), torn, "nothing is appended behind a torn end");
    assert_eq!(sizes(&dumps(&store), ".new"), []);
    dump::check(&one.path).unwrap();
    let (_s, copy) = restored(&two.path);
    assert!(body(&copy, &first).is_some() && body(&copy, &second).is_some());
}

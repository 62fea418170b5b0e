//! Reading tables page by page.

use super::*;
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::schema::Tag;
use crate::store::meta::{Pages, Raw};

#[test]
fn every_row_is_visited_once_and_in_order() {
    let store = Store::new();
    let meta = store.open();
    let written = store.runtime.block_on(meta.write(|tx| {
        (0..25_000).try_for_each(|n| {
            tx.put(&schema::TAG_BY_SEQUENCE, (RepoId(n / 10_000), Sequence(n)), &n.to_string())
        })
    }));
    written.unwrap();
    let mut seen = Vec::new();
    let mut pages = Pages::all();
    let mut rounds = 0;
    while meta
        .page(&schema::TAG_BY_SEQUENCE, &mut pages, |_, (_, n), row| {
            assert_eq!(row, Some(n.to_string()));
            seen.push(n);
            Ok::<_, StoreError>(())
        })
        .unwrap()
    {
        rounds += 1;
    }
    assert_eq!(seen, (0..25_000).collect::<Vec<_>>());
    assert!(rounds >= 3, "{rounds} pages");

    let part = Pages::of_prefix(&schema::TAG_BY_SEQUENCE, RepoId(1));
    let mut seen = Vec::new();
    let visited = meta.sweep(&schema::TAG_BY_SEQUENCE, part, |_, (_, n), _| {
        seen.push(n);
        Ok::<_, StoreError>(())
    });
    visited.unwrap();
    assert_eq!(seen, (10_000..20_000).collect::<Vec<_>>());
}

#[test]
fn a_damaged_row_is_told_from_a_whole_one_and_does_not_end_the_reading() {
    let store = Store::new();
    let meta = store.open();
    let row = Tag {
        digest: crate::model::digest::Digest::of(crate::model::digest::Algorithm::Sha256, b""),
        sequence: Sequence(1),
        pushed_ms: 0,
        by: "hanna".to_owned(),
        content_bytes: 0,
        platform: String::new(),
    };
    let written = store.runtime.block_on(meta.write(move |tx| {
        tx.put(&schema::TAG, (RepoId(1), "a"), &row)?;
        tx.put(&schema::TAG.raw(), (RepoId(1), "b"), &Raw(vec![1, 2, 3]))?;
        tx.put(&schema::TAG, (RepoId(1), "c"), &row)
    }));
    written.unwrap();
    let mut seen = Vec::new();
    let visited = meta.sweep(&schema::TAG, Pages::all(), |tx, (repository, name), row| {
        assert!(tx.has(&schema::TAG, (RepoId(repository), name))?);
        seen.push((name.to_owned(), row.is_some()));
        Ok::<_, StoreError>(())
    });
    visited.unwrap();
    assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), false), ("c".to_owned(), true)]);
    let read = meta.get(|tx| tx.get(&schema::TAG, (RepoId(1), "b")));
    assert!(matches!(read, Err(StoreError::Corrupt { table: "tag" })));
}

#[test]
fn the_first_error_of_a_visit_ends_the_reading() {
    let store = Store::new();
    let meta = store.open();
    store.set(&meta, "a", 1).unwrap();
    store.set(&meta, "b", 2).unwrap();
    let mut seen = 0;
    let visited = meta.sweep(&schema::OUTBOX_CURSOR, Pages::all(), |_, _, _| {
        seen += 1;
        Err(StoreError::Failed)
    });
    assert!(matches!(visited, Err(StoreError::Failed)));
    assert_eq!(seen, 1);
}

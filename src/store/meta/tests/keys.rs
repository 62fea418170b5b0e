//! Keys: their bytes, and where a prefix ends.

use std::ops::{Bound, ControlFlow};

use redb::Value as _;

use super::*;
use crate::store::meta::{Key, KeyOf, Table};

fn bytes<K: Key, R: super::super::Row, Q: KeyOf<K>>(_: &Table<K, R>, key: Q) -> Vec<u8> {
    let held = key.hold();
    K::Stored::as_bytes(&Q::stored(&held)).as_ref().to_vec()
}

/// What earlier programs wrote: a change of these bytes needs a migration.
#[test]
fn stored_keys_have_the_bytes_that_they_always_had() {
    assert_eq!(bytes(&schema::REPOSITORY, 258), [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes(&schema::CATALOG, "a/b"), b"a/b");
    assert_eq!(bytes(&schema::TAG, (258, "v1")), [2, 1, 0, 0, 0, 0, 0, 0, b'v', b'1']);
    assert_eq!(bytes(&schema::BLOB_LINK, (&[1, 9][..], 3)), [2, 1, 9, 3, 0, 0, 0, 0, 0, 0, 0]);
    let by_digest = bytes(&schema::TAG_BY_DIGEST, (1, &[1, 9][..], "v"));
    assert_eq!(by_digest, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, b'v']);
}

#[test]
fn a_prefix_has_just_the_rows_that_begin_with_it() {
    let store = Store::new();
    let meta = store.open();
    let written = store.runtime.block_on(meta.write(|tx| {
        for (repository, digest, tag) in
            [(1, &[1, 9][..], "z"), (2, &[1, 9], "a"), (2, &[1, 9], "b"), (2, &[1, 9, 0], "c"), (3, &[], "")]
        {
            tx.put(&schema::TAG_BY_DIGEST, (repository, digest, tag), &())?;
        }
        tx.put(&schema::TAG_BY_DIGEST, (u64::MAX, &[255; 66][..], "last"), &())
    }));
    written.unwrap();
    let of = |repository: u64, digest: &[u8]| {
        let mut tags = Vec::new();
        let take = |tag: &str, ()| {
            tags.push(tag.to_owned());
            ControlFlow::Continue(())
        };
        meta.read_blocking(|tx| tx.scan_prefix(&schema::TAG_BY_DIGEST, (repository, digest), take)).unwrap();
        tags
    };
    assert_eq!(of(2, &[1, 9]), ["a", "b"], "a longer digest is another one");
    assert_eq!(of(2, &[1, 9, 0]), ["c"]);
    assert_eq!(of(2, &[1]), Vec::<String>::new());
    assert_eq!(of(u64::MAX, &[255; 66]), ["last"]);
    let counts = [1, 2, 3, 4, u64::MAX].map(|repository| {
        let mut count = 0;
        let counted = meta.read_blocking(|tx| {
            tx.scan_prefix(&schema::TAG_BY_DIGEST, repository, |_, ()| {
                count += 1;
                ControlFlow::Continue(())
            })
        });
        counted.unwrap();
        count
    });
    assert_eq!(counts, [1, 3, 1, 0, 1], "the highest number has no next one");
    let rest = meta.read_blocking(|tx| {
        let mut tags = Vec::new();
        let range = (Bound::Excluded("a"), Bound::Unbounded);
        tx.scan_within(&schema::TAG_BY_DIGEST, (2, &[1, 9][..]), range, |tag, ()| {
            tags.push(tag.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok::<_, StoreError>(tags)
    });
    assert_eq!(rest.unwrap(), ["b"], "a cursor stays within its prefix");
}

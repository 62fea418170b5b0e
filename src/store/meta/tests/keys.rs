//! Keys: their bytes, and the ends of prefixes.

use std::ops::{Bound, ControlFlow};

use redb::Value as _;

use super::*;
use crate::model::digest::{Algorithm, AnyDigest, Digest};
use crate::model::names::{ProjectId, RepoId, TokenId, UploadId, UserId};
use crate::model::secret::SecretHash;
use crate::model::time::RunningSecond;
use crate::store::meta::{Key, KeyOf, Row, Table};

fn bytes<K: Key, R: Row, Q: KeyOf<K>>(_: &Table<K, R>, key: Q) -> Vec<u8> {
    let held = key.hold();
    K::Stored::as_bytes(&Q::stored(&held)).as_ref().to_vec()
}

/// A number as it is stored.
const N: [u8; 8] = [2, 1, 0, 0, 0, 0, 0, 0];

/// The bytes that earlier programs wrote: a change of them needs a migration.
#[test]
fn stored_keys_have_the_bytes_that_they_always_had() {
    let digest = Digest::of(Algorithm::Sha256, b"");
    let key = [&[1], digest.bytes()].concat();
    let foreign: AnyDigest = "sha384:ab".parse().unwrap();
    let (repository, second, sequence) = (RepoId(258), RunningSecond(258), Sequence(258));
    assert_eq!(bytes(&schema::REPOSITORY, repository), N);
    assert_eq!(bytes(&schema::PROJECT, ProjectId(258)), N);
    assert_eq!(bytes(&schema::USER, UserId(258)), N);
    assert_eq!(bytes(&schema::TOKEN, TokenId(258)), N);
    assert_eq!(bytes(&schema::AUDIT, sequence), N);
    assert_eq!(bytes(&schema::CATALOG, "a/b"), b"a/b");
    assert_eq!(bytes(&schema::UPLOAD, UploadId::from_bytes([7; 16])), [7; 16]);
    assert_eq!(bytes(&schema::TOKEN_HASH, &SecretHash([7; 32])), [7; 32]);
    assert_eq!(bytes(&schema::BLOB, &digest), key);
    assert_eq!(bytes(&schema::TAG, (repository, "v1")), [&N[..], b"v1"].concat());
    // Each part but the last is preceded by its length, if that can vary.
    assert_eq!(bytes(&schema::BLOB_LINK, (&digest, repository)), [&[33], &key[..], &N].concat());
    assert_eq!(bytes(&schema::BLOB_FREE, (second, &digest)), [&N, &key[..]].concat());
    assert_eq!(bytes(&schema::LINK, (repository, &digest)), [&N, &key[..]].concat());
    let text = b"\0sha384:ab";
    assert_eq!(bytes(&schema::LINK, (repository, &foreign)), [&N[..], text].concat());
    assert_eq!(bytes(&schema::LINK_ZERO, (second, repository, &digest)), [&N, &N, &key[..]].concat());
    assert_eq!(
        bytes(&schema::TAG_BY_DIGEST, (repository, &digest, "v")),
        [&[33], &N[..], &key, b"v"].concat()
    );
    assert_eq!(bytes(&schema::TAG_HISTORY, (repository, "v1", sequence)), [&[2], &N[..], b"v1", &N].concat());
}

#[test]
fn a_key_is_read_back_and_what_is_none_is_not() {
    let digest = Digest::of(Algorithm::Sha512, b"");
    let key = digest.key();
    assert_eq!(<(RepoId, Digest)>::read(&(7, &key[..])), Some((RepoId(7), digest)));
    assert_eq!(<(RepoId, AnyDigest)>::read(&(7, b"\0sha384:ab")).unwrap().1.to_string(), "sha384:ab");
    assert_eq!(<(RepoId, Digest)>::read(&(7, &key[1..])), None);
    assert_eq!(<(RepoId, Digest)>::read(&(7, b"\0sha384:ab")), None);
    assert_eq!(UploadId::read(&&[7; 15][..]), None);
    assert_eq!(SecretHash::read(&&[7; 33][..]), None);
}

/// The rows of a prefix, and the fields after it.
#[test]
fn a_prefix_has_just_the_rows_that_begin_with_it() {
    let store = Store::new();
    let meta = store.open();
    let written = store.runtime.block_on(meta.write(|tx| {
        let table = schema::TAG_BY_DIGEST.raw_keys();
        for (repository, digest, tag) in
            [(1, &[1, 9][..], "z"), (2, &[1, 9], "a"), (2, &[1, 9], "b"), (2, &[1, 9, 0], "c"), (3, &[], "")]
        {
            tx.put(&table, (repository, digest, tag), &())?;
        }
        tx.put(&table, (u64::MAX, &[255; 66][..], "last"), &())
    }));
    written.unwrap();
    let table = schema::TAG_BY_DIGEST.raw_keys();
    let of = |repository: u64, digest: &[u8]| {
        let mut tags = Vec::new();
        let take = |tag: &str, ()| {
            tags.push(tag.to_owned());
            ControlFlow::Continue(())
        };
        meta.read_blocking(|tx| tx.scan_prefix(&table, (repository, digest), take)).unwrap();
        tags
    };
    assert_eq!(of(2, &[1, 9]), ["a", "b"], "a longer digest is another one");
    assert_eq!(of(2, &[1, 9, 0]), ["c"]);
    assert_eq!(of(2, &[1]), Vec::<String>::new());
    assert_eq!(of(u64::MAX, &[255; 66]), ["last"]);
    let counts = [1, 2, 3, 4, u64::MAX].map(|repository| {
        let mut count = 0;
        let counted = meta.read_blocking(|tx| {
            tx.scan_prefix(&table, repository, |_, ()| {
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
        tx.scan_within(&table, (2_u64, &[1, 9][..]), range, |tag, ()| {
            tags.push(tag.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok::<_, StoreError>(tags)
    });
    assert_eq!(rest.unwrap(), ["b"], "a cursor stays within its prefix");
}

/// A digest of each length, a foreign one, and texts of every length that a buffer has to hold.
#[test]
fn a_typed_prefix_ends_where_its_bytes_do() {
    let store = Store::new();
    let meta = store.open();
    let [short, long] = [Algorithm::Sha256, Algorithm::Sha512].map(|algorithm| Digest::of(algorithm, b""));
    let foreign: AnyDigest = format!("sha384:{}", "a".repeat(400)).parse().unwrap();
    let longer: AnyDigest = format!("{foreign}a").parse().unwrap();
    let subjects = [short.into(), long.into(), foreign, longer];
    let names = [0, 1, 127, 128, 129, 300].map(|length| "v".repeat(length));
    let row = schema::Referrer {
        media_type: String::new(),
        size: 0,
        artifact_type: None,
        annotations: schema::ReferrerAnnotations::None,
    };
    let change =
        schema::TagChange { old: None, new: None, by: String::new(), address: String::new(), at_ms: 0 };
    let (puts, put_names) = (subjects.clone(), names.clone());
    let written = store.runtime.block_on(meta.write(move |tx| {
        for subject in &puts {
            tx.put(&schema::REFERRER, (RepoId(1), subject, &short), &row)?;
        }
        for (sequence, name) in (1..).map(Sequence).zip(&put_names) {
            tx.put(&schema::TAG_HISTORY, (RepoId(1), name.as_str(), sequence), &change)?;
        }
        Ok::<_, StoreError>(())
    }));
    written.unwrap();
    meta.read_blocking(|tx| {
        for subject in &subjects {
            let mut found = Vec::new();
            tx.scan_prefix(&schema::REFERRER, (RepoId(1), subject), |referrer, _| {
                found.push(referrer);
                ControlFlow::Continue(())
            })?;
            assert_eq!(found, [short], "{subject}");
        }
        for (expected, name) in (1..).map(Sequence).zip(&names) {
            let mut found = Vec::new();
            tx.scan_prefix(&schema::TAG_HISTORY, (RepoId(1), name.as_str()), |sequence, _| {
                found.push(sequence);
                ControlFlow::Continue(())
            })?;
            assert_eq!(found, [expected], "{} bytes", name.len());
        }
        Ok::<_, StoreError>(())
    })
    .unwrap();
}

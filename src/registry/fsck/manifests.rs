//! Manifests: their bytes, the rows derived from the bytes, and the indexes over both.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::check::Check;
use super::place::Place;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::Manifest;
use crate::model::units::{counted, exact_size};
use crate::registry::referrers;
use crate::store::meta::schema::{self, Listed};
use crate::store::meta::{Pages, ReadTx, StoreError, Tx as _};

/// Checks that every body has its digest, and that the rows of all repositories that hold it agree with it.
pub(super) fn bodies(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::MANIFEST_BODY)?;
    check.rows(&schema::MANIFEST_BODY, |check, tx, key, body| {
        let Some(digest) = Digest::from_key(key) else {
            check.damage("key", Place::digest(key), "a digest in the table manifest_body", "other bytes");
            return Ok(());
        };
        let actual = Digest::of(digest.algorithm(), &body.0);
        check.report.checked.bytes_hashed += body.0.len() as u64;
        if actual != digest {
            check.damage("manifest_content", Place::digest(key), digest, actual);
        }
        let holders = holders(tx, key)?;
        if holders.is_empty() {
            check.inconsistency("manifest_body", Place::digest(key), "a repository that holds it", "none");
        }
        for repository in holders {
            if let Some(row) = tx.get(&schema::MANIFEST.raw_keys(), (repository, key))?
                && actual == digest
            {
                held(check, tx, (repository, key), &row, &body.0)?;
            }
        }
        Ok(())
    })
}

fn holders(tx: &ReadTx, key: &[u8]) -> Result<Vec<u64>, StoreError> {
    let mut holders = Vec::new();
    tx.scan(
        &schema::MANIFEST_REPO.raw_keys().raw(),
        Bound::Included((key, 0)),
        Bound::Included((key, u64::MAX)),
        |(_, repository), _| {
            holders.push(repository);
            ControlFlow::Continue(())
        },
    )?;
    Ok(holders)
}

/// Compares a repository's rows of a manifest with its body.
fn held(
    check: &mut Check<'_>,
    tx: &ReadTx,
    (repository, key): (u64, &[u8]),
    row: &schema::Manifest,
    body: &[u8],
) -> Result<(), StoreError> {
    let place = Place::within(repository, key);
    if row.corrupt {
        check.inconsistency("manifest_mark", place, "no mark, for its bytes are whole", "marked as damaged");
    }
    let manifest = match Manifest::parse(Some(&row.media_type), body) {
        Ok(manifest) => manifest,
        Err(error) => {
            check.inconsistency("manifest_row", place, format!("a {}", row.media_type), error);
            return Ok(());
        }
    };
    let named = manifest.blobs();
    let content_bytes = named.iter().fold(body.len() as u64, |sum, blob| sum.saturating_add(blob.size));
    for blob in &named {
        let link = tx.get(&schema::LINK.raw_keys(), (repository, &blob.digest.key()[..]))?;
        if let Some(said) = link.and_then(|link| link.said).filter(|said| *said != blob.size) {
            let digest = &blob.digest;
            let expected = format!("{} of {digest}", exact_size(blob.size));
            check.inconsistency("link_said", place, expected, exact_size(said));
        }
    }
    let blobs: Vec<AnyDigest> = named.into_iter().map(|blob| blob.digest).collect();
    let children: Vec<AnyDigest> =
        manifest.children().into_iter().map(|child| child.digest.clone()).collect();
    let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
    for (what, same) in [
        ("type", row.media_type == manifest.media_type),
        ("size", row.size == body.len() as u64),
        ("list of blobs", row.blobs == blobs),
        ("list of manifests", row.children == children),
        ("subject", row.subject == subject),
        // The manifests that an index lists may have been pushed or deleted since.
        ("size of the image", !children.is_empty() || row.content_bytes == content_bytes),
    ] {
        if !same {
            check.inconsistency(
                "manifest_row",
                place,
                format!("the {what} of its body"),
                format!("another {what}"),
            );
        }
    }
    for child in manifest.children() {
        let expected = Listed { media_type: child.media_type.clone(), size: child.size };
        let row = tx.get(&schema::PARENT.raw_keys(), (repository, &child.digest.key()[..], key))?;
        if row.as_ref() != Some(&expected) {
            let found = if row.is_none() { "no row" } else { "a row that says something else of it" };
            check.inconsistency("parent", place, format!("a row that it lists {}", child.digest), found);
        }
    }
    referrer(check, tx, (repository, key), &manifest, body)
}

/// Compares the row of a manifest as a referrer of its subject with its body.
fn referrer(
    check: &mut Check<'_>,
    tx: &ReadTx,
    (repository, key): (u64, &[u8]),
    manifest: &Manifest,
    body: &[u8],
) -> Result<(), StoreError> {
    let Some(subject) = &manifest.subject else { return Ok(()) };
    let subject = &subject.digest;
    let row = tx.get(&schema::REFERRER.raw_keys(), (repository, &subject.key()[..], key))?;
    let (expected, found) = match row {
        Some(row) if row == referrers::row_of(manifest, body) => return Ok(()),
        Some(_) => ("what its body says".to_owned(), "a row that says something else"),
        None => (format!("a row that it refers to {subject}"), "no row"),
    };
    check.inconsistency("referrer", Place::within(repository, key), expected, found);
    Ok(())
}

/// Checks that every manifest of a repository has its body and its holder, and the time since when no tag
/// points to it.
pub(super) fn rows(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::MANIFEST)?;
    let mut pairs: BTreeMap<u64, u64> = BTreeMap::new();
    let mut absent = 0_u64;
    check.rows(&schema::MANIFEST, |check, tx, (repository, key), row| {
        let place = Place::within(repository, key);
        check.report.checked.manifests += 1;
        check.last_sequence = check.last_sequence.max(row.sequence.0);
        *pairs.entry(repository).or_default() += row.children.len() as u64;
        if Digest::from_key(key).is_none() {
            check.damage("key", place, "a digest in the table manifest", "other bytes");
        }
        if !tx.has(&schema::MANIFEST_BODY.raw_keys(), key)? {
            check.damage("manifest_missing", place, "its bytes", "none");
        }
        if !tx.has(&schema::MANIFEST_REPO.raw_keys(), (key, repository))? {
            check.inconsistency("manifest_holder", place, "a row that the repository holds it", "no row");
        }
        let tagged = is_tagged(tx, repository, key)?;
        match row.untagged_since {
            Some(since) if tagged => {
                check.inconsistency("untagged_since", place, "no time, for it is tagged", since);
            }
            None if !tagged => {
                check.inconsistency("untagged_since", place, "a time, for no tag points to it", "none");
            }
            _ => {}
        }
        for child in &row.children {
            absent += u64::from(!tx.has(&schema::MANIFEST.raw_keys(), (repository, &child.key()[..]))?);
        }
        Ok(())
    })?;
    // What a manifest in the trash lists stays listed.
    check.rows(&schema::TRASH_MANIFEST, |_, _, (repository, _), row| {
        *pairs.entry(repository).or_default() += row.manifest.children.len() as u64;
        Ok(())
    })?;
    if absent > 0 {
        let manifests = counted(absent, "manifest that an index lists is", "manifests that indexes list are");
        check.note(format!("{manifests} not there, after a sparse push or a deletion"));
    }
    parents(check, &mut pairs)
}

fn is_tagged(tx: &ReadTx, repository: u64, key: &[u8]) -> Result<bool, StoreError> {
    tx.any(&schema::TAG_BY_DIGEST.raw().raw_keys(), (repository, key))
}

/// The rows that each index must have were checked; a search for surplus rows is needed only where the
/// numbers differ.
fn parents(check: &mut Check<'_>, pairs: &mut BTreeMap<u64, u64>) -> Result<(), StoreError> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    check.rows(&schema::PARENT, |_, _, (repository, _, _), _| {
        *counts.entry(repository).or_default() += 1;
        Ok(())
    })?;
    counts.retain(|repository, count| pairs.get(repository) != Some(count));
    for repository in counts.into_keys() {
        let mut pages = Pages::of_prefix(&schema::PARENT.raw_keys(), repository);
        while check.page(&schema::PARENT, &mut pages, |check, tx, (_, child, parent), _| {
            let row = match tx.get(&schema::MANIFEST.raw_keys(), (repository, parent))? {
                Some(row) => Some(row),
                None => {
                    tx.get(&schema::TRASH_MANIFEST.raw_keys(), (repository, parent))?.map(|row| row.manifest)
                }
            };
            if row.is_none_or(|row| row.children.iter().all(|other| *other.key() != *child)) {
                let found = format!("a row that it lists {}", Place::digest_text(child));
                check.inconsistency("parent", Place::within(repository, parent), "no row", found);
            }
            Ok(())
        })? {}
    }
    Ok(())
}

/// Whether a manifest is in its repository or in the trash.
pub(super) fn is_there(tx: &ReadTx, repository: u64, key: &[u8]) -> Result<bool, StoreError> {
    Ok(tx.has(&schema::MANIFEST.raw_keys(), (repository, key))?
        || tx.has(&schema::TRASH_MANIFEST.raw_keys(), (repository, key))?)
}

/// Checks that the indexes over manifests have rows of existing manifests only.
pub(super) fn indexes(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::MANIFEST_REPO)?;
    check.expect(&schema::REFERRER)?;
    check.expect(&schema::PULLS)?;
    check.rows(&schema::MANIFEST_REPO, |check, tx, (key, repository), ()| {
        if !is_there(tx, repository, key)? {
            let place = Place::within(repository, key);
            check.inconsistency("manifest_holder", place, "no row", "a row that the repository holds it");
        }
        Ok(())
    })?;
    check.rows(&schema::REFERRER, |check, tx, (repository, subject, key), _| {
        let row = tx.get(&schema::MANIFEST.raw_keys(), (repository, key))?;
        if row.and_then(|row| row.subject).is_none_or(|other| *other.key() != *subject) {
            let found = format!("a row that it refers to {}", Place::digest_text(subject));
            check.inconsistency("referrer", Place::within(repository, key), "no row", found);
        }
        Ok(())
    })?;
    check.rows(&schema::PULLS, |check, tx, (repository, key), _| {
        if !is_there(tx, repository, key)? {
            check.inconsistency(
                "pulls",
                Place::within(repository, key),
                "no count of pulls",
                "a count of pulls",
            );
        }
        Ok(())
    })?;
    check.rows(&schema::DIRTY_REPOSITORY, |check, _, _, sequence| {
        check.last_sequence = check.last_sequence.max(sequence.0);
        Ok(())
    })
}

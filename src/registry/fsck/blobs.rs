//! Blobs: their rows, and the files that belong to them.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::check::Check;
use super::place::Place;
use super::report::Verdict;
use crate::model::digest::{Digest, Hasher};
use crate::model::time::RunningSecond;
use crate::model::units::{counted, exact_size};
use crate::store::blob::BlobFile;
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Pages, ReadTx, StoreError, Tx as _};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Hashed bytes of one blob between two reports of progress.
const SPEAK_EVERY: u64 = 64 << 20;

/// Checks that every blob has its file, and is listed as free exactly if no repository holds it.
pub(super) fn blobs(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::BLOB)?;
    let mut pages = Pages::all();
    loop {
        // Files are read after the page's snapshot has ended, because reading them may take long.
        let mut found = Vec::new();
        let more = check.page(&schema::BLOB, &mut pages, |check, tx, key, blob| {
            check.report.checked.blobs += 1;
            match Digest::from_key(key) {
                Some(digest) => found.push((digest, blob.size, blob.state, blob.generation)),
                None => check.damage("key", Place::digest(key), "a digest in the table blob", "other bytes"),
            }
            row(check, tx, key, &blob)
        })?;
        for (digest, size, state, generation) in found {
            if check.is_ended() {
                break;
            }
            match state {
                BlobState::Present => present(check, &digest, size, generation)?,
                BlobState::Corrupt => {
                    if check.mode.deep && is_whole(check, &digest, size, generation) {
                        continue;
                    }
                    check.damage(
                        "blob_corrupt",
                        Place::digest(&digest.key()),
                        "whole bytes",
                        "recorded as damaged",
                    );
                }
                BlobState::Deleting => {}
            }
        }
        if !more {
            break;
        }
    }
    free(check)
}

fn row(check: &mut Check<'_>, tx: &ReadTx, key: &[u8], blob: &Blob) -> Result<(), StoreError> {
    let place = Place::digest(key);
    let held = tx.any(&schema::BLOB_LINK.raw().raw_keys(), key)?;
    match blob.free_since {
        Some(since) if held => {
            check.inconsistency("blob_free", place, "no time, for a repository holds it", since);
        }
        Some(since) if !tx.has(&schema::BLOB_FREE.raw_keys(), (since.0, key))? => {
            check.inconsistency(
                "blob_free",
                place,
                format!("a row at {since}, for no repository holds it"),
                "no row",
            );
        }
        None if !held => {
            check.inconsistency("blob_free", place, "a time, for no repository holds it", "none");
        }
        _ => {}
    }
    let users = users(tx, key)?;
    if blob.users != users {
        let text = |users| {
            counted(
                users,
                "repository with a manifest that refers to it",
                "repositories with a manifest that refers to it",
            )
        };
        check.inconsistency("blob_users", place, text(users), text(blob.users));
    }
    if users == 0 {
        check.report.checked.unused_blobs += 1;
        check.report.checked.unused_bytes += blob.size;
    }
    Ok(())
}

/// How many of the repositories that hold a blob have a manifest that refers to it.
fn users(tx: &ReadTx, key: &[u8]) -> Result<u64, StoreError> {
    let mut holders = Vec::new();
    tx.scan_prefix(&schema::BLOB_LINK.raw_keys().keys(), key, |repository, _| {
        holders.push(repository);
        ControlFlow::Continue(())
    })?;
    let mut users = 0;
    for repository in holders {
        let link = tx.get(&schema::LINK.raw_keys(), (repository, key))?;
        users += u64::from(link.is_some_and(|link| link.present && link.references > 0));
    }
    Ok(users)
}

fn free(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&schema::BLOB_FREE.raw(), |check, tx, (since, key), _| {
        if tx
            .get(&schema::BLOB.raw_keys(), key)?
            .is_none_or(|blob| blob.free_since != Some(RunningSecond(since)))
        {
            check.inconsistency(
                "blob_free",
                Place::digest(key),
                "no row",
                format!("a row at {since} that no repository holds it"),
            );
        }
        Ok(())
    })
}

fn present(check: &mut Check<'_>, digest: &Digest, size: u64, generation: u32) -> Result<(), StoreError> {
    let key = digest.key();
    let mut unproven = false;
    let (kind, expected, found) = match check.blobs.open(digest) {
        Err(error) => {
            // Only wrong content is proof of damage; a read error may be temporary.
            unproven = error.kind() != ErrorKind::InvalidData;
            ("blob_unreadable", exact_size(size), error.to_string())
        }
        Ok(None) => ("blob_file_missing", exact_size(size), "no file".to_owned()),
        Ok(Some(file)) if file.size() != size => ("blob_size", exact_size(size), exact_size(file.size())),
        Ok(Some(_)) if !check.mode.deep => return Ok(()),
        Ok(Some(file)) => match hash(check, &file, digest) {
            Err(error) => {
                unproven = true;
                ("blob_unreadable", exact_size(size), error.to_string())
            }
            Ok(actual) if actual == *digest => return Ok(()),
            Ok(actual) => ("blob_content", digest.to_string(), actual.to_string()),
        },
    };
    // A blob that was replaced or removed since its row was read is not a problem.
    let now = check.meta.read(|tx| tx.get(&schema::BLOB, digest))?;
    if now.is_some_and(|now| now.state == BlobState::Present && now.generation == generation) {
        check.damage(kind, Place::digest(&key), expected, found);
        if check.mode.deep && !unproven {
            check.report.verdicts.push(Verdict { digest: *digest, generation, whole: None });
        }
    }
    Ok(())
}

/// Whether a hidden blob has the right bytes again, because its file was restored from a backup or its disk
/// came back.
fn is_whole(check: &mut Check<'_>, digest: &Digest, size: u64, generation: u32) -> bool {
    let Ok(Some(file)) = check.blobs.open(digest) else { return false };
    let whole = file.size() == size && hash(check, &file, digest).is_ok_and(|actual| actual == *digest);
    if whole {
        check.report.verdicts.push(Verdict { digest: *digest, generation, whole: Some(file.stamp()) });
    }
    whole
}

fn hash(check: &mut Check<'_>, file: &Arc<dyn BlobFile>, digest: &Digest) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut offset = 0;
    let mut spoken = 0;
    while offset < file.size() && !check.is_ended() {
        let chunk = file.read(offset, CHUNK)?;
        hasher.update(&chunk);
        offset += chunk.len() as u64;
        check.report.checked.bytes_hashed += chunk.len() as u64;
        if offset - spoken >= SPEAK_EVERY {
            spoken = offset;
            check.speak();
        }
    }
    check.speak();
    Ok(hasher.finish())
}

//! Compares a database that was restored from a dump with the blobs on the disk: which blobs are missing,
//! which were stored after the dump, and the usage, which a dump does not contain.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::SystemTime;

use serde::Serialize;
use tokio::runtime::Handle;

use super::fsck::Progress;
use super::usage::recompute::Tally;
use super::{disk, links};
use crate::model::digest::Digest;
use crate::model::names::RepoId;
use crate::model::units::exact_size;
use crate::store::blob::{BlobStore, Entry};
use crate::store::meta::schema::{self, Blob, BlobState, Disk, Usage};
use crate::store::meta::{Key, KeyOf, Meta, Pages, ReadTx, StoreError, Table, Tx as _};

/// The most blobs of each kind that are listed.
const LISTED: usize = 10_000;
/// Rows in one transaction.
const BATCH: usize = 5_000;
/// Rows or files between two reports of progress.
const SPEAK_EVERY: u64 = 1_000;

/// A blob whose file is missing or has another size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingBlob {
    /// The blob.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// What was found instead.
    pub found: String,
    /// The repositories that hold it.
    pub repositories: Vec<String>,
}

/// A file without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterBlob {
    /// The blob.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// When the file was written last, in Unix milliseconds.
    pub modified_ms: u64,
}

/// The differences between a dump and the blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Blobs without a file, or with a file of another size.
    pub missing: u64,
    /// The first of them.
    pub missing_blobs: Vec<MissingBlob>,
    /// Files without a row: stored after the dump, or left by pushes that did not finish.
    pub later: u64,
    /// Their bytes.
    pub later_bytes: u64,
    /// The first of them.
    pub later_blobs: Vec<LaterBlob>,
}

/// Compares a new database with the blobs, and computes its usage. A blob without its file is marked as
/// damaged, so that it is reported as absent until it is pushed again. `on_progress` is called with the
/// progress.
pub fn settle(
    meta: &Meta,
    blobs: &dyn BlobStore,
    runtime: &Handle,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Differences, StoreError> {
    let mut differences = Differences::default();
    missing(meta, blobs, runtime, &mut differences, on_progress)?;
    later(meta, blobs, &mut differences, on_progress)?;
    count_usage(meta, runtime)?;
    Ok(differences)
}

/// Reports the progress of a stage, every so many rows.
fn tick(on_progress: &mut dyn FnMut(Progress), stage: &'static str, done: u64, total: u64) {
    if done.is_multiple_of(SPEAK_EVERY) {
        on_progress(Progress { stage, done, total, bytes: 0 });
    }
}

fn missing(
    meta: &Meta,
    blobs: &dyn BlobStore,
    runtime: &Handle,
    differences: &mut Differences,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let total = meta.read_blocking(|tx| tx.count(&schema::BLOB))?;
    let (mut done, mut gone) = (0, Vec::new());
    meta.sweep(&schema::BLOB, Pages::all(), |tx, key, row| {
        done += 1;
        tick(on_progress, "blobs", done, total);
        let (Some(row), Some(digest)) = (row, Digest::from_key(key)) else { return Ok(()) };
        if row.state != BlobState::Present {
            return Ok(());
        }
        let found = match blobs.open(&digest) {
            Ok(Some(file)) if file.size() == row.size => return Ok(()),
            Ok(Some(file)) => exact_size(file.size()),
            Ok(None) => "no file".to_owned(),
            // The file exists, and may be readable at another time.
            Err(_) => return Ok(()),
        };
        differences.missing += 1;
        if differences.missing_blobs.len() < LISTED {
            let repositories = holders(tx, &digest)?;
            let blob = MissingBlob { digest: digest.to_string(), size: row.size, found, repositories };
            differences.missing_blobs.push(blob);
        }
        gone.push((digest, Blob { state: BlobState::Corrupt, ..row }));
        Ok::<_, StoreError>(())
    })?;
    for part in gone.chunks(BATCH) {
        let part = part.to_vec();
        runtime.block_on(
            meta.write(move |tx| {
                part.iter().try_for_each(|(digest, row)| tx.put(&schema::BLOB, digest, row))
            }),
        )?;
    }
    Ok(())
}

/// The names of the repositories that hold a blob.
fn holders(tx: &ReadTx, digest: &Digest) -> Result<Vec<String>, StoreError> {
    let name = |id: RepoId| {
        let row = tx.get(&schema::REPOSITORY, id)?;
        Ok(row.map_or_else(|| format!("number {id}"), |row| row.name))
    };
    links::holders(tx, digest)?.into_iter().map(name).collect()
}

fn later(
    meta: &Meta,
    blobs: &dyn BlobStore,
    differences: &mut Differences,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let (mut done, mut failure) = (0, None);
    let listed = blobs.list(&mut |entry| {
        done += 1;
        tick(on_progress, "files", done, 0);
        let Entry::Blob { digest, size, modified } = entry else { return ControlFlow::Continue(()) };
        match meta.get(|tx| tx.has(&schema::BLOB, &digest)) {
            Ok(true) => {}
            Ok(false) => {
                differences.later += 1;
                differences.later_bytes += size;
                if differences.later_blobs.len() < LISTED {
                    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    let modified_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                    let digest = digest.to_string();
                    differences.later_blobs.push(LaterBlob { digest, size, modified_ms });
                }
            }
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    match (failure, listed) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(StoreError::Io(error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

/// Writes the usage of repositories and projects. The tables are empty before.
fn count_usage(meta: &Meta, runtime: &Handle) -> Result<(), StoreError> {
    let mut counts = Vec::new();
    let Tally { repositories, projects, .. } = Tally::of_store(meta.reader(), &mut |_, key, projects| {
        counts.extend(projects.iter().map(|(project, count)| (key.to_vec(), *project, *count)));
        Ok(())
    })?;
    for part in counts.chunks(BATCH) {
        let part = part.to_vec();
        runtime.block_on(meta.write(move |tx| {
            let mut rows = part.iter();
            rows.try_for_each(|(key, project, count)| {
                tx.put(&schema::PROJECT_BLOB.raw_keys(), (&key[..], project.0), count)
            })
        }))?;
    }
    let disk = disk::count(meta.reader())?;
    if disk != Disk::default() {
        runtime.block_on(meta.write(move |tx| tx.put(&schema::DISK, (), &disk)))?;
    }
    runtime.block_on(put_all(meta, &schema::USAGE_REPOSITORY, repositories))?;
    runtime.block_on(put_all(meta, &schema::USAGE_PROJECT, projects))
}

async fn put_all<I>(
    meta: &Meta,
    table: &'static Table<I, Usage>,
    figures: BTreeMap<I, Usage>,
) -> Result<(), StoreError>
where
    I: Key<Stored: Sync> + KeyOf<I> + Copy + Send,
{
    let figures: Vec<(I, Usage)> = figures.into_iter().collect();
    for part in figures.chunks(BATCH) {
        let part = part.to_vec();
        meta.write(move |tx| part.iter().try_for_each(|(id, usage)| tx.put(table, *id, usage))).await?;
    }
    Ok(())
}

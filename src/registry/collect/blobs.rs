//! Blobs that no link holds.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Collected, Observer, Run, SLICE};
use crate::model::digest::Digest;
use crate::model::time::RunningSecond;
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::store::blob::{Barrier, BlobStore};
use crate::store::meta::schema::{self, Blob, BlobState, Quarantined};
use crate::store::meta::{Change, ReadTx, Row as _, StoreError, Tx, WriteTx};

/// Blobs whose digests are locked at once, and the most bytes of them: a push of one of these digests, or of
/// one that shares a lock with it, waits while their files are removed.
const GROUP: usize = 32;
const GROUP_BYTES: u64 = 1 << 30;

/// Blobs without links that are listed at once, so that many of them are in one directory.
const LISTED: usize = 8_192;

/// A row of `blob_free`.
pub(super) type Candidate = (RunningSecond, Digest);

/// A blob whose file may be taken out of the tree.
#[derive(Clone, Copy)]
struct Condemned {
    digest: Digest,
    size: u64,
}

impl Run {
    /// Removes every blob that no link holds; whether the run continues.
    pub(super) async fn blobs(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        let mut after = None;
        loop {
            let from = after;
            let mut free = self.registry.meta.scan(move |tx| free(tx, from, LISTED)).await?;
            let Some(last) = free.last() else { return Ok(true) };
            after = Some(*last);
            free.retain(|(_, digest)| !self.vetoed.digests.contains(digest));
            // Files of one directory together: it is synced once for each group.
            free.sort_unstable_by_key(|(_, digest)| *digest);
            for part in free.chunks(SLICE) {
                let part = part.to_vec();
                let (condemned, spared) = self.change(move |tx| condemn(tx, &part)).await?;
                self.collected.add(spared);
                for group in groups(&condemned) {
                    self.take_out(group).await?;
                    if !self.breathe(observer).await {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Takes the files of condemned blobs out of the tree, then their rows out of the tables. A crash in
    /// between leaves rows that say so, and the next run does both again.
    async fn take_out(&mut self, group: &[Condemned]) -> Result<(), RegistryError> {
        let registry = Arc::clone(&self.registry);
        let (group, removes) = (group.to_vec(), self.mode.removes());
        let done = self
            .registry
            .detached(async move {
                let digests: Vec<Digest> = group.iter().map(|blob| blob.digest).collect();
                let locks = registry.locks.lock_all(&digests).await;
                let _removing = registry.removing.lock().await;
                registry.check_pins()?;
                // Whatever was pushed before the lock was taken has changed its row.
                let still = registry.meta.scan(move |tx| still_condemned(tx, &group)).await?;
                let blobs = Arc::clone(&registry.blobs);
                let (taken, barriers, spared) =
                    registry.blocking(move || take_files(&*blobs, &still, removes)).await?;
                // With a planted fault nothing is synced: a power cut may bring back files without rows.
                let barriers = if cfg!(feature = "mutant-no-unlink-sync") { Vec::new() } else { barriers };
                let change = Change { frees: true, ..Change::after(barriers) };
                let forgotten = registry.meta.change(change, move |tx| {
                    let _held = &locks;
                    forget(tx, &taken, removes)
                });
                let mut done = forgotten.await.inspect_err(|_| {
                    // A file may be in quarantine without a row now.
                    registry.quarantine_was_listed.store(false, Ordering::Release);
                })?;
                done.add(spared);
                Ok(done)
            })
            .await?;
        self.collected.add(done);
        Ok(())
    }
}

/// Parts of a slice that are locked together.
fn groups(condemned: &[Condemned]) -> impl Iterator<Item = &[Condemned]> {
    let mut rest = condemned;
    std::iter::from_fn(move || {
        let mut bytes = 0_u64;
        let fits = rest.iter().take(GROUP).take_while(|blob| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(blob.size.max(1));
            first || bytes <= GROUP_BYTES
        });
        let (group, others) = rest.split_at(fits.count());
        rest = others;
        (!group.is_empty()).then_some(group)
    })
}

/// Up to `limit` blobs that no link holds, the longest ones first.
fn free(tx: &ReadTx, after: Option<Candidate>, limit: usize) -> Result<Vec<Candidate>, StoreError> {
    let mut free = Vec::new();
    let from = after.as_ref().map_or(Bound::Unbounded, |(since, digest)| Bound::Excluded((*since, digest)));
    tx.scan_range(&schema::BLOB_FREE.keys(), (from, Bound::Unbounded), |(since, digest), _| {
        free.push((since, digest));
        if free.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(free)
}

/// The same, with their sizes.
pub(super) fn free_with_sizes(
    tx: &ReadTx,
    after: Option<Candidate>,
) -> Result<Vec<(Candidate, u64)>, StoreError> {
    free(tx, after, SLICE)?.into_iter().map(|row| Ok((row, size(tx, &row.1)?))).collect()
}

pub(super) fn size(tx: &ReadTx, digest: &Digest) -> Result<u64, StoreError> {
    Ok(tx.get(&schema::BLOB, digest)?.map_or(0, |blob| blob.size))
}

/// Marks blobs that no link holds as being removed. From this commit on no push counts on the file: a push of
/// the blob puts it in its place anew, under the lock of its digest.
fn condemn(tx: &WriteTx<'_>, free: &[Candidate]) -> Result<(Vec<Condemned>, Collected), RegistryError> {
    let (mut condemned, mut spared) = (Vec::new(), Collected::default());
    for (since, digest) in free {
        if !tx.has(&schema::BLOB_FREE, (*since, digest))? {
            continue;
        }
        let row = tx.get(&schema::BLOB.raw(), digest)?.and_then(|row| Blob::decode(&row.0));
        let fits = |blob: &Blob| blob.free_since == Some(*since) && blob.users == 0;
        let Some(blob) = row.filter(fits) else {
            spared.spare(|| format!("{digest}: its row is damaged"));
            continue;
        };
        if tx.any(&schema::BLOB_LINK, digest)? {
            spared.spare(|| format!("{digest}: a repository holds it, and its row says that none does"));
            continue;
        }
        condemned.push(Condemned { digest: *digest, size: blob.size });
        if blob.state != BlobState::Deleting {
            tx.put(&schema::BLOB, digest, &Blob { state: BlobState::Deleting, ..blob })?;
        }
    }
    Ok((condemned, spared))
}

/// Those of the group that are being removed now, while their digests are locked.
fn still_condemned(tx: &ReadTx, group: &[Condemned]) -> Result<Vec<Condemned>, StoreError> {
    let mut still = Vec::with_capacity(group.len());
    for blob in group {
        if is_condemned(tx, &blob.digest)? {
            still.push(*blob);
        }
    }
    Ok(still)
}

fn is_condemned(tx: &impl Tx, digest: &Digest) -> Result<bool, StoreError> {
    let row = tx.get(&schema::BLOB, digest)?;
    Ok(row.is_some_and(|blob| blob.state == BlobState::Deleting && blob.free_since.is_some()))
}

/// A blob whose file is out of the tree.
struct Taken {
    blob: Condemned,
    /// Its number in quarantine, if it went there.
    number: Option<u32>,
}

/// Takes the files of blobs out of the tree; what must be synced before their rows go, and what is spared
/// because its file could not be taken: it keeps no other from being collected.
fn take_files(
    blobs: &dyn BlobStore,
    group: &[Condemned],
    removes: bool,
) -> (Vec<Taken>, Vec<Barrier>, Collected) {
    let (mut taken, mut barriers) = (Vec::with_capacity(group.len()), Vec::new());
    let mut spared = Collected::default();
    for blob in group {
        match take_file(blobs, &blob.digest, removes) {
            Ok((number, barrier)) => {
                barriers.extend(barrier);
                taken.push(Taken { blob: *blob, number });
            }
            Err(error) => spared.spare(|| format!("{}: its file cannot be removed: {error}", blob.digest)),
        }
    }
    (taken, barriers, spared)
}

/// Takes a file out of the tree: its number in quarantine, and what must be synced.
fn take_file(
    blobs: &dyn BlobStore,
    digest: &Digest,
    removes: bool,
) -> io::Result<(Option<u32>, Option<Barrier>)> {
    if removes {
        return Ok((None, blobs.remove(digest)?));
    }
    let aside = blobs.set_aside(digest)?;
    Ok((aside.map(|aside| aside.number), aside.and_then(|aside| aside.barrier)))
}

/// Removes the rows of blobs whose files are gone.
fn forget(tx: &WriteTx<'_>, group: &[Taken], removes: bool) -> Result<Collected, RegistryError> {
    let (mut done, mut disk) = (Collected::default(), DiskChange::default());
    for Taken { blob: Condemned { digest, .. }, number } in group {
        let Some(blob) = tx.get(&schema::BLOB, digest)? else { continue };
        let (BlobState::Deleting, Some(free_since)) = (blob.state, blob.free_since) else { continue };
        tx.delete(&schema::BLOB_FREE, (free_since, digest))?;
        tx.delete(&schema::BLOB, digest)?;
        disk.removed(blob.size);
        done.blobs += 1;
        done.bytes += blob.size;
        match number {
            Some(number) => {
                let row = Quarantined {
                    digest: *digest,
                    number: *number,
                    size: blob.size,
                    since: tx.now().running_second(),
                };
                tx.put(&schema::QUARANTINE, tx.next_sequence(), &row)?;
            }
            None if removes => done.freed_bytes += blob.size,
            // It was moved to quarantine by a run that was cut off.
            None => {}
        }
    }
    disk.write(tx)?;
    Ok(done)
}

//! Files in quarantine whose time is over.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Collected, Mode, Observer, Run, SLICE};
use crate::model::digest::Digest;
use crate::model::names::Sequence;
use crate::registry::error::RegistryError;
use crate::store::blob::BlobStore;
use crate::store::meta::schema::{self, Quarantined};
use crate::store::meta::{Change, Raw, ReadTx, Row as _, StoreError, Tx as _, WriteTx};

/// Running seconds for which a file stays in quarantine.
pub(super) const KEPT_S: u64 = 24 * 3600;

impl Run {
    /// Removes files from quarantine: those that were there for long enough, or all of them when the space is
    /// needed. Whether the run continues.
    pub(super) async fn quarantine(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        if !self.registry.quarantine_was_listed.load(Ordering::Acquire) {
            self.adopt().await?;
        }
        let mut after = Sequence(0);
        loop {
            let from = after;
            let newest_s = newest_over(self.mode, self.registry.meta.clock().now().running_s);
            let over = self.registry.meta.scan(move |tx| over(tx, from, newest_s)).await?;
            let Some((last, _)) = over.last() else { return Ok(true) };
            after = *last;
            let registry = Arc::clone(&self.registry);
            let done = self
                .registry
                .detached(async move {
                    let _removing = registry.removing.lock().await;
                    registry.check_pins()?;
                    let blobs = Arc::clone(&registry.blobs);
                    let (gone, mut done) = registry.blocking(move || discard(&*blobs, over)).await?;
                    // The rows go last: after a crash the files are removed again.
                    let forget = move |tx: &WriteTx<'_>| forget(tx, &gone);
                    done.freed_bytes = registry.meta.change(Change::that_frees(), forget).await?;
                    Ok(done)
                })
                .await?;
            self.collected.add(done);
            if !self.breathe(observer).await {
                return Ok(false);
            }
        }
    }

    /// Gives rows to files without one: a crash between the move of a file and its commit leaves them, and so
    /// does a row that is damaged. Once for each server.
    async fn adopt(&mut self) -> Result<(), RegistryError> {
        let registry = Arc::clone(&self.registry);
        let files = registry.blocking({
            let blobs = Arc::clone(&registry.blobs);
            move || blobs.list_aside()
        });
        let mut strangers: HashMap<(Digest, u32), u64> =
            files.await??.into_iter().map(|file| ((file.digest, file.number), file.size)).collect();
        let mut after = Sequence(0);
        loop {
            let from = after;
            let known = registry.meta.scan(move |tx| over(tx, from, Some(u64::MAX))).await?;
            for (_, file) in &known {
                strangers.remove(&(file.digest, file.number));
            }
            let Some((last, _)) = known.last() else { break };
            after = *last;
        }
        let strangers: Vec<_> = strangers.into_iter().collect();
        for part in strangers.chunks(SLICE) {
            let part = part.to_vec();
            let change = move |tx: &WriteTx<'_>| {
                for ((digest, number), size) in &part {
                    let since = tx.now().running_second();
                    let row = Quarantined { digest: *digest, number: *number, size: *size, since };
                    tx.put(&schema::QUARANTINE, tx.next_sequence(), &row)?;
                }
                Ok::<_, RegistryError>(())
            };
            registry.meta.change(Change::that_frees(), change).await?;
        }
        registry.quarantine_was_listed.store(true, Ordering::Release);
        Ok(())
    }
}

/// Removes files; which of them are gone, and what is spared because its file cannot be removed.
fn discard(
    blobs: &dyn BlobStore,
    files: Vec<(Sequence, Quarantined)>,
) -> (Vec<(Sequence, Quarantined)>, Collected) {
    let mut done = Collected::default();
    let mut gone = files;
    gone.retain(|(_, file)| match blobs.discard_aside(&file.digest, file.number) {
        Ok(_) => true,
        Err(error) => {
            done.spare(|| format!("{} in quarantine: its file cannot be removed: {error}", file.digest));
            false
        }
    });
    (gone, done)
}

/// The running second up to which files go that were taken out of the tree then.
pub(super) fn newest_over(mode: Mode, now_s: u64) -> Option<u64> {
    now_s.checked_sub(if mode.removes() { 0 } else { KEPT_S })
}

/// The oldest files behind `after` that were taken out of the tree at `newest` or before.
pub(super) fn over(
    tx: &ReadTx,
    after: Sequence,
    newest: Option<u64>,
) -> Result<Vec<(Sequence, Quarantined)>, StoreError> {
    let mut files = Vec::new();
    let Some(newest) = newest else { return Ok(files) };
    let rest = (Bound::Excluded(after), Bound::Unbounded);
    tx.scan_range(&schema::QUARANTINE.raw(), rest, |sequence, Raw(row)| {
        // Its file gets another row at the next start.
        let Some(file) = Quarantined::decode(&row) else { return ControlFlow::Continue(()) };
        if file.since.0 > newest {
            return ControlFlow::Break(());
        }
        files.push((sequence, file));
        if files.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(files)
}

fn forget(tx: &WriteTx<'_>, files: &[(Sequence, Quarantined)]) -> Result<u64, RegistryError> {
    let mut freed = 0;
    for (sequence, file) in files {
        if tx.delete(&schema::QUARANTINE, *sequence)? {
            freed += file.size;
        }
    }
    Ok(freed)
}

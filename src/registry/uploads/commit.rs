//! Commits a blob: its file in place, then the sync barrier, then the row, under the digest's lock.

use std::sync::Arc;

use super::rows;
use crate::access::{Grant, Push};
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{RepoName, UploadId};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::locks::DigestGuard;
use crate::registry::promises::Promises;
use crate::registry::{Registry, links, repositories};
use crate::store::blob::{Placed, Sealed};
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Change, Tx as _, WriteTx};

/// A blob that is verified and in its place, but has no row yet.
pub(super) struct Unrecorded {
    pub(super) id: UploadId,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) row: bool,
    pub(super) name: RepoName,
    pub(super) placed: Placed,
    /// With a planted fault: the file that is moved to its place only after the commit.
    pub(super) late: Option<Sealed>,
    /// The digest's lock, held since before the file was moved.
    pub(super) lock: DigestGuard,
}

impl Registry {
    /// Writes the row of a blob.
    pub(super) async fn commit(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        mut blob: Unrecorded,
    ) -> Result<(), RegistryError> {
        let grant = grant.carry();
        let (barrier, late) = (blob.placed.barrier, blob.late.take());
        // The lock moves into the change: it is released after the commit, not when this future is dropped.
        let promises = Arc::clone(&self.promises);
        let run = move |tx: &WriteTx<'_>| {
            let _held = &blob.lock;
            record(tx, &grant, &blob, &promises)
        };
        let committed = self.meta.change(Change::after(barrier), run).await;
        if let Some(late) = late {
            let blobs = Arc::clone(&self.blobs);
            self.blocking(move || blobs.put(late)).await??;
        }
        committed
    }
}

fn record(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    new: &Unrecorded,
    promises: &Promises,
) -> Result<(), RegistryError> {
    let repository = repositories::ensure(tx, grant)?;
    links::fits(tx, repository, &new.digest, new.size)?;
    let old = tx.get(&schema::BLOB, &new.digest)?;
    let blob = Blob {
        size: new.size,
        state: BlobState::Present,
        generation: old.as_ref().map_or(1, |old| old.generation + 1),
        verified: new.placed.stamp,
        stored_ms: tx.now().wall_ms,
        free_since: old.as_ref().and_then(|old| old.free_since),
        users: old.as_ref().map_or(0, |old| old.users),
    };
    tx.put(&schema::BLOB, &new.digest, &blob)?;
    if old.is_none() {
        let mut disk = DiskChange::default();
        disk.stored(new.size);
        disk.write(tx)?;
    }
    links::attach(tx, repository, &new.digest, (links::Attached::Uploaded, promises))?;
    if new.row {
        rows::delete(tx, new.id)?;
    }
    let kind = EventKind::BlobPushed { repository: new.name.clone(), digest: new.digest, size: new.size };
    Ok(tx.record(grant.caller().actor(), kind)?)
}

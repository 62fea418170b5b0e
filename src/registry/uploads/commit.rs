//! The commit of a blob: rename, directory sync, row, in this order, under the digest's lock.

use std::sync::Arc;

use super::finish::publish;
use super::rows;
use crate::access::{Grant, Push};
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::RepoName;
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::links;
use crate::registry::locks::DigestGuard;
use crate::registry::repositories;
use crate::store::blob::{Shard, Stamp};
use crate::store::meta::Change;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::schema;
use crate::store::meta::schema::{Blob, BlobState};

/// A file that is verified, durable and in its place.
pub(super) struct Sealed {
    pub(super) id: UploadId,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) row: bool,
    pub(super) name: RepoName,
    /// What it looks like in its place.
    pub(super) stamp: Stamp,
    /// The digest's lock, held from before the rename.
    pub(super) lock: DigestGuard,
}

impl Registry {
    /// Records a sealed file.
    pub(super) async fn commit(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        sealed: Sealed,
    ) -> Result<(), RegistryError> {
        let grant = grant.carry();
        let shards = vec![Shard::of(&sealed.digest)];
        // The lock travels with the change: it ends after the commit, not when this future does.
        let (blobs, id, digest) = (Arc::clone(&self.blobs), sealed.id, sealed.digest);
        let run = move |tx: &WriteTx<'_>| {
            let _held = &sealed.lock;
            record(tx, &grant, &sealed)
        };
        let committed = self.meta.change(Change::after(shards), run).await;
        if cfg!(feature = "mutant-commit-first") {
            self.blocking(move || publish(blobs.as_ref(), id, &digest)).await??;
        }
        committed
    }
}

fn record(tx: &WriteTx<'_>, grant: &Grant<Push>, sealed: &Sealed) -> Result<(), RegistryError> {
    let repository = repositories::ensure(tx, grant)?;
    links::fits(tx, repository, &sealed.digest, sealed.size)?;
    let old = tx.get(&schema::BLOB, &sealed.digest)?;
    let blob = Blob {
        size: sealed.size,
        state: BlobState::Present,
        generation: old.as_ref().map_or(1, |old| old.generation + 1),
        verified: sealed.stamp,
        stored_ms: tx.now().wall_ms,
        free_since: old.as_ref().and_then(|old| old.free_since),
        users: old.as_ref().map_or(0, |old| old.users),
    };
    tx.put(&schema::BLOB, &sealed.digest, &blob)?;
    if old.is_none() {
        let mut disk = DiskChange::default();
        disk.stored(sealed.size);
        disk.write(tx)?;
    }
    links::attach(tx, repository, &sealed.digest)?;
    if sealed.row {
        rows::delete(tx, sealed.id)?;
    }
    let kind =
        EventKind::BlobPushed { repository: sealed.name.clone(), digest: sealed.digest, size: sealed.size };
    Ok(tx.record(grant.caller().actor(), kind)?)
}

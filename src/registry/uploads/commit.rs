//! The commit of a blob: rename, directory sync, row, in this order, under the digest's lock.

use std::sync::Arc;

use crate::auth::{Grant, Push};
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::RepoName;
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::events;
use crate::registry::links;
use crate::registry::repositories;
use crate::store::blob::{Shard, Stamp};
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::{Blob, BlobState};
use crate::store::meta::tables;

/// A staged file that is verified and durable.
pub(super) struct Sealed {
    pub(super) id: UploadId,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) row: bool,
    pub(super) name: RepoName,
}

impl Registry {
    /// Puts a sealed file in its place and records it. Content that is there already is replaced: that heals damage
    /// nobody has noticed yet, and costs a rename.
    pub(super) async fn commit(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        sealed: Sealed,
    ) -> Result<(), RegistryError> {
        let lock = self.locks.lock(&sealed.digest).await;
        let (blobs, id, digest) = (Arc::clone(&self.blobs), sealed.id, sealed.digest);
        let publish = move || {
            blobs.publish(id, &digest)?;
            let stamp = blobs.open(&digest)?.map(|file| file.stamp());
            Ok::<_, RegistryError>(stamp.unwrap_or_default())
        };
        #[cfg(not(feature = "mutant-commit-first"))]
        let stamp = self.blocking(publish).await??;
        #[cfg(feature = "mutant-commit-first")]
        let stamp = Stamp::default();
        let grant = grant.carry();
        let shards = vec![Shard::of(&digest)];
        // The lock travels with the change: it ends after the commit, not when this future does.
        let change = move |tx: &WriteTx<'_>| {
            let _held = &lock;
            record(tx, &grant, &sealed, stamp)
        };
        let committed = self.meta.write_after(shards, 0, change).await;
        #[cfg(feature = "mutant-commit-first")]
        self.blocking(publish).await??;
        committed
    }
}

fn record(tx: &WriteTx<'_>, grant: &Grant<Push>, sealed: &Sealed, stamp: Stamp) -> Result<(), RegistryError> {
    let repository = repositories::ensure(tx, grant)?;
    let key = sealed.digest.key();
    let old = tx.get(&tables::BLOB, &key[..])?;
    let blob = Blob {
        size: sealed.size,
        state: BlobState::Present,
        generation: old.as_ref().map_or(1, |old| old.generation + 1),
        verified: stamp,
        stored_ms: tx.now().wall_ms,
        free_since: old.and_then(|old| old.free_since),
    };
    tx.put(&tables::BLOB, &key[..], &blob)?;
    links::attach(tx, repository, &sealed.digest)?;
    if sealed.row {
        tx.delete(&tables::UPLOAD, &sealed.id.bytes()[..])?;
    }
    let kind =
        EventKind::BlobPushed { repository: sealed.name.clone(), digest: sealed.digest, size: sealed.size };
    Ok(events::record(tx, grant.caller(), kind)?)
}

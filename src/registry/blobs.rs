//! Blobs in a repository: reading, mounting and deleting them.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::content::BlobContent;
use super::error::RegistryError;
use super::promises::Promises;
use super::{Registry, links, repositories};
use crate::access::{Delete, Grant, Pull, Push};
use crate::model::audit::AuditAction;
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{RepoId, RepoName};
use crate::store::meta::schema::{self, Blob, BlobState, Link};
use crate::store::meta::{Change, ReadTx, StoreError, Tx, WriteTx};

/// The most repositories that an anonymous mount looks at. A blob that is in more is found in one of the
/// first.
const MOUNT_SOURCES: usize = 64;

impl Registry {
    /// The size of a blob of the repository. The response promises that the blob stays for a while, because a
    /// client may skip its upload.
    pub async fn blob_size(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let freeings = self.promises.freeings();
        let (link, blob) = self.visible_blob(grant, digest)?;
        self.renew_promise(grant, digest, &link).await?;
        self.note_promise(grant, digest, freeings).await?;
        Ok(blob.size)
    }

    /// Notes that a client is about to be told that the blob exists. `freeings` was read before the blob was
    /// looked for.
    async fn note_promise(
        &self,
        grant: &Grant<Pull>,
        digest: &Digest,
        freeings: u64,
    ) -> Result<(), RegistryError> {
        let Some(repository) = grant.repository() else { return Ok(()) };
        let digest = *digest;
        self.keep_promise((repository, digest), freeings, move |tx| {
            links::visible(tx, repository, &digest)?.ok_or(RegistryError::BlobUnknown(digest)).map(drop)
        })
        .await
    }

    /// Notes a promise that is about to be given. `freeings` was read before the content was looked for. If
    /// content is being removed at present that may have been promised, only the writer knows whether this is
    /// still there: `look` says so.
    pub(super) async fn keep_promise(
        &self,
        (repository, digest): (RepoId, Digest),
        freeings: u64,
        look: impl Fn(&WriteTx<'_>) -> Result<(), RegistryError> + Send + 'static,
    ) -> Result<(), RegistryError> {
        self.promises.note(repository, &digest, self.meta.clock().now().running_s);
        if freeings.is_multiple_of(2) && freeings == self.promises.freeings() {
            return Ok(());
        }
        let promises = Arc::clone(&self.promises);
        let looked = self.meta.change(Change::that_frees(), move |tx| {
            look(tx)?;
            promises.note(repository, &digest, tx.now().running_s);
            Ok(())
        });
        looked.await
    }

    /// Opens a blob of the repository for reading.
    pub async fn open_blob(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        digest: &Digest,
    ) -> Result<BlobContent, RegistryError> {
        let (link, blob) = self.visible_blob(grant, digest)?;
        match self.renew_promise(grant, digest, &link).await {
            // A client that reads the blob does not skip an upload, so a pull succeeds even if the promise
            // cannot be written.
            Ok(()) | Err(RegistryError::Store(_)) => {}
            Err(error) => return Err(error),
        }
        BlobContent::open(self, digest, &blob).await
    }

    fn visible_blob(&self, grant: &Grant<Pull>, digest: &Digest) -> Result<(Link, Blob), RegistryError> {
        let repository = grant.repository().ok_or(RegistryError::BlobUnknown(*digest))?;
        self.meta.get(|tx| links::visible(tx, repository, digest))?.ok_or(RegistryError::BlobUnknown(*digest))
    }

    async fn renew_promise(
        &self,
        grant: &Grant<Pull>,
        digest: &Digest,
        link: &Link,
    ) -> Result<(), RegistryError> {
        let promise_s = self.limits.load().promise_s;
        let now = self.meta.clock().now();
        let (true, Some(repository)) =
            (links::promise_is_due(link, now.running_s, promise_s), grant.repository())
        else {
            return Ok(());
        };
        let digest = *digest;
        let renewed = self
            .meta
            .write(move |tx| match links::visible(tx, repository, &digest)? {
                Some(_) => links::promise(tx, repository, &digest, promise_s).map_err(RegistryError::from),
                None => Err(RegistryError::BlobUnknown(digest)),
            })
            .await;
        match renewed {
            // The disk takes no writes, so no push can rely on the promise until it takes them again.
            Err(
                RegistryError::DiskFull
                | RegistryError::ReadOnly
                | RegistryError::Store(StoreError::Displaced),
            ) => Ok(()),
            renewed => renewed,
        }
    }

    /// Links a blob of another repository, in which the caller may read it, to this repository; false if that
    /// repository does not have it. One transaction reads the source and writes the target.
    pub async fn mount(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        digest: &Digest,
        from: &Grant<Pull>,
    ) -> Result<bool, RegistryError> {
        let (registry, grant, from, digest) = (Arc::clone(self), grant.carry(), from.carry(), *digest);
        let promises = Arc::clone(&self.promises);
        self.detached(async move {
            let lock = registry.locks.lock(&digest).await;
            let change = move |tx: &WriteTx<'_>| {
                let _held = &lock;
                mount(tx, &grant, &digest, &from, &promises)
            };
            registry.meta.write(change).await
        })
        .await
    }

    /// Repositories that have a blob, for a mount without a source. The caller's rights are checked on each
    /// before it is returned.
    pub async fn mount_sources(
        &self,
        grant: &Grant<Push>,
        digest: &Digest,
    ) -> Result<Vec<RepoName>, RegistryError> {
        let digest = *digest;
        let read = move |tx: &ReadTx| Ok(holders(tx, &digest, MOUNT_SOURCES)?);
        let names = self.scan(&grant.caller().holder(), read).await?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes a blob from the repository. Other repositories keep it, and the file stays until it is
    /// collected.
    pub async fn delete_blob(&self, grant: &Grant<Delete>, digest: &Digest) -> Result<(), RegistryError> {
        let (grant, digest) = (grant.carry(), *digest);
        self.meta.change(Change::that_frees(), move |tx| delete(tx, &grant, &digest)).await
    }

    /// Records that the stored bytes of a blob do not match its digest. From then on the blob is reported as
    /// absent, so that clients push it again. If it was pushed again meanwhile, its `generation` differs and
    /// nothing changes.
    pub(super) async fn mark_corrupt(&self, digest: &Digest, generation: u32, found: &str) {
        tracing::error!(%digest, found, "a blob is damaged; it is hidden until it is pushed again");
        let digest = *digest;
        let marked = self
            .meta
            .write(move |tx| match tx.get(&schema::BLOB, &digest)? {
                Some(blob) if blob.generation == generation && blob.state == BlobState::Present => {
                    tx.put(&schema::BLOB, &digest, &Blob { state: BlobState::Corrupt, ..blob })
                }
                _ => Ok(()),
            })
            .await;
        if let Err(error) = marked {
            tracing::error!(%digest, %error, "the damage could not be recorded");
        }
    }
}

fn mount(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    digest: &Digest,
    from: &Grant<Pull>,
    promises: &Promises,
) -> Result<bool, RegistryError> {
    grant.recheck(tx)??;
    if from.recheck(tx)?.is_err() {
        return Ok(false);
    }
    let Some(source) = tx.get(&schema::REPOSITORY_NAME, from.name().as_str())? else { return Ok(false) };
    let Some((_, blob)) = links::visible(tx, source, digest)? else {
        return Ok(false);
    };
    let repository = repositories::ensure(tx, grant)?;
    links::fits(tx, repository, digest, blob.size)?;
    links::attach(tx, repository, digest, (links::Attached::Mounted, promises))?;
    let kind = EventKind::BlobMounted {
        repository: grant.name().clone(),
        from: Some(from.name().clone()),
        digest: *digest,
        size: blob.size,
    };
    tx.record(grant.caller().actor(), kind)?;
    Ok(true)
}

fn delete(tx: &WriteTx<'_>, grant: &Grant<Delete>, digest: &Digest) -> Result<(), RegistryError> {
    let repository = repositories::existing(tx, grant)?;
    let link = tx
        .get(&schema::LINK, (repository, digest))?
        .filter(|link| link.present && !link.hidden)
        .ok_or(RegistryError::BlobUnknown(*digest))?;
    if link.references > 0 {
        return Err(RegistryError::BlobReferenced(*digest));
    }
    if link.trash_references > 0 {
        tx.put(&schema::LINK, (repository, digest), &Link { hidden: true, ..link })?;
    } else {
        links::detach(tx, repository, digest, &link)?;
    }
    let kind = EventKind::BlobDeleted { repository: grant.name().clone(), digest: *digest };
    tx.record(grant.caller().actor(), kind)?;
    tx.audit(grant.caller().actor(), AuditAction::BlobDelete, format!("{}@{digest}", grant.name()))?;
    repositories::remove_if_empty(tx, repository, grant.caller().actor())?;
    Ok(())
}

/// Names of up to `limit` repositories that hold a blob.
pub(super) fn holders(tx: &impl Tx, digest: &Digest, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    tx.scan_prefix(&schema::BLOB_LINK, digest, |repository, ()| {
        ids.push(repository);
        if ids.len() < limit * 16 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut names = Vec::new();
    for id in ids {
        // Those in the trash have no name, and do not count.
        names.extend(repositories::name(tx, id)?);
        if names.len() == limit {
            break;
        }
    }
    Ok(names)
}

//! Deleting manifests and tags.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::access::{Delete, Grant};
use crate::model::audit::AuditAction;
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{Reference, RepoId, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::{Registry, links, repositories, tags, usage};
use crate::store::meta::schema::{self, Manifest};
use crate::store::meta::{Change, StoreError, Tx as _, WriteTx};

/// Manifests or blobs that one transaction removes from a repository that is being deleted.
const SLICE: usize = 256;
/// Tags that are deleted in one transaction with their manifest, and reported in one event. A tag has about
/// ten rows.
pub(in crate::registry) const TAGS_AT_ONCE: usize = 256;

impl Registry {
    /// Deletes a tag, or a manifest with every tag that points to it. Referrers of the manifest stay listed.
    /// Many tags are deleted in slices before the manifest: after a stop in between the manifest has fewer
    /// tags, and deleting it again continues.
    pub async fn delete_manifest(
        self: &Arc<Self>,
        grant: &Grant<Delete>,
        reference: Reference,
    ) -> Result<(), RegistryError> {
        let digest = match reference {
            Reference::Tag(tag) => return self.delete_tag(grant, tag).await,
            Reference::Digest(digest) => digest,
        };
        self.in_slices(grant, move |tx, grant| {
            let repository = repositories::existing(tx, grant)?;
            let slice = delete_from(tx, grant, repository, &digest)?;
            if slice.is_break() {
                repositories::remove_if_empty(tx, repository, grant.caller().actor())?;
            }
            Ok(slice)
        })
        .await
    }

    async fn delete_tag(&self, grant: &Grant<Delete>, tag: Tag) -> Result<(), RegistryError> {
        let grant = grant.carry();
        let delete = move |tx: &WriteTx<'_>| {
            let repository = repositories::existing(tx, &grant)?;
            tags::delete(tx, repository, &tag, grant.caller())?
                .ok_or_else(|| RegistryError::ManifestUnknown(tag.to_string()))?;
            tx.audit(grant.caller().actor(), AuditAction::TagDelete, format!("{}:{tag}", grant.name()))?;
            Ok(())
        };
        self.meta.change(Change::that_frees(), delete).await
    }

    /// Deletes everything in a repository: manifests and tags in slices, then its links to blobs. The
    /// repository itself is removed with the last of them. After a stop in between, deleting it again
    /// continues.
    pub async fn delete_repository(self: &Arc<Self>, grant: &Grant<Delete>) -> Result<(), RegistryError> {
        self.in_slices(grant, delete_slice).await
    }

    /// Runs transactions until one returns a break, whether or not the client waits.
    async fn in_slices(
        self: &Arc<Self>,
        grant: &Grant<Delete>,
        slice: impl Fn(&WriteTx<'_>, &Grant<Delete>) -> Result<ControlFlow<()>, RegistryError>
        + Send
        + Sync
        + 'static,
    ) -> Result<(), RegistryError> {
        let (registry, slice) = (Arc::clone(self), Arc::new((grant.carry(), slice)));
        self.detached(async move {
            loop {
                let job = Arc::clone(&slice);
                if registry.meta.change(Change::that_frees(), move |tx| (job.1)(tx, &job.0)).await?.is_break()
                {
                    return Ok(());
                }
            }
        })
        .await
    }
}

fn delete_slice(tx: &WriteTx<'_>, grant: &Grant<Delete>) -> Result<ControlFlow<()>, RegistryError> {
    let repository = repositories::existing(tx, grant)?;
    let mut manifests = Vec::new();
    tx.scan_prefix(&schema::MANIFEST.keys(), repository, |digest, _| {
        manifests.push(digest);
        if manifests.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for digest in &manifests {
        // A manifest that still has tags, and those after it, are left for the next transaction.
        if delete_from(tx, grant, repository, digest)?.is_continue() || tx.is_full() {
            break;
        }
    }
    if !manifests.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut links = Vec::new();
    tx.scan_prefix(&schema::LINK, repository, |digest, link| {
        links.extend(digest.known().filter(|_| link.references == 0).map(|digest| (digest, link)));
        if links.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for (digest, link) in &links {
        links::detach(tx, repository, digest, link)?;
    }
    if links.len() == SLICE {
        return Ok(ControlFlow::Continue(()));
    }
    tx.audit(grant.caller().actor(), AuditAction::RepositoryDelete, grant.name().to_string())?;
    repositories::remove_if_empty(tx, repository, grant.caller().actor())?;
    Ok(ControlFlow::Break(()))
}

/// Deletes a manifest with its tags, or only the first slice of very many tags.
pub(in crate::registry) fn delete_from(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
    digest: &Digest,
) -> Result<ControlFlow<()>, RegistryError> {
    let row = tx
        .get(&schema::MANIFEST, (repository, digest))?
        .ok_or_else(|| RegistryError::ManifestUnknown(digest.to_string()))?;
    let mut tags = tags::of(tx, repository, digest, TAGS_AT_ONCE + 1)?;
    let is_last = tags.len() <= TAGS_AT_ONCE;
    tags.truncate(TAGS_AT_ONCE);
    tags::delete_all(tx, repository, digest, &tags, grant.caller())?;
    let name = grant.name().clone();
    if !is_last {
        tx.record(
            grant.caller().actor(),
            EventKind::TagsDeleted { repository: name, tags, digest: *digest },
        )?;
        return Ok(ControlFlow::Continue(()));
    }
    drop_rows(tx, repository, digest, &row)?;
    let kind = EventKind::ManifestDeleted { repository: name, digest: *digest, tags };
    tx.record(grant.caller().actor(), kind)?;
    tx.audit(grant.caller().actor(), AuditAction::ManifestDelete, format!("{}@{digest}", grant.name()))?;
    Ok(ControlFlow::Break(()))
}

/// Removes a manifest's own rows and its counts. Its tags were deleted before.
pub(in crate::registry) fn drop_rows(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    row: &Manifest,
) -> Result<(), StoreError> {
    let mut disk = DiskChange::default();
    for blob in &row.blobs {
        links::unreference(tx, repository, blob, &mut disk)?;
    }
    disk.write(tx)?;
    for child in &row.children {
        tx.delete(&schema::PARENT, (repository, child, digest))?;
    }
    if let Some(subject) = &row.subject {
        tx.delete(&schema::REFERRER, (repository, subject, digest))?;
    }
    tx.delete(&schema::MANIFEST, (repository, digest))?;
    tx.delete(&schema::PULLS, (repository, digest))?;
    tx.delete(&schema::MANIFEST_REPO, (digest, repository))?;
    if !tx.any(&schema::MANIFEST_REPO, digest)? {
        tx.delete(&schema::MANIFEST_BODY, digest)?;
    }
    usage::change(tx, repository, |usage| {
        usage.manifests -= 1;
        usage.manifest_bytes -= row.size;
    })?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &tx.next_sequence())?;
    if !tx.any(&schema::MANIFEST, repository)?
        && let Some(repository) = tx.get(&schema::REPOSITORY, repository)?
    {
        tx.delete(&schema::CATALOG, repository.name.as_str())?;
    }
    Ok(())
}

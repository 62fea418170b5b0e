//! Deleting manifests and tags.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::{Delete, Grant};
use crate::model::audit::AuditAction;
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{Reference, RepoId, Sequence, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::{Below, Registry, links, repositories, tags, trash, usage};
use crate::store::meta::schema::{self, Manifest, TrashKind};
use crate::store::meta::{Change, StoreError, Tx as _, WriteTx};

/// Manifests or blobs that one transaction removes from a repository that is being deleted.
const SLICE: usize = 256;
/// Tags that are deleted in one transaction with their manifest, and reported in one event. A tag has about
/// ten rows.
pub(in crate::registry) const TAGS_AT_ONCE: usize = 256;

impl Registry {
    /// Deletes a tag, or moves a manifest with every tag that points to it to the trash. Many tags go in
    /// slices before the manifest: after a stop in between the manifest has fewer tags, and deleting it again
    /// continues.
    pub async fn delete_manifest(
        self: &Arc<Self>,
        grant: &Grant<Delete>,
        reference: Reference,
        below: Below,
    ) -> Result<(), RegistryError> {
        let digest = match reference {
            Reference::Tag(tag) => return self.delete_tag(grant, tag).await,
            Reference::Digest(digest) => digest,
        };
        let trashes = self.trash_s() > 0;
        // All slices have one entry. It is not there when the transaction that made it was not committed.
        let entry = AtomicU64::new(0);
        self.in_slices(grant, move |tx, grant| {
            let repository = repositories::existing(tx, grant)?;
            let row = tx
                .get(&schema::MANIFEST, (repository, &digest))?
                .ok_or_else(|| RegistryError::ManifestUnknown(digest.to_string()))?;
            let fate = if trashes {
                let mut known = Sequence(entry.load(Ordering::Acquire));
                if !tx.has(&schema::TRASH, known)? {
                    let what = (TrashKind::Manifest, Some(digest), row.content_bytes);
                    known = trash::start(tx, grant, repository, None, what)?;
                    entry.store(known.0, Ordering::Release);
                }
                Fate::Trash(known, below)
            } else {
                // What is in the trash already still needs its manifests.
                let needed = trash::needed_by(tx, (repository, &digest), |_| true)?;
                needed.map_or(Fate::Gone, Fate::Needed)
            };
            let slice = delete_from(tx, grant, repository, (&digest, row), fate)?;
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

    /// Moves a repository to the trash. Without a trash and without deletions in it, or without content, its
    /// content goes: manifests and tags in slices, then its links to blobs. The repository itself is removed
    /// with the last of them. After a stop in between, deleting it again continues.
    pub async fn delete_repository(self: &Arc<Self>, grant: &Grant<Delete>) -> Result<(), RegistryError> {
        let trashes = self.trash_s() > 0;
        self.in_slices(grant, move |tx, grant| {
            let repository = repositories::existing(tx, grant)?;
            let holds = tx.any(&schema::LINK, repository)? || tx.any(&schema::MANIFEST, repository)?;
            // What is in the trash already goes there with its repository.
            if trashes && holds || tx.any(&schema::TRASH_BY_REPOSITORY, repository)? {
                trash::discard_repository(tx, grant, repository)?;
                return Ok(ControlFlow::Break(()));
            }
            delete_slice(tx, grant, repository)
        })
        .await
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

pub(in crate::registry) fn delete_slice(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
) -> Result<ControlFlow<()>, RegistryError> {
    let mut manifests = Vec::new();
    tx.scan_prefix(&schema::MANIFEST.keys(), repository, |digest, _| {
        manifests.push(digest);
        if manifests.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for digest in &manifests {
        let Some(row) = tx.get(&schema::MANIFEST, (repository, digest))? else { continue };
        // A manifest that still has tags, and those after it, are left for the next transaction.
        if delete_from(tx, grant, repository, (digest, row), Fate::Gone)?.is_continue() || tx.is_full() {
            break;
        }
    }
    if !manifests.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut links = Vec::new();
    tx.scan_prefix(&schema::LINK, repository, |digest, link| {
        let is_free = link.references == 0 && link.trash_references == 0;
        links.extend(digest.known().filter(|_| is_free).map(|digest| (digest, link)));
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

/// What becomes of a manifest that is deleted.
#[derive(Clone, Copy)]
enum Fate {
    /// It is removed.
    Gone,
    /// It moves to this entry of the trash, with its tags.
    Trash(Sequence, Below),
    /// This entry of the trash needs it, and its tags are gone.
    Needed(Sequence),
}

/// Deletes a manifest with its tags, or only the first slice of very many tags.
fn delete_from(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
    (digest, row): (&Digest, Manifest),
    fate: Fate,
) -> Result<ControlFlow<()>, RegistryError> {
    let mut tags = tags::of(tx, repository, digest, TAGS_AT_ONCE + 1)?;
    let is_last = tags.len() <= TAGS_AT_ONCE;
    tags.truncate(TAGS_AT_ONCE);
    if let Fate::Trash(entry, _) = fate {
        trash::keep_tags(tx, entry, repository, &tags)?;
    }
    tags::delete_all(tx, repository, digest, &tags, grant.caller())?;
    let name = grant.name().clone();
    if !is_last {
        tx.record(
            grant.caller().actor(),
            EventKind::TagsDeleted { repository: name, tags, digest: *digest },
        )?;
        return Ok(ControlFlow::Continue(()));
    }
    match fate {
        Fate::Gone => drop_rows(tx, repository, digest, &row)?,
        Fate::Trash(entry, below) => trash::move_in(tx, (repository, digest), row, (entry, below))?,
        Fate::Needed(entry) => trash::move_in(tx, (repository, digest), row, (entry, Below::Stays))?,
    }
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
    leave(tx, (repository, digest), row.size)?;
    tx.delete(&schema::MANIFEST_REPO, (digest, repository))?;
    tx.delete(&schema::PULLS, (repository, digest))?;
    drop_body(tx, digest)
}

/// Removes a manifest from its repository, with its counts there.
pub(in crate::registry) fn leave(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    size: u64,
) -> Result<(), StoreError> {
    tx.delete(&schema::MANIFEST, (repository, digest))?;
    usage::change(tx, repository, |usage| {
        usage.manifests -= 1;
        usage.manifest_bytes -= size;
    })?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &tx.next_sequence())?;
    if !tx.any(&schema::MANIFEST, repository)?
        && let Some(row) = tx.get(&schema::REPOSITORY, repository)?
        // The name of a repository in the trash may be that of another one.
        && tx.get(&schema::REPOSITORY_NAME, row.name.as_str())? == Some(repository)
    {
        tx.delete(&schema::CATALOG, row.name.as_str())?;
    }
    Ok(())
}

/// Removes the body of a manifest that neither a repository nor the trash has any more.
pub(in crate::registry) fn drop_body(tx: &WriteTx<'_>, digest: &Digest) -> Result<(), StoreError> {
    if !tx.any(&schema::MANIFEST_REPO, digest)? {
        tx.delete(&schema::MANIFEST_BODY, digest)?;
    }
    Ok(())
}

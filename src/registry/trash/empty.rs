//! Removing what was deleted for good.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{content, end, following, forget, name_of, needed_by, tags as tags_of};
use crate::access::{Grant, ManageTrash};
use crate::model::audit::{Actor, AuditAction};
use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence, Tag};
use crate::registry::error::RegistryError;
use crate::registry::manifests::{drop_body, drop_rows};
use crate::registry::{Registry, links, repositories, tags};
use crate::store::meta::schema::{self, TrashKind, Trashed, TrashedManifest};
use crate::store::meta::{Change, ReadTx, StoreError, Tx as _, WriteTx};

/// Rows that one transaction removes, about.
const ROWS: usize = 2_000;
/// Manifests or links that one transaction lists.
const SLICE: usize = 64;
/// Tags of a deletion that one transaction removes.
const TAGS_AT_ONCE: usize = 256;

impl Registry {
    /// Removes a deletion for good. Its blobs are garbage then. In slices: after a stop in between, emptying
    /// it again continues.
    pub async fn empty_trash_entry(
        self: &Arc<Self>,
        grant: &Grant<ManageTrash>,
        id: Sequence,
    ) -> Result<(), RegistryError> {
        let (registry, grant) = (Arc::clone(self), Arc::new(grant.carry()));
        self.detached(async move {
            let mut is_first = true;
            loop {
                let (server, grant) = (Arc::clone(&registry), Arc::clone(&grant));
                let work = move |tx: &WriteTx<'_>| {
                    grant.recheck(tx)??;
                    let Some(row) = tx.get(&schema::TRASH, id)? else {
                        let gone = RegistryError::TrashUnknown(id);
                        return if is_first { Err(gone) } else { Ok(Slice::Gone) };
                    };
                    match slice(tx, &server, id, grant.caller().actor())? {
                        Slice::Waits => Err(RegistryError::UploadsIntoTrash(row.name)),
                        done => Ok(done),
                    }
                };
                if matches!(registry.meta.change(Change::that_frees(), work).await?, Slice::Gone) {
                    return Ok(());
                }
                is_first = false;
            }
        })
        .await
    }
}

/// What a deletion was about, for the audit log.
fn target(tx: &WriteTx<'_>, row: &Trashed) -> Result<String, StoreError> {
    let name = name_of(tx, row)?;
    Ok(match (&row.tag, &row.digest) {
        (Some(tag), _) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => name,
    })
}

/// The oldest entry after another one that was deleted at this running second or before.
pub(in crate::registry) fn oldest(
    tx: &ReadTx,
    after: Option<Sequence>,
    newest_s: u64,
) -> Result<Option<(Sequence, Option<Trashed>)>, StoreError> {
    let next = following(tx, after)?;
    Ok(next.filter(|(_, row)| row.as_ref().is_none_or(|row| row.since.0 <= newest_s)))
}

/// How far a deletion is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Slice {
    /// There is more of it.
    More,
    /// It is gone.
    Gone,
    /// Nothing was removed: an upload to the repository is under way, and its row needs the repository.
    Waits,
}

/// Removes a part of a deletion. From the first part on it cannot be restored any more.
pub(in crate::registry) fn slice(
    tx: &WriteTx<'_>,
    registry: &Registry,
    id: Sequence,
    actor: Actor<'_>,
) -> Result<Slice, StoreError> {
    let Some(row) = tx.get(&schema::TRASH, id)? else { return Ok(Slice::Gone) };
    if row.kind == TrashKind::Repository && registry.has_uploads(tx, row.repository)? {
        return Ok(Slice::Waits);
    }
    let row = begin(tx, id, row, actor)?;
    let left = match row.kind {
        TrashKind::Repository => repository(tx, id, row.repository, actor)?,
        TrashKind::Tag | TrashKind::Manifest => manifests(tx, id, row.repository)?,
    };
    if left.is_continue() {
        return Ok(Slice::More);
    }
    finish(tx, id, &row)?;
    Ok(Slice::Gone)
}

/// Notes that a deletion is being removed.
fn begin(tx: &WriteTx<'_>, id: Sequence, row: Trashed, actor: Actor<'_>) -> Result<Trashed, StoreError> {
    if row.emptying {
        return Ok(row);
    }
    let row = Trashed { emptying: true, ..row };
    tx.put(&schema::TRASH, id, &row)?;
    tx.audit(actor, AuditAction::TrashEmpty, target(tx, &row)?)?;
    Ok(row)
}

/// Removes the entry itself, and its repository with the last thing in it.
fn finish(tx: &WriteTx<'_>, id: Sequence, row: &Trashed) -> Result<(), StoreError> {
    end(tx, id, row)?;
    if row.kind != TrashKind::Repository {
        // What the entry held in the repository is looked at again.
        tx.put(&schema::DIRTY_REPOSITORY, row.repository, &tx.next_sequence())?;
    }
    repositories::remove_if_empty(tx, row.repository, Actor::SYSTEM)
}

/// Removes the tags of a deletion, then its manifests. What another deletion needs becomes part of that one.
fn manifests(tx: &WriteTx<'_>, id: Sequence, repository: RepoId) -> Result<ControlFlow<()>, StoreError> {
    let tags = tags_of(tx, id, TAGS_AT_ONCE)?;
    for tag in &tags {
        tx.delete(&schema::TRASH_TAG, (id, tag.as_str()))?;
    }
    if tags.len() == TAGS_AT_ONCE {
        return Ok(ControlFlow::Continue(()));
    }
    let (digests, mut rows) = (content(tx, id, SLICE)?, 0);
    for digest in &digests {
        if rows >= ROWS {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(trashed) = tx.get(&schema::TRASH_MANIFEST, (repository, digest))? else {
            tx.delete(&schema::TRASH_CONTENT, (id, digest))?;
            continue;
        };
        rows += 1 + trashed.manifest.blobs.len() + trashed.manifest.children.len();
        match needed_by(tx, (repository, digest), |entry| entry != id)? {
            Some(entry) => {
                tx.delete(&schema::TRASH_CONTENT, (id, digest))?;
                tx.put(&schema::TRASH_CONTENT, (entry, digest), &())?;
                let moved = TrashedManifest { entry, ..trashed };
                tx.put(&schema::TRASH_MANIFEST, (repository, digest), &moved)?;
            }
            None => remove(tx, (repository, digest), &trashed)?,
        }
    }
    Ok(if digests.len() == SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// Removes a manifest in the trash.
fn remove(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    trashed: &TrashedManifest,
) -> Result<(), StoreError> {
    for blob in &trashed.manifest.blobs {
        links::drop_from_trash(tx, repository, blob)?;
    }
    for child in &trashed.manifest.children {
        tx.delete(&schema::PARENT, (repository, child, digest))?;
    }
    forget(tx, (repository, digest), trashed)?;
    tx.delete(&schema::PULLS, (repository, digest))?;
    tx.delete(&schema::MANIFEST_REPO, (digest, repository))?;
    drop_body(tx, digest)
}

/// Removes a part of a repository in the trash: the older deletions in it, its manifests with their tags, and
/// its links.
fn repository(
    tx: &WriteTx<'_>,
    id: Sequence,
    repository: RepoId,
    actor: Actor<'_>,
) -> Result<ControlFlow<()>, StoreError> {
    let mut older = None;
    tx.scan_prefix(&schema::TRASH_BY_REPOSITORY, repository, |entry, ()| {
        older = (entry != id).then_some(entry);
        if older.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(older) = older {
        match tx.get(&schema::TRASH, older)? {
            Some(row) => {
                let row = begin(tx, older, row, actor)?;
                if manifests(tx, older, repository)?.is_break() {
                    finish(tx, older, &row)?;
                }
            }
            // An entry without its row is damage, and must not become an endless loop.
            None => {
                tx.delete(&schema::TRASH_BY_REPOSITORY, (repository, older))?;
            }
        }
        return Ok(ControlFlow::Continue(()));
    }
    let mut manifests = Vec::new();
    tx.scan_prefix(&schema::MANIFEST.keys(), repository, |digest, _| {
        manifests.push(digest);
        if manifests.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut rows = 0;
    for digest in &manifests {
        let Some(row) = tx.get(&schema::MANIFEST, (repository, digest))? else { continue };
        rows += 1 + row.blobs.len() + row.children.len();
        let tags: Vec<Tag> = tags::of(tx, repository, digest, TAGS_AT_ONCE)?;
        tags::forget_all(tx, repository, &tags)?;
        if tags.len() == TAGS_AT_ONCE {
            return Ok(ControlFlow::Continue(()));
        }
        drop_rows(tx, repository, digest, &row)?;
        if rows >= ROWS {
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
    Ok(if links.len() == SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

//! Moving what is deleted to the trash.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::has_repository;
use crate::access::{Delete, Grant};
use crate::model::audit::AuditAction;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::event::EventKind;
use crate::model::names::{Reference, RepoId, Sequence, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::manifests::leave;
use crate::registry::{Registry, links, repositories, tags};
use crate::store::meta::schema::{self, Manifest, TrashKind, Trashed, TrashedManifest};
use crate::store::meta::{Change, StoreError, Tx as _, WriteTx};

/// References of the manifests that one deletion moves, about. Manifests beyond them stay in the repository,
/// where the trash holds them: they go with the entry.
const REFERENCES: usize = 2_000;
/// Indexes that are looked at for one manifest that they list, at most. What more of them list stays.
const PARENTS: usize = 1_000;
/// Indexes that are listed at once: most often the first one is there.
const PARENTS_AT_ONCE: usize = 8;

/// What happens to the manifests below a deleted one: those that it lists, and those that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// They go with it, unless something else holds them.
    Goes,
    /// They stay.
    Stays,
}

impl Registry {
    /// Moves a tag to the trash and, when nothing else holds it, its manifest with everything below. Without
    /// a trash the tag is deleted, and its manifest stays.
    pub async fn discard_tag(self: &Arc<Self>, grant: &Grant<Delete>, tag: Tag) -> Result<(), RegistryError> {
        if self.trash_s() == 0 {
            return self.delete_manifest(grant, Reference::Tag(tag), Below::Stays).await;
        }
        let grant = grant.carry();
        let discard = move |tx: &WriteTx<'_>| {
            let repository = repositories::existing(tx, &grant)?;
            let row = tx
                .get(&schema::TAG, (repository, tag.as_str()))?
                .ok_or_else(|| RegistryError::ManifestUnknown(tag.to_string()))?;
            let what = (TrashKind::Tag, Some(row.digest), row.content_bytes);
            let entry = start(tx, &grant, repository, Some(&tag), what)?;
            keep_tags(tx, entry, repository, std::slice::from_ref(&tag))?;
            tags::delete(tx, repository, &tag, grant.caller())?;
            move_unheld(tx, repository, vec![row.digest], entry)?;
            tx.audit(grant.caller().actor(), AuditAction::TagDelete, format!("{}:{tag}", grant.name()))?;
            Ok(())
        };
        self.meta.change(Change::that_frees(), discard).await
    }
}

/// Makes the entry of a deletion.
pub(in crate::registry) fn start(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
    tag: Option<&Tag>,
    (kind, digest, bytes): (TrashKind, Option<Digest>, u64),
) -> Result<Sequence, StoreError> {
    let entry = tx.next_sequence();
    if let Some(digest) = &digest {
        tx.put(&schema::TRASH_ROOT, (repository, digest, entry), &())?;
    }
    let row = Trashed {
        kind,
        repository,
        name: grant.name().to_string(),
        tag: tag.map(ToString::to_string),
        digest,
        bytes,
        by: grant.caller().actor().name.to_owned(),
        at_ms: tx.now().wall_ms,
        since: tx.now().running_second(),
        emptying: false,
    };
    tx.put(&schema::TRASH, entry, &row)?;
    tx.put(&schema::TRASH_BY_REPOSITORY, (repository, entry), &())?;
    Ok(entry)
}

/// Keeps tags as they are now. The caller deletes them in the same transaction.
pub(in crate::registry) fn keep_tags(
    tx: &WriteTx<'_>,
    entry: Sequence,
    repository: RepoId,
    tags: &[Tag],
) -> Result<(), StoreError> {
    for tag in tags {
        let Some(row) = tx.get(&schema::TAG, (repository, tag.as_str()))? else { continue };
        tx.put(&schema::TRASH_TAG, (entry, tag.as_str()), &row)?;
    }
    Ok(())
}

/// Moves a manifest without a tag to the trash, and with [`Below::Goes`] what only it holds.
pub(in crate::registry) fn move_in(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    row: Manifest,
    (entry, below): (Sequence, Below),
) -> Result<(), StoreError> {
    let under = if below == Below::Goes { beneath(tx, (repository, digest), &row)? } else { Vec::new() };
    move_one(tx, (repository, digest), row, entry)?;
    move_unheld(tx, repository, under, entry)
}

/// Moves those of the manifests that nothing holds any more, with what only they hold, until that is enough
/// for one transaction.
fn move_unheld(
    tx: &WriteTx<'_>,
    repository: RepoId,
    mut waiting: Vec<Digest>,
    entry: Sequence,
) -> Result<(), StoreError> {
    let mut references = 0;
    while let Some(next) = waiting.pop().filter(|_| references < REFERENCES) {
        // What has moved already is not there any more; what a later one holds, too, is looked at again.
        let Some(row) = tx.get(&schema::MANIFEST, (repository, &next))? else { continue };
        references += 1;
        if is_held(tx, (repository, &next), &row)? {
            continue;
        }
        waiting.extend(beneath(tx, (repository, &next), &row)?);
        references += row.blobs.len() + row.children.len();
        move_one(tx, (repository, &next), row, entry)?;
    }
    Ok(())
}

/// Whether a tag, an index of the repository or the subject holds a manifest.
fn is_held(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    row: &Manifest,
) -> Result<bool, StoreError> {
    if tx.any(&schema::TAG_BY_DIGEST, (repository, digest))? {
        return Ok(true);
    }
    if let Some(subject) = row.subject.as_ref().and_then(AnyDigest::known)
        && tx.has(&schema::MANIFEST, (repository, &subject))?
    {
        return Ok(true);
    }
    let (mut looked_at, mut after): (usize, Option<Digest>) = (0, None);
    while looked_at < PARENTS {
        let mut parents = Vec::new();
        let rest = (after.as_ref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        tx.scan_within(&schema::PARENT.keys(), (repository, digest), rest, |parent, _| {
            parents.push(parent);
            if parents.len() < PARENTS_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for parent in &parents {
            if parent != digest && tx.has(&schema::MANIFEST, (repository, parent))? {
                return Ok(true);
            }
        }
        if parents.len() < PARENTS_AT_ONCE {
            return Ok(false);
        }
        looked_at += parents.len();
        after = parents.pop();
    }
    Ok(true)
}

/// What a manifest of the repository lists, and what refers to it.
fn beneath(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    row: &Manifest,
) -> Result<Vec<Digest>, StoreError> {
    let mut found: Vec<Digest> = row.children.iter().filter_map(AnyDigest::known).collect();
    let most = found.len() + REFERENCES;
    tx.scan_prefix(&schema::REFERRER.keys(), (repository, digest), |referrer, _| {
        found.push(referrer);
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// Moves one manifest, with its row as a referrer. Its body, what it lists and its pulls stay where they are.
fn move_one(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    row: Manifest,
    entry: Sequence,
) -> Result<(), StoreError> {
    let mut disk = DiskChange::default();
    for blob in &row.blobs {
        links::to_trash(tx, repository, blob, &mut disk)?;
    }
    disk.write(tx)?;
    if let Some(subject) = &row.subject
        && let Some(referrer) = tx.get(&schema::REFERRER, (repository, subject, digest))?
    {
        tx.delete(&schema::REFERRER, (repository, subject, digest))?;
        tx.put(&schema::TRASH_REFERRER, (repository, subject, digest), &referrer)?;
    }
    leave(tx, (repository, digest), row.size)?;
    tx.put(&schema::TRASH_CONTENT, (entry, digest), &())?;
    tx.put(&schema::TRASH_MANIFEST, (repository, digest), &TrashedManifest { entry, manifest: row })
}

/// Moves a repository to the trash: it loses its name, and keeps everything else.
pub(in crate::registry) fn discard_repository(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
) -> Result<(), RegistryError> {
    let usage = tx.get(&schema::USAGE_REPOSITORY, repository)?.unwrap_or_default();
    let bytes = usage.bytes.saturating_add(usage.manifest_bytes);
    debug_assert!(!has_repository(tx, repository)?, "a repository in the trash has no name");
    let entry = start(tx, grant, repository, None, (TrashKind::Repository, None, bytes))?;
    tx.put(&schema::TRASH_REPOSITORY, repository, &entry)?;
    tx.delete(&schema::REPOSITORY_NAME, grant.name().as_str())?;
    tx.delete(&schema::CATALOG, grant.name().as_str())?;
    let actor = grant.caller().actor();
    tx.record(actor, EventKind::RepositoryRemoved { repository: grant.name().clone() })?;
    Ok(tx.audit(actor, AuditAction::RepositoryDelete, grant.name().to_string())?)
}

//! Tags: the manifest that each points to, since when, and its history.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::error::RegistryError;
use super::listing::{Listing, MoreNames, Names, NamesLeft, Piece};
use super::{Registry, trash, usage};
use crate::access::{Caller, Grant, Pull};
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{RepoId, Sequence, Tag};
use crate::store::meta::schema::{self, TagChange};
use crate::store::meta::{ReadTx, StoreError, Tx, WriteTx};

/// The most changes in the history of a tag.
const HISTORY: usize = 100;

impl Registry {
    /// Up to `limit` tags of the repository after `last` (which need not exist) in byte order.
    pub async fn tags(
        &self,
        grant: &Grant<Pull>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Listing<NamesLeft>, RegistryError> {
        let unknown = RegistryError::RepositoryUnknown(grant.name().clone());
        let Some(repository) = grant.repository() else { return Err(unknown) };
        self.scan(&grant.caller().holder(), move |tx| {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut page = Names::new(limit);
            let rest = (from, Bound::Unbounded);
            tx.scan_within(&schema::TAG.keys(), repository, rest, |name, _| page.take(name))?;
            // Everything was deleted: whether some of it can be restored is not told here.
            if page.is_empty() && trash::has_all_of(tx, repository)? {
                return Err(unknown);
            }
            Ok(page.finish())
        })
        .await
    }

    /// The next piece of such a page.
    pub fn more_tags(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        left: NamesLeft,
    ) -> impl Future<Output = Result<Piece<NamesLeft>, RegistryError>> + use<> {
        let (registry, holder) = (Arc::clone(self), grant.caller().holder());
        let repository = grant.repository().unwrap_or_default();
        async move {
            let read = move |tx: &ReadTx| {
                let mut more = MoreNames::new();
                let rest = (Bound::Excluded(left.after.as_str()), Bound::Included(left.last.as_str()));
                tx.scan_within(&schema::TAG.keys(), repository, rest, |name, _| more.take(name))?;
                Ok(more.finish(left))
            };
            registry.scan(&holder, read).await
        }
    }
}

/// Refuses more tags than a repository may have.
pub(super) fn check_limit(
    tx: &impl Tx,
    repository: RepoId,
    more: u64,
    limit: u64,
) -> Result<(), RegistryError> {
    if more == 0 {
        return Ok(());
    }
    let usage = tx.get(&schema::USAGE_REPOSITORY, repository)?.unwrap_or_default();
    if usage.tags.saturating_add(more) > limit {
        return Err(RegistryError::TooManyTags { limit });
    }
    Ok(())
}

/// Points a tag to an existing manifest of the repository.
pub(super) fn set(
    tx: &WriteTx<'_>,
    repository: RepoId,
    tag: &Tag,
    (digest, manifest): (Digest, &schema::Manifest),
    caller: &Caller,
) -> Result<(), StoreError> {
    let old = tx.get(&schema::TAG, (repository, tag.as_str()))?;
    if let Some(old) = &old {
        unindex(tx, repository, tag, old)?;
    } else {
        usage::change(tx, repository, |usage| usage.tags += 1)?;
    }
    let sequence = tx.next_sequence();
    let row = schema::Tag {
        digest,
        sequence,
        pushed_ms: tx.now().wall_ms,
        by: caller.principal.name().to_owned(),
        content_bytes: manifest.content_bytes,
        platform: manifest.platform.clone(),
    };
    tx.put(&schema::TAG, (repository, tag.as_str()), &row)?;
    tx.put(&schema::TAG_BY_DIGEST, (repository, &digest, tag.as_str()), &())?;
    tx.put(&schema::TAG_BY_SEQUENCE, (repository, sequence), &tag.to_string())?;
    note_untagged(tx, repository, &digest)?;
    let old = old.map(|old| old.digest);
    if let Some(old) = old.filter(|old| *old != digest) {
        note_untagged(tx, repository, &old)?;
    }
    if old != Some(digest) {
        remember(tx, repository, tag, sequence, old, Some(digest), caller)?;
    }
    Ok(())
}

/// Deletes a tag and returns the manifest that it pointed to.
pub(super) fn delete(
    tx: &WriteTx<'_>,
    repository: RepoId,
    tag: &Tag,
    caller: &Caller,
) -> Result<Option<Digest>, StoreError> {
    let Some(old) = tx.get(&schema::TAG, (repository, tag.as_str()))? else { return Ok(None) };
    unindex(tx, repository, tag, &old)?;
    tx.delete(&schema::TAG, (repository, tag.as_str()))?;
    usage::change(tx, repository, |usage| usage.tags -= 1)?;
    note_untagged(tx, repository, &old.digest)?;
    let sequence = tx.next_sequence();
    remember(tx, repository, tag, sequence, Some(old.digest), None, caller)?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &sequence)?;
    if let Some(row) = tx.get(&schema::REPOSITORY, repository)?
        && let Ok(name) = row.name.parse()
    {
        let kind = EventKind::TagDeleted { repository: name, tag: tag.clone(), digest: old.digest };
        tx.record(caller.actor(), kind)?;
    }
    Ok(Some(old.digest))
}

/// Deletes tags of the manifest `digest`. The caller deletes the manifest in the same transaction, or leaves
/// other tags on it, so the time since when it is untagged is not written.
pub(super) fn delete_all(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    tags: &[Tag],
    caller: &Caller,
) -> Result<(), StoreError> {
    let mut deleted = 0;
    for tag in tags {
        let Some(old) = tx.get(&schema::TAG, (repository, tag.as_str()))? else { continue };
        unindex(tx, repository, tag, &old)?;
        tx.delete(&schema::TAG, (repository, tag.as_str()))?;
        remember(tx, repository, tag, tx.next_sequence(), Some(*digest), None, caller)?;
        deleted += 1;
    }
    if deleted == 0 {
        return Ok(());
    }
    usage::change(tx, repository, |usage| usage.tags -= deleted)?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &tx.next_sequence())
}

/// Sets a tag again as it was when it was deleted.
pub(super) fn put_back(
    tx: &WriteTx<'_>,
    repository: RepoId,
    tag: &Tag,
    row: &schema::Tag,
    caller: &Caller,
) -> Result<(), StoreError> {
    usage::change(tx, repository, |usage| usage.tags += 1)?;
    tx.put(&schema::TAG, (repository, tag.as_str()), row)?;
    tx.put(&schema::TAG_BY_DIGEST, (repository, &row.digest, tag.as_str()), &())?;
    tx.put(&schema::TAG_BY_SEQUENCE, (repository, row.sequence), &tag.to_string())?;
    note_untagged(tx, repository, &row.digest)?;
    let sequence = tx.next_sequence();
    remember(tx, repository, tag, sequence, None, Some(row.digest), caller)?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &sequence)
}

/// Removes tags of a repository that is being removed. Their history goes later, as that of all removed
/// repositories.
pub(super) fn forget_all(tx: &WriteTx<'_>, repository: RepoId, tags: &[Tag]) -> Result<(), StoreError> {
    let mut removed = 0;
    for tag in tags {
        let Some(row) = tx.get(&schema::TAG, (repository, tag.as_str()))? else { continue };
        unindex(tx, repository, tag, &row)?;
        tx.delete(&schema::TAG, (repository, tag.as_str()))?;
        removed += 1;
    }
    if removed == 0 {
        return Ok(());
    }
    usage::change(tx, repository, |usage| usage.tags -= removed)
}

/// Up to `limit` tags that point to a manifest.
pub(super) fn of(
    tx: &impl Tx,
    repository: RepoId,
    digest: &Digest,
    limit: usize,
) -> Result<Vec<Tag>, StoreError> {
    let mut tags = Vec::new();
    tx.scan_prefix(&schema::TAG_BY_DIGEST, (repository, digest), |name, ()| {
        tags.extend(name.parse::<Tag>());
        if tags.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(tags)
}

fn unindex(tx: &WriteTx<'_>, repository: RepoId, tag: &Tag, row: &schema::Tag) -> Result<(), StoreError> {
    tx.delete(&schema::TAG_BY_DIGEST, (repository, &row.digest, tag.as_str()))?;
    tx.delete(&schema::TAG_BY_SEQUENCE, (repository, row.sequence)).map(drop)
}

/// Records since when no tag points to a manifest.
fn note_untagged(tx: &WriteTx<'_>, repository: RepoId, digest: &Digest) -> Result<(), StoreError> {
    let Some(mut row) = tx.get(&schema::MANIFEST, (repository, digest))? else { return Ok(()) };
    let tagged = tx.any(&schema::TAG_BY_DIGEST, (repository, digest))?;
    let since = if tagged { None } else { row.untagged_since.or(Some(tx.now().running_second())) };
    if since == row.untagged_since {
        return Ok(());
    }
    row.untagged_since = since;
    tx.put(&schema::MANIFEST, (repository, digest), &row)
}

fn remember(
    tx: &WriteTx<'_>,
    repository: RepoId,
    tag: &Tag,
    sequence: Sequence,
    old: Option<Digest>,
    new: Option<Digest>,
    caller: &Caller,
) -> Result<(), StoreError> {
    let actor = caller.actor();
    let change = TagChange {
        old,
        new,
        by: actor.name.to_owned(),
        address: actor.address_text(),
        at_ms: tx.now().wall_ms,
    };
    tx.put(&schema::TAG_HISTORY, (repository, tag.as_str(), sequence), &change)?;
    let mut sequences = Vec::new();
    tx.scan_prefix(&schema::TAG_HISTORY, (repository, tag.as_str()), |sequence, _| {
        sequences.push(sequence);
        ControlFlow::Continue(())
    })?;
    for old in sequences.iter().take(sequences.len().saturating_sub(HISTORY)) {
        tx.delete(&schema::TAG_HISTORY, (repository, tag.as_str(), *old))?;
    }
    Ok(())
}

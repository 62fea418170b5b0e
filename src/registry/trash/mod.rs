//! The trash: what was deleted stays for `storage.trash`, and can be restored as it was.
//!
//! A deletion is an entry, and its manifests move to tables of their own, so that no reader meets them. What
//! else holds a manifest keeps it in the repository: another tag, an index that lists it, its subject. A
//! repository in the trash only loses its name. Links count the references of the trash, and garbage
//! collection leaves the blobs and manifests alone that an entry needs. `docs/storage.md`, "The trash".

mod discard;
mod empty;
mod restore;

use std::collections::HashSet;
use std::ops::{Bound, ControlFlow};

pub use discard::Below;
pub(super) use discard::{discard_repository, keep_tags, move_in, start};
pub(super) use empty::{Slice, oldest, slice as empty_slice};
#[cfg(test)]
pub(super) use restore::bring_back;
pub(super) use restore::take_out;

use super::Registry;
use super::error::RegistryError;
use super::manifests::above;
use crate::access::{Grant, ReadServer};
use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::schema::{self, TrashKind, Trashed, TrashedManifest};
use crate::store::meta::{Raw, ReadTx, Row as _, StoreError, Tx, WriteTx};

/// Tags of one deletion that a list shows.
const TAGS_SHOWN: usize = 100;
/// Manifests that are looked at to find what needs one, at most.
const MOST: usize = 1_000;
/// Links that are looked at to find one that is not hidden, at most.
const LINKS: usize = 1_000;
/// Entries that are looked at for one page of a list.
const LOOKED_AT: usize = 1_000;

/// A deletion that can be undone.
#[derive(Clone, Debug)]
pub struct TrashView {
    /// Its number.
    pub id: Sequence,
    /// What was deleted.
    pub row: Trashed,
    /// The tags that went with it, at most 100.
    pub tags: Vec<String>,
    /// Running seconds from now until it is removed for good.
    pub kept_for_s: u64,
}

/// A page of the trash.
#[derive(Clone, Debug)]
pub struct TrashPage {
    /// The entries.
    pub entries: Vec<TrashView>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Sequence>,
}

impl Registry {
    /// How long what was deleted stays in the trash, in running seconds; zero: it is deleted at once.
    pub(super) fn trash_s(&self) -> u64 {
        self.limits.load().trash_s
    }

    /// Up to `limit` entries of the trash after one of them, the oldest first; with a name, those of a
    /// repository that had it.
    pub async fn trash(
        &self,
        grant: &Grant<ReadServer>,
        (after, name): (Option<Sequence>, Option<String>),
        limit: usize,
    ) -> Result<TrashPage, RegistryError> {
        let times = (self.trash_s(), self.meta.clock().now().running_s);
        self.scan(&grant.caller().holder(), move |tx| {
            let (mut entries, mut next, mut from) = (Vec::new(), None, after);
            for looked_at in 0..=LOOKED_AT {
                let Some((id, row)) = following(tx, from)? else {
                    next = None;
                    break;
                };
                if entries.len() == limit || looked_at == LOOKED_AT {
                    break;
                }
                (from, next) = (Some(id), Some(id));
                // `fsck` reports a row that cannot be read.
                let Some(row) = row else { continue };
                let view = view(tx, id, row, times)?;
                entries.extend(name.as_ref().is_none_or(|name| *name == view.row.name).then_some(view));
            }
            Ok(TrashPage { entries, next })
        })
        .await
    }

    /// One entry of the trash.
    pub fn trash_entry(&self, _grant: &Grant<ReadServer>, id: Sequence) -> Result<TrashView, RegistryError> {
        let times = (self.trash_s(), self.meta.clock().now().running_s);
        self.meta.get(|tx| {
            let row = tx.get(&schema::TRASH, id)?.ok_or(RegistryError::TrashUnknown(id))?;
            Ok(view(tx, id, row, times)?)
        })
    }
}

/// The entry after another one; without its row, if that cannot be read.
fn following(
    tx: &ReadTx,
    after: Option<Sequence>,
) -> Result<Option<(Sequence, Option<Trashed>)>, StoreError> {
    let mut found = None;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_range(&schema::TRASH.raw(), (from, Bound::Unbounded), |id, Raw(row)| {
        found = Some((id, Trashed::decode(&row)));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The name that the repository of a deletion has now: it may have been restored under another one.
fn name_of(tx: &impl Tx, row: &Trashed) -> Result<String, StoreError> {
    let repository = tx.get(&schema::REPOSITORY, row.repository)?;
    Ok(repository.map_or_else(|| row.name.clone(), |repository| repository.name))
}

fn view(tx: &ReadTx, id: Sequence, row: Trashed, times: (u64, u64)) -> Result<TrashView, StoreError> {
    let row = Trashed { name: name_of(tx, &row)?, ..row };
    Ok(TrashView { id, tags: tags(tx, id, TAGS_SHOWN)?, kept_for_s: kept_for_s(&row, times), row })
}

/// Running seconds for which a deletion stays.
pub(super) const fn kept_for_s(row: &Trashed, (trash_s, now_s): (u64, u64)) -> u64 {
    row.since.0.saturating_add(trash_s).saturating_sub(now_s)
}

/// Up to `limit` tags of a deletion.
fn tags(tx: &impl Tx, entry: Sequence, limit: usize) -> Result<Vec<String>, StoreError> {
    let mut tags = Vec::new();
    tx.scan_prefix(&schema::TRASH_TAG.keys(), entry, |tag, _| {
        tags.push(tag.to_owned());
        if tags.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(tags)
}

/// Up to `limit` manifests of a deletion.
fn content(tx: &impl Tx, entry: Sequence, limit: usize) -> Result<Vec<Digest>, StoreError> {
    let mut digests = Vec::new();
    tx.scan_prefix(&schema::TRASH_CONTENT.keys(), entry, |digest, _| {
        digests.push(digest);
        if digests.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(digests)
}

/// A deletion, of those that `counts` accepts, that needs a manifest: it is one of the manifest or of a tag
/// that pointed there, or it has the manifest, or what the manifest belongs to. Where more manifests may need
/// it than are looked at, the newest deletion of the repository does.
pub(super) fn needed_by(
    tx: &impl Tx,
    (repository, digest): (RepoId, &Digest),
    counts: impl Fn(Sequence) -> bool,
) -> Result<Option<Sequence>, StoreError> {
    let (mut seen, mut waiting) = (HashSet::from([*digest]), vec![*digest]);
    while let Some(next) = waiting.pop() {
        let mut found = None;
        tx.scan_prefix(&schema::TRASH_ROOT, (repository, &next), |entry, ()| {
            found = counts(entry).then_some(entry);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if found.is_some() {
            return Ok(found);
        }
        // What is not in the trash does not belong to a deletion; what holds it is for the caller to look at.
        let Some(row) = tx.get(&schema::TRASH_MANIFEST, (repository, &next))? else { continue };
        if counts(row.entry) {
            return Ok(Some(row.entry));
        }
        let holders = above(tx, (repository, &next), &row.manifest, MOST)?;
        waiting.extend(holders.into_iter().filter(|holder| seen.insert(*holder)));
        if seen.len() >= MOST {
            let mut newest = None;
            tx.scan_prefix(&schema::TRASH_BY_REPOSITORY, repository, |entry, ()| {
                newest = Some(entry).filter(|entry| counts(*entry)).or(newest);
                ControlFlow::Continue(())
            })?;
            return Ok(newest);
        }
    }
    Ok(None)
}

/// Whether everything that was in a repository is in the trash: clients have deleted its manifests and blobs.
pub(super) fn has_all_of(tx: &impl Tx, repository: RepoId) -> Result<bool, StoreError> {
    if !tx.any(&schema::TRASH_BY_REPOSITORY, repository)? || tx.any(&schema::MANIFEST, repository)? {
        return Ok(false);
    }
    let (mut is_left, mut looked_at) = (false, 0);
    tx.scan_prefix(&schema::LINK, repository, |_, link| {
        looked_at += 1;
        is_left = (link.present && !link.hidden) || looked_at == LINKS;
        if is_left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(!is_left)
}

/// Whether a repository has a manifest, or has it in the trash.
pub(super) fn has_manifest(tx: &impl Tx, repository: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    Ok(tx.has(&schema::MANIFEST, (repository, digest))?
        || tx.has(&schema::TRASH_MANIFEST, (repository, digest))?)
}

/// Whether a repository is in the trash.
pub(super) fn has_repository(tx: &impl Tx, repository: RepoId) -> Result<bool, StoreError> {
    tx.has(&schema::TRASH_REPOSITORY, repository)
}

/// Removes the rows of a manifest in the trash, except those that a manifest in the repository has, too: its
/// body, its pulls, and what it lists.
fn forget(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    trashed: &TrashedManifest,
) -> Result<(), StoreError> {
    if let Some(subject) = &trashed.manifest.subject {
        tx.delete(&schema::TRASH_REFERRER, (repository, subject, digest))?;
    }
    tx.delete(&schema::TRASH_MANIFEST, (repository, digest))?;
    tx.delete(&schema::TRASH_CONTENT, (trashed.entry, digest)).map(drop)
}

/// Removes the row of a deletion, with its places in the indexes. Its manifests and tags went before.
fn end(tx: &WriteTx<'_>, entry: Sequence, row: &Trashed) -> Result<(), StoreError> {
    tx.delete(&schema::TRASH, entry)?;
    tx.delete(&schema::TRASH_BY_REPOSITORY, (row.repository, entry))?;
    if let Some(digest) = &row.digest {
        tx.delete(&schema::TRASH_ROOT, (row.repository, digest, entry))?;
    }
    if row.kind == TrashKind::Repository {
        tx.delete(&schema::TRASH_REPOSITORY, row.repository)?;
    }
    Ok(())
}

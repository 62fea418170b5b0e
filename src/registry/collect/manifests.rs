//! Manifests that no tag leads to any more.
//!
//! A manifest is held by its tags, by the indexes that list it, and by the manifest that it refers to (its
//! subject). So the images of an index, its attestations and its signatures stay and go with it, also where
//! they refer to each other in a circle. What nothing has held for `storage.gc.untagged` is deleted.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::holders::{Held, Rules};
use super::{Collected, Observer, Run, SLICE};
use crate::model::audit::Actor;
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::{RepoId, Sequence};
use crate::registry::error::RegistryError;
use crate::registry::manifests::drop_rows;
use crate::registry::{Registry, repositories, trash};
use crate::store::meta::schema::{self, Manifest};
use crate::store::meta::{Raw, ReadTx, Row as _, StoreError, Tx as _, WriteTx};

/// Manifests that one transaction looks at, each with what holds it.
const AT_ONCE: usize = 32;
/// References of the manifests that one transaction deletes, about: each is a few rows, and pushes wait for
/// them.
const REFERENCES: usize = 256;
/// Manifests that are read in one snapshot.
pub(super) const PAGE: usize = 1_000;

/// Manifests of a repository without a tag, and where the next page begins.
#[derive(Default)]
pub(super) struct Untagged {
    pub(super) found: Vec<Digest>,
    pub(super) next: Option<Digest>,
    /// One that cannot be read: what it holds is not known.
    pub(super) damaged: Option<Digest>,
}

impl Run {
    /// Deletes manifests that nothing holds, in repositories that have changed since nothing was left to
    /// delete; whether the run continues.
    pub(super) async fn manifests(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        let Some(age_s) = self.untagged_s else { return Ok(true) };
        // From here on, a look at a manifest that is about to be answered passes the writer.
        let _freeing = self.registry.promises.freeing();
        let mut after = None;
        loop {
            let from = after;
            let changed = self.registry.meta.scan(move |tx| changed(tx, from)).await?;
            let Some((last, _)) = changed.last() else { return Ok(true) };
            after = Some(*last);
            let mut settled = Vec::new();
            for (repository, sequence) in changed {
                match self.repository(repository, age_s, observer).await? {
                    None => return Ok(false),
                    Some(is_settled) => settled.extend(is_settled.then_some((repository, sequence))),
                }
            }
            if !settled.is_empty() {
                self.change(move |tx| settle(tx, &settled)).await?;
                if !self.breathe(observer).await {
                    return Ok(false);
                }
            }
        }
    }

    /// Deletes the manifests of a repository that nothing holds; whether none is left that may be deleted
    /// later, `None` when the run has ended.
    async fn repository(
        &mut self,
        repository: RepoId,
        age_s: u64,
        observer: &mut dyn Observer,
    ) -> Result<Option<bool>, RegistryError> {
        // A repository in the trash is restored with its untagged manifests.
        if self.vetoed.repositories.contains(&repository)
            || self.registry.meta.get(|tx| trash::has_repository(tx, repository))?
            || !self.is_readable(repository, observer).await?
        {
            return Ok(Some(false));
        }
        let (mut after, mut is_settled) = (None, true);
        loop {
            let from = after;
            let page = self.registry.meta.scan(move |tx| untagged(tx, repository, from)).await?;
            let mut rest = &page.found[..];
            while !rest.is_empty() {
                let part = &rest[..rest.len().min(AT_ONCE)];
                let registry = Arc::clone(&self.registry);
                let work =
                    move |tx: &WriteTx<'_>, part: &[Digest]| delete(tx, &registry, repository, part, age_s);
                let done = self.each(part.to_vec(), Digest::to_string, work).await?;
                is_settled &= done.later + done.spared == 0;
                // What holds the next one may be too much for one transaction: then it is not looked at yet.
                let looked_at = usize::try_from(done.looked_at + done.spared).unwrap_or(part.len());
                let looked_at = if done.manifests == 0 { looked_at.max(1) } else { looked_at };
                rest = &rest[looked_at.min(rest.len())..];
                self.collected.add(done);
                if !self.breathe(observer).await {
                    return Ok(None);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(Some(is_settled));
            }
        }
    }

    /// Whether every manifest of the repository can be read: one that cannot may hold any other.
    async fn is_readable(
        &mut self,
        repository: RepoId,
        observer: &mut dyn Observer,
    ) -> Result<bool, RegistryError> {
        let mut after = None;
        loop {
            let from = after;
            let page = self.registry.meta.scan(move |tx| untagged(tx, repository, from)).await?;
            if let Some(damaged) = page.damaged {
                self.collected
                    .spare(|| format!("repository number {repository}: the row of {damaged} is damaged"));
                return Ok(false);
            }
            after = page.next;
            if after.is_none() || !self.breathe(observer).await {
                return Ok(after.is_none());
            }
        }
    }
}

/// Repositories that have changed since nothing was left to delete in them, after one of them.
pub(super) fn changed(tx: &ReadTx, after: Option<RepoId>) -> Result<Vec<(RepoId, Sequence)>, StoreError> {
    let mut changed = Vec::new();
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_range(&schema::DIRTY_REPOSITORY.raw(), (from, Bound::Unbounded), |repository, Raw(row)| {
        // With a row that cannot be read, the repository is looked at in each run until its next change.
        changed.push((repository, Sequence::decode(&row).unwrap_or_default()));
        if changed.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(changed)
}

/// A page of the manifests of a repository: those without a tag.
pub(super) fn untagged(
    tx: &ReadTx,
    repository: RepoId,
    after: Option<Digest>,
) -> Result<Untagged, StoreError> {
    let (mut page, mut rows) = (Untagged::default(), 0);
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::MANIFEST.raw(), repository, (from, Bound::Unbounded), |digest, Raw(row)| {
        match Manifest::decode(&row) {
            Some(row) if row.untagged_since.is_some() => page.found.push(digest),
            Some(_) => {}
            None => page.damaged = Some(digest),
        }
        rows += 1;
        page.next = (rows == PAGE).then_some(digest);
        if rows < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(page)
}

/// Deletes those of the manifests that nothing holds, after what could hold them, until a transaction has
/// enough to do.
fn delete(
    tx: &WriteTx<'_>,
    registry: &Registry,
    repository: RepoId,
    digests: &[Digest],
    age_s: u64,
) -> Result<Collected, RegistryError> {
    let (mut done, mut references, now_s) = (Collected::default(), 0, tx.now().running_s);
    for digest in digests {
        if tx.has(&schema::MANIFEST, (repository, digest))? {
            match registry.holder(tx, repository, digest, Rules { age_s, now_s, emptied: Sequence(0) })? {
                Held::ByTag | Held::ByTrash => {}
                Held::ByAge => done.later += 1,
                Held::No(all) => {
                    for digest in &all {
                        if references >= REFERENCES {
                            return Ok(done);
                        }
                        references += remove(tx, repository, digest)?;
                        done.manifests += 1;
                    }
                }
            }
        }
        done.looked_at += 1;
    }
    Ok(done)
}

/// Deletes a manifest that has no tag, and returns how many references it had.
fn remove(tx: &WriteTx<'_>, repository: RepoId, digest: &Digest) -> Result<usize, RegistryError> {
    let Some(row) = tx.get(&schema::MANIFEST, (repository, digest))? else { return Ok(0) };
    drop_rows(tx, repository, digest, &row)?;
    if let Some(repository) = tx.get(&schema::REPOSITORY, repository)?
        && let Ok(repository) = repository.name.parse()
    {
        let kind = EventKind::ManifestDeleted { repository, digest: *digest, tags: Vec::new() };
        tx.record(Actor::SYSTEM, kind)?;
    }
    repositories::remove_if_empty(tx, repository, Actor::SYSTEM)?;
    Ok(1 + row.blobs.len() + row.children.len())
}

/// Notes that nothing is left to delete in repositories, unless they have changed since the run began with
/// them. The deletions of the run itself are changes, too: then the next run settles it.
fn settle(tx: &WriteTx<'_>, repositories: &[(RepoId, Sequence)]) -> Result<(), RegistryError> {
    for (repository, sequence) in repositories {
        let row = tx.get(&schema::DIRTY_REPOSITORY.raw(), *repository)?;
        if row.and_then(|Raw(row)| Sequence::decode(&row)) == Some(*sequence) {
            tx.delete(&schema::DIRTY_REPOSITORY, *repository)?;
        }
    }
    Ok(())
}

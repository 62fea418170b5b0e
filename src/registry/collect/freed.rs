//! What a run frees with the manifests that it deletes, and with what it removes from the trash: the part of
//! a plan that is not in the tables yet.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::holders::{Held, Rules};
use super::{Mode, Plan, SLICE, manifests};
use crate::limits::Holder;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::registry::error::RegistryError;
use crate::registry::{Registry, trash};
use crate::store::meta::schema::{self, Link, Trashed, TrashedManifest};
use crate::store::meta::{Raw, ReadTx, Row as _, StoreError, Tx as _};

/// References of manifests that a plan remembers, at most: about 100 bytes each.
const REFERENCES: usize = 200_000;
/// Manifests that are looked at in one snapshot.
const AT_ONCE: usize = 64;

/// What goes with manifests, and with what is removed from the trash.
#[derive(Debug, Default)]
pub(super) struct Freed {
    /// Links that lose their last reference.
    pub(super) links: HashSet<(RepoId, Digest)>,
    /// Links that go with the trash: a client has deleted the blob, and only the trash kept it.
    pub(super) hidden: HashSet<(RepoId, Digest)>,
    /// Repositories that are removed from the trash.
    pub(super) repositories: BTreeSet<RepoId>,
    /// The blobs of both.
    pub(super) detached: HashSet<Digest>,
    /// The last deletion that is removed from the trash: those before it are, too.
    emptied: Sequence,
}

/// How many manifests refer to a blob: those of a repository, and those in the trash.
type References = HashMap<Digest, (u64, u64)>;

/// Manifests that nothing holds, with the blobs that they refer to, and how many others stay for their
/// age.
type Unheld = (Vec<(Digest, Vec<AnyDigest>)>, u64);

impl Registry {
    /// Counts the deletions that a run removes from the trash and the manifests that nothing holds then, and
    /// returns what that frees. `age_s`: how long a manifest stays that no tag leads to; `None`: for ever.
    pub(super) async fn plan_manifests(
        self: &Arc<Self>,
        holder: &Holder,
        (mode, age_s): (Mode, Option<u64>),
        plan: &mut Plan,
    ) -> Result<Freed, RegistryError> {
        let mut freed = Freed::default();
        self.plan_trash(holder, mode, &mut freed, plan).await?;
        let mut touched = self.emptied_in(holder, freed.emptied).await?;
        let mut after = None;
        while let Some(age_s) = age_s {
            let from = after;
            let changed = self.scan(holder, move |tx| Ok(manifests::changed(tx, from)?)).await?;
            let Some((last, _)) = changed.last() else { break };
            after = Some(*last);
            for (repository, _) in changed {
                touched.remove(&repository);
                self.plan_in(holder, repository, (Some(age_s), &mut freed), plan).await?;
            }
        }
        // Emptying changes these repositories, so that the run looks at them, too.
        for repository in touched {
            self.plan_in(holder, repository, (age_s, &mut freed), plan).await?;
        }
        Ok(freed)
    }

    /// What one repository frees.
    async fn plan_in(
        self: &Arc<Self>,
        holder: &Holder,
        repository: RepoId,
        (age_s, freed): (Option<u64>, &mut Freed),
        plan: &mut Plan,
    ) -> Result<(), RegistryError> {
        if freed.repositories.contains(&repository) {
            return Ok(());
        }
        // In one that stays in the trash, older deletions may go, and manifests without a tag do not.
        let is_deleted = self.meta.get(|tx| trash::has_repository(tx, repository))?;
        let (age_s, emptied) = (age_s.filter(|_| !is_deleted), freed.emptied);
        let mut references = References::new();
        if let Some(age_s) = age_s {
            let rules = Rules { age_s, now_s: self.meta.clock().now().running_s, emptied };
            self.condemned(holder, repository, rules, (&mut references, plan)).await?;
        }
        let mut after: Option<Digest> = None;
        while emptied > Sequence(0) {
            let from = after;
            let page = self.scan(holder, move |tx| Ok(trashed(tx, repository, from, emptied)?)).await?;
            for blob in page.0.iter().filter_map(AnyDigest::known) {
                if references.len() < REFERENCES {
                    references.entry(blob).or_default().1 += 1;
                }
            }
            after = page.1;
            if after.is_none() {
                break;
            }
        }
        let found = self.scan(holder, move |tx| Ok(without_others(tx, repository, references)?)).await?;
        let mut room = REFERENCES.saturating_sub(freed.links.len() + freed.hidden.len());
        for (digest, is_hidden) in found {
            if room > 0 && is_hidden {
                freed.hidden.insert((repository, digest));
                freed.detached.insert(digest);
            } else if room > 0 {
                freed.links.insert((repository, digest));
            }
            room = room.saturating_sub(1);
        }
        Ok(())
    }

    /// Counts the deletions that a run removes from the trash. The running second never goes back, so they
    /// are all those up to one of them.
    async fn plan_trash(
        self: &Arc<Self>,
        holder: &Holder,
        mode: Mode,
        freed: &mut Freed,
        plan: &mut Plan,
    ) -> Result<(), RegistryError> {
        let Some(newest_s) = self.newest_emptied(mode) else { return Ok(()) };
        loop {
            let from = freed.emptied;
            let due = self.scan(holder, move |tx| Ok(due(tx, from, newest_s)?)).await?;
            plan.trash += due.len() as u64;
            let Some(last) = due.last() else { break };
            freed.emptied = *last;
        }
        let emptied = freed.emptied;
        for (repository, entry) in self.scan(holder, |tx| Ok(super::trash::repositories(tx)?)).await? {
            if entry <= emptied {
                freed.repositories.insert(repository);
                self.detached_by(holder, repository, freed).await?;
            }
        }
        Ok(())
    }

    /// The repositories in which a run removes deletions from the trash.
    async fn emptied_in(
        self: &Arc<Self>,
        holder: &Holder,
        emptied: Sequence,
    ) -> Result<BTreeSet<RepoId>, RegistryError> {
        if emptied == Sequence(0) {
            return Ok(BTreeSet::new());
        }
        self.scan(holder, move |tx| {
            let mut found = BTreeSet::new();
            tx.scan_all(&schema::TRASH_BY_REPOSITORY.keys(), |(repository, entry), _| {
                found.extend((entry <= emptied).then_some(repository));
                ControlFlow::Continue(())
            })?;
            Ok(found)
        })
        .await
    }

    /// Adds the blobs of a repository that is removed from the trash.
    async fn detached_by(
        self: &Arc<Self>,
        holder: &Holder,
        repository: RepoId,
        freed: &mut Freed,
    ) -> Result<(), RegistryError> {
        let mut after: Option<AnyDigest> = None;
        loop {
            let from = after;
            let page = self.scan(holder, move |tx| Ok(links_of(tx, repository, from.as_ref())?)).await?;
            let room = REFERENCES.saturating_sub(freed.detached.len());
            freed.detached.extend(page.0.into_iter().take(room));
            after = page.1;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Counts the manifests of a repository that nothing holds, and how many of them refer to each blob.
    async fn condemned(
        self: &Arc<Self>,
        holder: &Holder,
        repository: RepoId,
        rules: Rules,
        (references, plan): (&mut References, &mut Plan),
    ) -> Result<(), RegistryError> {
        // Added at the end only: one damaged row on any page, and the run leaves the whole repository alone.
        let (mut part, mut counted) = (Plan::default(), References::new());
        let (mut seen, mut after) = (HashSet::new(), None);
        loop {
            let from = after;
            let page = self.scan(holder, move |tx| Ok(manifests::untagged(tx, repository, from)?)).await?;
            if page.damaged.is_some() {
                return Ok(());
            }
            for digests in page.found.chunks(AT_ONCE) {
                let (registry, digests) = (Arc::clone(self), digests.to_vec());
                let look = move |tx: &ReadTx| Ok(registry.unheld(tx, repository, digests, rules)?);
                let (found, later) = self.scan(holder, look).await?;
                part.later += later;
                for (digest, blobs) in found {
                    let is_new = seen.insert(digest);
                    part.manifests += u64::from(is_new);
                    if is_new && counted.len() < REFERENCES {
                        for blob in blobs.iter().filter_map(AnyDigest::known) {
                            counted.entry(blob).or_default().0 += 1;
                        }
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                plan.add(part);
                *references = counted;
                return Ok(());
            }
        }
    }

    /// Those of the manifests that nothing holds, with what they refer to, and how many stay for their age.
    fn unheld(
        &self,
        tx: &ReadTx,
        repository: RepoId,
        digests: Vec<Digest>,
        rules: Rules,
    ) -> Result<Unheld, StoreError> {
        let (mut found, mut later) = (Vec::new(), 0);
        for digest in digests {
            match self.holder(tx, repository, &digest, rules)? {
                Held::ByTag | Held::ByTrash => {}
                Held::ByAge => later += 1,
                Held::No(all) => {
                    for digest in all {
                        let row = tx.get(&schema::MANIFEST, (repository, &digest))?;
                        found.push((digest, row.map(|row| row.blobs).unwrap_or_default()));
                    }
                }
            }
        }
        Ok((found, later))
    }
}

/// The deletions behind `after` that were made at this running second or before. One whose row cannot be read
/// stays, and is not counted.
fn due(tx: &ReadTx, after: Sequence, newest_s: u64) -> Result<Vec<Sequence>, StoreError> {
    let mut due = Vec::new();
    let rest = (Bound::Excluded(after), Bound::Unbounded);
    tx.scan_range(&schema::TRASH.raw(), rest, |id, Raw(row)| {
        let Some(row) = Trashed::decode(&row) else { return ControlFlow::Continue(()) };
        if row.since.0 > newest_s {
            return ControlFlow::Break(());
        }
        due.push(id);
        if due.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(due)
}

/// The blobs of manifests that a run removes from the trash, and where the next page begins.
fn trashed(
    tx: &ReadTx,
    repository: RepoId,
    after: Option<Digest>,
    emptied: Sequence,
) -> Result<(Vec<AnyDigest>, Option<Digest>), StoreError> {
    let (mut rows, mut last, mut looked_at) = (Vec::new(), None, 0);
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(
        &schema::TRASH_MANIFEST.raw(),
        repository,
        (from, Bound::Unbounded),
        |digest, Raw(row)| {
            let row = TrashedManifest::decode(&row).filter(|row| row.entry <= emptied);
            rows.extend(row.map(|row| (digest, row)));
            looked_at += 1;
            last = (looked_at == SLICE).then_some(digest);
            if looked_at < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    )?;
    let mut blobs = Vec::new();
    for (digest, row) in rows {
        if trash::needed_by(tx, (repository, &digest), |entry| entry > emptied)?.is_none() {
            blobs.extend(row.manifest.blobs);
        }
    }
    Ok((blobs, last))
}

/// The blobs of a repository, and where the next page begins.
fn links_of(
    tx: &ReadTx,
    repository: RepoId,
    after: Option<&AnyDigest>,
) -> Result<(Vec<Digest>, Option<AnyDigest>), StoreError> {
    let (mut found, mut last, mut looked_at) = (Vec::new(), None, 0);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::LINK.raw(), repository, (from, Bound::Unbounded), |digest, Raw(row)| {
        let is_present = Link::decode(&row).is_some_and(|link| link.present);
        found.extend(digest.known().filter(|_| is_present));
        looked_at += 1;
        last = (looked_at == SLICE).then(|| digest.clone());
        if looked_at < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok((found, last))
}

/// The blobs of a repository to which nothing else refers, and whether a client has deleted them.
fn without_others(
    tx: &ReadTx,
    repository: RepoId,
    references: References,
) -> Result<Vec<(Digest, bool)>, StoreError> {
    let mut zero = Vec::new();
    for (digest, (live, trashed)) in references {
        let link = tx.get(&schema::LINK, (repository, &digest))?;
        let is_free =
            |link: &Link| link.present && link.references == live && link.trash_references == trashed;
        zero.extend(link.filter(is_free).map(|link| (digest, link.hidden)));
    }
    Ok(zero)
}

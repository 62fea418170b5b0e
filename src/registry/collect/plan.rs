//! What a run would do, found by the rules that the run follows.

use std::sync::Arc;

use super::freed::Freed;
use super::links::{self, Candidate, Verdict};
use super::{Mode, SLICE, Seen, Untagged, blobs, quarantine};
use crate::access::{Grant, ReadServer};
use crate::limits::Holder;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::links::holders;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Deletions that it would remove from the trash.
    pub trash: u64,
    /// Manifests that it would delete because no tag leads to them.
    pub manifests: u64,
    /// Manifests that no tag leads to, and that would stay because they are not old enough.
    pub later: u64,
    /// Links that it would remove.
    pub links: u64,
    /// Blobs that it would take out of the tree.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes that it would remove from the disk.
    pub freed_bytes: u64,
    /// Links that it would leave because clients were promised them.
    pub promised: u64,
    /// Running seconds from now until the last of these promises is over.
    pub promised_in_s: Option<u64>,
}

impl Plan {
    pub(super) fn add(&mut self, other: Self) {
        self.trash += other.trash;
        self.manifests += other.manifests;
        self.later += other.later;
        self.links += other.links;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.freed_bytes += other.freed_bytes;
        self.promised += other.promised;
        self.promised_in_s = self.promised_in_s.max(other.promised_in_s);
    }
}

/// What a plan is made for.
#[derive(Clone)]
struct Asked {
    mode: Mode,
    now_s: u64,
    /// What goes with the manifests that the run deletes and with what it removes from the trash.
    freed: Arc<Freed>,
}

impl Registry {
    /// What a run would do now. Nothing is changed.
    ///
    /// # Errors
    /// [`RegistryError`]: a pin holds everything, or the store cannot be read.
    pub async fn plan_collection(
        self: &Arc<Self>,
        grant: &Grant<ReadServer>,
        mode: Mode,
        untagged: Untagged,
    ) -> Result<Plan, RegistryError> {
        self.check_pins()?;
        let holder = grant.caller().holder();
        let mut plan = Plan::default();
        let mut freed = self.plan_manifests(&holder, (mode, self.untagged_s(untagged)?), &mut plan).await?;
        // These links are due after their grace, except when the space is freed now.
        if !mode.is_now() {
            freed.links.clear();
        }
        let freed = Arc::new(freed);
        let asked = Asked { mode, now_s: self.meta.clock().now().running_s, freed };
        let (mut after, newest, mut seen) = (None, self.newest_due(mode), Seen::default());
        loop {
            let (registry, from, asked): (_, Option<Candidate>, _) =
                (Arc::clone(self), after.clone(), asked.clone());
            let look = move |tx: &ReadTx| {
                let listed = registry.plan_listed(tx, from.as_ref(), newest, &asked, &mut seen)?;
                Ok((listed, seen))
            };
            let ((last, part), looked_at) = self.scan(&holder, look).await?;
            seen = looked_at;
            plan.add(part);
            let Some(last) = last else { break };
            after = Some(last);
        }
        let freed: Vec<_> = asked.freed.links.iter().copied().collect();
        for part in freed.chunks(SLICE) {
            let (registry, part, asked) = (Arc::clone(self), part.to_vec(), asked.clone());
            let look = move |tx: &ReadTx| Ok((registry.plan_links(tx, part, &asked, &mut seen)?, seen));
            let (part, looked_at) = self.scan(&holder, look).await?;
            seen = looked_at;
            plan.add(part);
        }
        let detached: Vec<_> = asked.freed.detached.iter().copied().collect();
        for part in detached.chunks(SLICE) {
            let (registry, part, asked) = (Arc::clone(self), part.to_vec(), asked.clone());
            let look = move |tx: &ReadTx| Ok((registry.plan_blobs(tx, &part, &asked, &mut seen)?, seen));
            let (part, looked_at) = self.scan(&holder, look).await?;
            seen = looked_at;
            plan.add(part);
        }
        self.plan_files(&holder, mode, &mut plan).await?;
        Ok(plan)
    }

    /// One slice of the listed links; the last of them if more may follow.
    fn plan_listed(
        &self,
        tx: &ReadTx,
        after: Option<&Candidate>,
        newest: Option<u64>,
        asked: &Asked,
        seen: &mut Seen,
    ) -> Result<(Option<Candidate>, Plan), StoreError> {
        let listed = links::list(tx, after, newest)?;
        let links = listed.iter().filter_map(|(_, repository, digest)| Some((*repository, digest.known()?)));
        // Those of a repository that is removed from the trash go with it.
        let links = links.filter(|(repository, _)| !asked.freed.repositories.contains(repository));
        let plan = self.plan_links(tx, links.collect(), asked, seen)?;
        Ok((listed.last().filter(|_| listed.len() == SLICE).cloned(), plan))
    }

    fn plan_links(
        &self,
        tx: &ReadTx,
        links: Vec<(RepoId, Digest)>,
        asked: &Asked,
        seen: &mut Seen,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        for (repository, digest) in links {
            match self.verdict(tx, (repository, &digest), asked)? {
                Verdict::Due => {
                    plan.links += 1;
                    plan.add(self.plan_blobs(tx, &[digest], asked, seen)?);
                }
                Verdict::Promised(until) => {
                    plan.promised += 1;
                    let in_s = until.0.saturating_sub(asked.now_s).saturating_add(1);
                    plan.promised_in_s = plan.promised_in_s.max(Some(in_s));
                }
                Verdict::Waits | Verdict::Changed | Verdict::Damaged => {}
            }
        }
        Ok(plan)
    }

    /// Adds blobs that the run would take out of the tree, each once.
    fn plan_blobs(
        &self,
        tx: &ReadTx,
        blobs: &[Digest],
        asked: &Asked,
        seen: &mut Seen,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        for digest in blobs {
            if seen.first(digest) && self.goes(tx, digest, asked)? {
                plan.blobs += 1;
                plan.bytes += blobs::size(tx, digest)?;
            }
        }
        Ok(plan)
    }

    /// Whether the run would remove a link.
    fn verdict(
        &self,
        tx: &ReadTx,
        (repository, digest): (RepoId, &Digest),
        asked: &Asked,
    ) -> Result<Verdict, StoreError> {
        let Some(link) = tx.get(&schema::LINK, (repository, digest))? else { return Ok(Verdict::Changed) };
        let any = AnyDigest::from(*digest);
        let freed = &asked.freed;
        if freed.repositories.contains(&repository) || freed.hidden.contains(&(repository, *digest)) {
            return Ok(Verdict::Due);
        }
        if freed.links.contains(&(repository, *digest)) {
            let promised =
                self.promises.until((repository, &any), &schema::Link { fresh: false, ..link }, asked.now_s);
            return Ok(promised.map_or(Verdict::Due, Verdict::Promised));
        }
        let candidate = (link.zero_since, repository, any);
        Ok(self.judge(tx, &candidate, asked.mode, asked.now_s)?.0)
    }

    /// Whether a blob goes: the run would remove every link of it.
    fn goes(&self, tx: &ReadTx, digest: &Digest, asked: &Asked) -> Result<bool, StoreError> {
        for holder in holders(tx, digest)? {
            if !matches!(self.verdict(tx, (holder, digest), asked)?, Verdict::Due) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds blobs that no link holds, which a run that was cut off has left, and files in quarantine.
    async fn plan_files(
        self: &Arc<Self>,
        holder: &Holder,
        mode: Mode,
        plan: &mut Plan,
    ) -> Result<(), RegistryError> {
        let mut after = None;
        loop {
            let from = after;
            let free = self.scan(holder, move |tx| Ok(blobs::free_with_sizes(tx, from)?)).await?;
            for (_, bytes) in &free {
                plan.blobs += 1;
                plan.bytes += bytes;
            }
            let Some((last, _)) = free.last() else { break };
            after = Some(*last);
        }
        let mut after = Sequence(0);
        let newest_s = quarantine::newest_over(mode, self.meta.clock().now().running_s);
        loop {
            let from = after;
            let over = self.scan(holder, move |tx| Ok(quarantine::over(tx, from, newest_s)?)).await?;
            plan.freed_bytes += over.iter().map(|(_, file)| file.size).sum::<u64>();
            let Some((last, _)) = over.last() else { break };
            after = *last;
        }
        if mode.removes() {
            plan.freed_bytes += plan.bytes;
        }
        Ok(())
    }
}

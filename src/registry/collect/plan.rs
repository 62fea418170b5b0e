//! What a run would do, found by the rules that the run follows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::holders::Held;
use super::links::{self, Candidate, Verdict};
use super::{Mode, SLICE, Seen, Untagged, blobs, manifests, quarantine};
use crate::access::{Grant, ReadServer};
use crate::limits::Holder;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::links::holders;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// References of manifests that a plan remembers, at most: about 100 bytes each.
const REFERENCES: usize = 200_000;
/// Manifests that are looked at in one snapshot.
const AT_ONCE: usize = 64;

/// What a run would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
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
    fn add(&mut self, other: Self) {
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

/// Links, by repository and blob.
type Links = HashSet<(RepoId, Digest)>;

/// Manifests that nothing holds, with the blobs that they refer to, and how many others stay for their
/// age.
type Unheld = (Vec<(Digest, Vec<AnyDigest>)>, u64);

/// What a plan is made for.
#[derive(Clone)]
struct Asked {
    mode: Mode,
    now_s: u64,
    /// Links that lose their last reference with the manifests that the run deletes.
    freed: Arc<Links>,
}

impl Registry {
    /// What a run would do now. Nothing is changed.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read.
    pub async fn plan_collection(
        self: &Arc<Self>,
        grant: &Grant<ReadServer>,
        mode: Mode,
        untagged: Untagged,
    ) -> Result<Plan, RegistryError> {
        let holder = grant.caller().holder();
        let mut plan = Plan::default();
        let freed = match self.untagged_s(untagged)? {
            Some(age_s) => self.plan_manifests(&holder, age_s, &mut plan).await?,
            None => Links::new(),
        };
        // The links that these manifests free are due after their grace, except when the space is freed now.
        let freed = Arc::new(if mode == Mode::Now { freed } else { Links::new() });
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
        let freed: Vec<_> = asked.freed.iter().copied().collect();
        for part in freed.chunks(SLICE) {
            let (registry, part, asked) = (Arc::clone(self), part.to_vec(), asked.clone());
            let look = move |tx: &ReadTx| Ok((registry.plan_links(tx, part, &asked, &mut seen)?, seen));
            let (part, looked_at) = self.scan(&holder, look).await?;
            seen = looked_at;
            plan.add(part);
        }
        self.plan_files(&holder, mode, &mut plan).await?;
        Ok(plan)
    }

    /// Counts the manifests that nothing holds, and returns the links that lose their last reference with
    /// them.
    pub(super) async fn plan_manifests(
        self: &Arc<Self>,
        holder: &Holder,
        age_s: u64,
        plan: &mut Plan,
    ) -> Result<Links, RegistryError> {
        let (mut freed, mut after) = (Links::new(), None);
        loop {
            let from = after;
            let changed = self.scan(holder, move |tx| Ok(manifests::changed(tx, from)?)).await?;
            let Some((last, _)) = changed.last() else { return Ok(freed) };
            after = Some(*last);
            for (repository, _) in changed {
                let references = self.condemned(holder, repository, age_s, plan).await?;
                let zero =
                    self.scan(holder, move |tx| Ok(without_others(tx, repository, references)?)).await?;
                let room = REFERENCES.saturating_sub(freed.len());
                freed.extend(zero.into_iter().take(room));
            }
        }
    }

    /// Counts the manifests of a repository that nothing holds, and returns how many of them refer to each
    /// blob.
    async fn condemned(
        self: &Arc<Self>,
        holder: &Holder,
        repository: RepoId,
        age_s: u64,
        plan: &mut Plan,
    ) -> Result<HashMap<Digest, u64>, RegistryError> {
        let now_s = self.meta.clock().now().running_s;
        // Added at the end only: one damaged row on any page, and the run leaves the whole repository alone.
        let mut part = Plan::default();
        let (mut seen, mut references, mut after) = (HashSet::new(), HashMap::new(), None);
        loop {
            let from = after;
            let page = self.scan(holder, move |tx| Ok(manifests::untagged(tx, repository, from)?)).await?;
            if page.damaged.is_some() {
                return Ok(HashMap::new());
            }
            for digests in page.found.chunks(AT_ONCE) {
                let (registry, digests) = (Arc::clone(self), digests.to_vec());
                let look = move |tx: &ReadTx| Ok(registry.unheld(tx, repository, digests, (age_s, now_s))?);
                let (found, later) = self.scan(holder, look).await?;
                part.later += later;
                for (digest, blobs) in found {
                    let is_new = seen.insert(digest);
                    part.manifests += u64::from(is_new);
                    if is_new && references.len() < REFERENCES {
                        for blob in blobs.iter().filter_map(AnyDigest::known) {
                            *references.entry(blob).or_insert(0) += 1;
                        }
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                plan.add(part);
                return Ok(references);
            }
        }
    }

    /// Those of the manifests that nothing holds, with what they refer to, and how many stay for their age.
    fn unheld(
        &self,
        tx: &ReadTx,
        repository: RepoId,
        digests: Vec<Digest>,
        ages: (u64, u64),
    ) -> Result<Unheld, StoreError> {
        let (mut found, mut later) = (Vec::new(), 0);
        for digest in digests {
            match self.holder(tx, repository, &digest, ages)? {
                Held::ByTag => {}
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
                    if seen.first(&digest) && self.goes(tx, &digest, asked)? {
                        plan.blobs += 1;
                        plan.bytes += blobs::size(tx, &digest)?;
                    }
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

    /// Whether the run would remove a link.
    fn verdict(
        &self,
        tx: &ReadTx,
        (repository, digest): (RepoId, &Digest),
        asked: &Asked,
    ) -> Result<Verdict, StoreError> {
        let Some(link) = tx.get(&schema::LINK, (repository, digest))? else { return Ok(Verdict::Changed) };
        let any = AnyDigest::from(*digest);
        if asked.freed.contains(&(repository, *digest)) {
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

/// The links of a repository to which no other manifests refer than so many.
fn without_others(
    tx: &ReadTx,
    repository: RepoId,
    references: HashMap<Digest, u64>,
) -> Result<Vec<(RepoId, Digest)>, StoreError> {
    let mut zero = Vec::new();
    for (digest, count) in references {
        let link = tx.get(&schema::LINK, (repository, &digest))?;
        let is_free =
            |link: schema::Link| link.present && link.trash_references == 0 && link.references == count;
        if link.is_some_and(is_free) {
            zero.push((repository, digest));
        }
    }
    Ok(zero)
}

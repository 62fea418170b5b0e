//! What a deletion would free: what goes with it when everything that nothing holds any more was collected.
//!
//! Nothing is changed. The figure is that of the collector's own rules, applied to the store without what is
//! to be deleted, and with an empty trash. A manifest that nothing holds already now goes by itself, so it
//! keeps no blob. What another repository uses stays.

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::Untagged;
use super::below::{Below, KeptBy, LISTED, Most, Short, Verdict, short};
use crate::access::{Delete, Grant};
use crate::limits::Resource;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, RepoName, Tag};
use crate::registry::error::RegistryError;
use crate::registry::{Registry, tags};
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// What one preview reads and remembers. Only one is made at a time.
const MOST: Most = Most { manifests: 100_000, blobs: 200_000, pages: usize::MAX };
/// Links of a repository that are read in one snapshot.
const LINKS: usize = 1_000;

/// What is to be deleted in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The repository, with everything in it.
    All,
    /// Tags, and manifests with every tag that points to them.
    Of {
        /// The tags.
        tags: Vec<Tag>,
        /// The manifests.
        manifests: Vec<Digest>,
    },
}

/// What a deletion would free, and what it would leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Tags that go.
    pub tags: u64,
    /// Manifests that go, at once or when they are collected.
    pub manifests: u64,
    /// Bytes of these manifests, which are in the database.
    pub manifest_bytes: u64,
    /// Blobs that go when they are collected.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub freed_bytes: u64,
    /// Manifests below those that are deleted that stay, because something else holds them.
    pub kept_manifests: u64,
    /// Bytes of blobs that stay because another manifest of their repository refers to them.
    pub kept_bytes: u64,
    /// Bytes of blobs that stay because another repository uses them.
    pub elsewhere_bytes: u64,
    /// The first tags that go, as `repository:tag`; none of repositories that are deleted as a whole.
    pub tag_names: Vec<String>,
    /// The first manifests that go; none of repositories that are deleted as a whole.
    pub gone: Vec<(RepoName, Digest)>,
    /// The first manifests that stay, and what holds each.
    pub kept: Vec<(RepoName, Digest, KeptBy)>,
    /// The selection is too large to be computed to its end: the figures are smaller than they should be.
    pub at_least: bool,
    /// Running seconds from now until scheduled collection takes all of it; `None`: it never does, because
    /// it leaves manifests that no tag leads to.
    pub due_in_s: Option<u64>,
}

/// Blobs that repositories lose. With several repositories, a blob is freed if all that use it lose it.
#[derive(Default)]
struct Losses {
    several: bool,
    lost: HashMap<Short, Lost>,
}

#[derive(Clone, Copy)]
struct Lost {
    size: u64,
    /// Repositories that use the blob now.
    users: u64,
    /// Those of them that lose it.
    losers: u64,
}

impl Losses {
    /// One repository loses a blob, which it uses or only has.
    fn add(&mut self, digest: &Digest, lost: Lost, plan: &mut Deletion) {
        if !self.several {
            return lost.count(plan);
        }
        if self.lost.len() >= MOST.blobs && !self.lost.contains_key(&short(digest)) {
            plan.at_least = true;
            return;
        }
        let known = self.lost.entry(short(digest)).or_insert(Lost { losers: 0, ..lost });
        known.losers += lost.losers;
    }

    fn count(self, plan: &mut Deletion) {
        self.lost.into_values().for_each(|lost| lost.count(plan));
    }
}

impl Lost {
    fn count(self, plan: &mut Deletion) {
        if self.users <= self.losers {
            plan.blobs += 1;
            plan.freed_bytes += self.size;
        } else {
            plan.elsewhere_bytes += self.size;
        }
    }
}

/// What scheduled collection waits for before it takes blobs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// Nothing: their links go with their repository.
    Nothing,
    /// The grace of their links, which begins when they lose their last manifest.
    Grace,
    /// Before that, until manifests are old enough that nothing holds any more.
    Age,
}

/// A preview in the making.
struct Preview {
    plan: Deletion,
    losses: Losses,
    wait: Wait,
}

impl Registry {
    /// What deleting all of this would free. Nothing is changed.
    ///
    /// # Errors
    /// [`RegistryError`]: something of it does not exist, or the store cannot be read.
    pub async fn plan_deletion(
        self: &Arc<Self>,
        selected: Vec<(Grant<Delete>, Selection)>,
    ) -> Result<Deletion, RegistryError> {
        let Some(holder) = selected.first().map(|(grant, _)| grant.caller().holder()) else {
            return Ok(Deletion::default());
        };
        // Each needs memory in proportion to what it reads.
        let _one_at_a_time = self.planning.lock().await;
        let _turn = self.admit(&holder, Resource::Scans, 1).await?;
        let losses = Losses { several: selected.len() > 1, ..Losses::default() };
        let mut preview = Preview { plan: Deletion::default(), losses, wait: Wait::Nothing };
        for (grant, selection) in selected {
            let unknown = || RegistryError::RepositoryUnknown(grant.name().clone());
            let repository = grant.repository().ok_or_else(unknown)?;
            preview = match selection {
                Selection::All => self.plan_repository(preview, repository).await?,
                Selection::Of { tags, manifests } => {
                    let name = grant.name().clone();
                    self.plan_selection(preview, (repository, name), tags, manifests).await?
                }
            };
        }
        let Preview { mut plan, losses, wait } = preview;
        losses.count(&mut plan);
        plan.due_in_s = self.due_in_s(wait)?;
        Ok(plan)
    }

    /// Running seconds until scheduled collection takes what is deleted now, and what nothing holds then.
    fn due_in_s(&self, wait: Wait) -> Result<Option<u64>, RegistryError> {
        let now_s = self.meta.clock().now().running_s;
        let (grace_s, trash_s) = (self.grace_s(now_s), self.trash_s());
        Ok(match wait {
            Wait::Nothing => Some(trash_s),
            // What only a deleted tag holds goes to the trash with it.
            Wait::Grace | Wait::Age if trash_s > 0 => Some(trash_s.saturating_add(grace_s)),
            Wait::Grace => Some(grace_s),
            Wait::Age => {
                let age_s = self.untagged_s(Untagged::AsSet)?;
                age_s.map(|age_s| age_s.max(self.promises.longest_s(now_s)).saturating_add(grace_s))
            }
        })
    }

    async fn plan_selection(
        self: &Arc<Self>,
        preview: Preview,
        (repository, name): (RepoId, RepoName),
        tags: Vec<Tag>,
        manifests: Vec<Digest>,
    ) -> Result<Preview, RegistryError> {
        let deleted = manifests.len() as u64;
        let of = name.clone();
        let begun = self.meta.scan(move |tx| begin(tx, (repository, &of), &tags, &manifests));
        let below = self.in_parts(begun.await?, Below::advance).await?;
        // Blobs that stay may be used by nothing but manifests that go by themselves.
        let (below, has_loose) = self
            .meta
            .scan(move |tx| {
                let has_loose = below.has_loose(tx)?;
                Ok::<_, StoreError>((below, has_loose))
            })
            .await?;
        let below = if has_loose { self.in_parts(below, Below::add_loose).await? } else { below };
        let (mut below, mut preview) = self
            .in_parts((below, preview), |(below, preview), tx| {
                let Preview { plan, losses, .. } = preview;
                below.weigh(tx, None, &mut |digest, size, verdict| match verdict {
                    Verdict::Lost { users } => losses.add(digest, Lost { size, users, losers: 1 }, plan),
                    Verdict::Kept => plan.kept_bytes += size,
                })
            })
            .await?;
        let (found, plan) = (std::mem::take(&mut below.found), &mut preview.plan);
        preview.wait = preview.wait.max(if found.manifests > deleted { Wait::Age } else { Wait::Grace });
        plan.tags += below.tags().len() as u64;
        plan.manifests += found.manifests;
        plan.manifest_bytes += found.manifest_bytes;
        plan.kept_manifests += found.kept_manifests;
        plan.at_least |= found.at_least;
        let room = |listed: usize| LISTED.saturating_sub(listed);
        let mut names: Vec<&String> = below.tags().iter().collect();
        names.sort_unstable();
        let names = names.into_iter().take(room(plan.tag_names.len())).map(|tag| format!("{name}:{tag}"));
        plan.tag_names.extend(names);
        let gone = found.gone.into_iter().take(room(plan.gone.len()));
        plan.gone.extend(gone.map(|digest| (name.clone(), digest)));
        let kept = found.kept.into_iter().take(room(plan.kept.len()));
        plan.kept.extend(kept.map(|(digest, by)| (name.clone(), digest, by)));
        Ok(preview)
    }

    /// A whole repository: all of its links go.
    async fn plan_repository(
        self: &Arc<Self>,
        mut preview: Preview,
        repository: RepoId,
    ) -> Result<Preview, RegistryError> {
        let usage = self.meta.get(|tx| tx.get(&schema::USAGE_REPOSITORY, repository))?.unwrap_or_default();
        preview.plan.tags += usage.tags;
        preview.plan.manifests += usage.manifests;
        preview.plan.manifest_bytes += usage.manifest_bytes;
        let all = Links { repository, after: None };
        let (_, preview) =
            self.in_parts((all, preview), |(all, preview), tx| all.add_page(tx, preview)).await?;
        Ok(preview)
    }

    /// Calls `step` in one snapshot after the other until it returns true.
    pub(super) async fn in_parts<T: Send + 'static>(
        &self,
        mut state: T,
        step: impl Fn(&mut T, &ReadTx) -> Result<bool, StoreError> + Copy + Send + 'static,
    ) -> Result<T, RegistryError> {
        loop {
            let (after, is_done) = self
                .meta
                .scan(move |tx| {
                    let is_done = step(&mut state, tx)?;
                    Ok::<_, StoreError>((state, is_done))
                })
                .await?;
            state = after;
            if is_done {
                return Ok(state);
            }
        }
    }
}

/// The walk from these tags and manifests, which must exist.
fn begin(
    tx: &ReadTx,
    (repository, name): (RepoId, &RepoName),
    tags: &[Tag],
    manifests: &[Digest],
) -> Result<Below, RegistryError> {
    let mut below = Below::of(repository, MOST);
    for tag in tags {
        let row = tx.get(&schema::TAG, (repository, tag.as_str()))?;
        let row = row.ok_or_else(|| RegistryError::ManifestUnknown(format!("{name}:{tag}")))?;
        below.delete_tag(tag.as_str(), row.digest);
    }
    for digest in manifests {
        if !tx.has(&schema::MANIFEST.keys(), (repository, digest))? {
            return Err(RegistryError::ManifestUnknown(format!("{name}@{digest}")));
        }
        below.delete_manifest(*digest);
        for tag in tags::of(tx, repository, digest, MOST.manifests)? {
            below.delete_tag(tag.as_str(), *digest);
        }
    }
    Ok(below)
}

/// The links of a repository that is deleted, page by page.
struct Links {
    repository: RepoId,
    after: Option<AnyDigest>,
}

impl Links {
    /// Adds the blobs of a page; whether it was the last one.
    fn add_page(&mut self, tx: &ReadTx, preview: &mut Preview) -> Result<bool, StoreError> {
        let mut links = Vec::new();
        let from = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        tx.scan_within(&schema::LINK, self.repository, (from, Bound::Unbounded), |digest, link| {
            links.push((digest, link));
            if links.len() < LINKS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for (digest, link) in links.iter().filter(|(_, link)| link.present) {
            let Some(digest) = digest.known() else { continue };
            let Some(blob) = tx.get(&schema::BLOB, &digest)? else { continue };
            let lost = Lost { size: blob.size, users: blob.users, losers: u64::from(link.references > 0) };
            preview.losses.add(&digest, lost, &mut preview.plan);
        }
        let is_last = links.len() < LINKS;
        self.after = links.pop().map(|(digest, _)| digest);
        Ok(is_last)
    }
}

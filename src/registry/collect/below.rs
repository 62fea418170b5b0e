//! What is below manifests that are deleted, what of it goes with them, and what of it stays.
//!
//! Below a manifest are the manifests that it lists, those that refer to it, and everything below these. By
//! the rules of the collector, one of them goes if nothing holds it any more.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::holders::{Held, Sight, is_freed, search};
use super::manifests;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::store::meta::schema::{self, Manifest};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// Rows that one slice reads, about.
pub(super) const SLICE: usize = 2_000;
/// Manifests that are listed by name.
pub(super) const LISTED: usize = 100;

/// 16 bytes of a digest tell it from any other.
pub(super) type Short = [u8; 16];

pub(super) fn short(digest: &Digest) -> Short {
    digest.bytes().first_chunk().copied().unwrap_or_default()
}

/// What a walk reads and remembers, at most.
#[derive(Clone, Copy)]
pub(super) struct Most {
    /// Manifests that it reaches: about 200 bytes each.
    pub(super) manifests: usize,
    /// Blobs of them: about 100 bytes each.
    pub(super) blobs: usize,
    /// Pages of manifests without a tag.
    pub(super) pages: usize,
}

/// Why a manifest stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// This tag leads to it.
    Tag(String),
    /// This manifest holds it, and stays.
    Manifest(Digest),
    /// More manifests may hold it than are searched.
    Many,
}

/// What becomes of a manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Goes,
    Stays,
}

/// A walk over everything below some manifests of a repository. It is made in slices, each in a snapshot of
/// its own.
pub(super) struct Below {
    repository: RepoId,
    most: Most,
    /// Tags that are deleted.
    tags: HashSet<String>,
    fates: HashMap<Short, Fate>,
    seen: HashSet<Short>,
    /// Manifests to be visited, and whether something that stays holds them.
    waiting: Vec<(Digest, bool)>,
    reached: Vec<Digest>,
    /// Each blob of the manifests that were reached: how many of them that go refer to it.
    references: HashMap<Short, u64>,
    /// The same of manifests elsewhere in the repository that nothing holds: the collector takes them anyway.
    loose: HashMap<Short, u64>,
    /// Manifests without a tag that are not looked at yet, and where their next page begins.
    untagged: Vec<Digest>,
    page_after: Option<Digest>,
    pages: usize,
    /// Rows that were read, about.
    pub(super) rows: usize,
    pub(super) found: Found,
}

/// What a walk has found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) manifests: u64,
    pub(super) manifest_bytes: u64,
    pub(super) kept_manifests: u64,
    pub(super) kept_manifest_bytes: u64,
    /// The first manifests that go.
    pub(super) gone: Vec<Digest>,
    /// The first manifests that stay although what led to them goes.
    pub(super) kept: Vec<(Digest, KeptBy)>,
    /// There is more than is remembered: the figures are smaller than they should be.
    pub(super) at_least: bool,
}

/// What becomes of a blob when everything that goes is collected.
pub(super) enum Verdict {
    /// Its repository loses it. So many repositories use it now.
    Lost { users: u64 },
    /// Its repository keeps it.
    Kept,
}

impl Below {
    pub(super) fn of(repository: RepoId, most: Most) -> Self {
        Self {
            repository,
            most,
            tags: HashSet::new(),
            fates: HashMap::new(),
            seen: HashSet::new(),
            waiting: Vec::new(),
            reached: Vec::new(),
            references: HashMap::new(),
            loose: HashMap::new(),
            untagged: Vec::new(),
            page_after: None,
            pages: most.pages,
            rows: 0,
            found: Found::default(),
        }
    }

    /// Deletes a tag that points to this manifest.
    pub(super) fn delete_tag(&mut self, name: &str, digest: Digest) {
        self.begin(digest);
        self.tags.insert(name.to_owned());
    }

    /// Deletes a manifest, whatever holds it.
    pub(super) fn delete_manifest(&mut self, digest: Digest) {
        self.fates.insert(short(&digest), Fate::Goes);
        self.begin(digest);
    }

    fn begin(&mut self, digest: Digest) {
        if self.seen.insert(short(&digest)) {
            self.waiting.push((digest, false));
        }
    }

    /// The tags that are deleted.
    pub(super) fn tags(&self) -> &HashSet<String> {
        &self.tags
    }

    /// Visits manifests, until nothing is left or the slice is full; whether nothing is left.
    pub(super) fn advance(&mut self, tx: &ReadTx) -> Result<bool, StoreError> {
        let end = self.rows + SLICE;
        while self.rows < end {
            let Some((digest, is_held)) = self.waiting.pop() else { return Ok(true) };
            self.visit(tx, digest, is_held)?;
        }
        Ok(self.waiting.is_empty())
    }

    fn visit(&mut self, tx: &ReadTx, digest: Digest, is_held: bool) -> Result<(), StoreError> {
        self.rows += 1;
        let Some(row) = tx.get(&schema::MANIFEST, (self.repository, &digest))? else { return Ok(()) };
        let fate = if is_held { self.stays(&digest) } else { self.decide(tx, &digest)? };
        self.note(digest, &row, fate);
        for blob in row.blobs.iter().filter_map(AnyDigest::known) {
            let count = u64::from(fate == Fate::Goes);
            self.found.at_least |= !add(&mut self.references, &blob, count, self.most.blobs);
        }
        self.rows += row.blobs.len() / 16;
        for child in row.children.iter().filter_map(AnyDigest::known) {
            if self.reach(child, fate).is_break() {
                return Ok(());
            }
        }
        let repository = self.repository;
        tx.scan_prefix(&schema::REFERRER.keys(), (repository, &digest), |referrer, _| {
            self.rows += 1;
            self.reach(referrer, fate)
        })
    }

    /// Notes a manifest that is below one with this fate; a break when there are too many.
    fn reach(&mut self, digest: Digest, above: Fate) -> ControlFlow<()> {
        if self.seen.len() >= self.most.manifests {
            self.found.at_least = true;
            return ControlFlow::Break(());
        }
        if self.seen.insert(short(&digest)) {
            self.waiting.push((digest, above == Fate::Stays));
        }
        ControlFlow::Continue(())
    }

    /// The fate of a manifest that is held by one that stays.
    fn stays(&mut self, digest: &Digest) -> Fate {
        self.remember(digest, Fate::Stays);
        Fate::Stays
    }

    fn note(&mut self, digest: Digest, row: &Manifest, fate: Fate) {
        self.reached.push(digest);
        let found = &mut self.found;
        let (count, bytes) = match fate {
            Fate::Goes => (&mut found.manifests, &mut found.manifest_bytes),
            Fate::Stays => (&mut found.kept_manifests, &mut found.kept_manifest_bytes),
        };
        *count += 1;
        *bytes += row.size;
        if fate == Fate::Goes && found.gone.len() < LISTED {
            found.gone.push(digest);
        }
    }

    /// Whether a manifest goes when what is deleted is gone and everything that nothing holds was collected.
    fn decide(&mut self, tx: &ReadTx, digest: &Digest) -> Result<Fate, StoreError> {
        if let Some(fate) = self.fates.get(&short(digest)) {
            return Ok(*fate);
        }
        let (mut by, mut rows) = (KeptBy::Many, 0);
        // What is in the trash now goes before what is deleted now.
        let emptied = Sequence(u64::MAX);
        let held = search(tx, (self.repository, digest), emptied, |next, _| {
            rows += 1;
            match self.fates.get(&short(next)) {
                Some(Fate::Goes) => return Ok(Sight::Gone),
                Some(Fate::Stays) => {
                    by = KeptBy::Manifest(*next);
                    return Ok(Sight::Tagged);
                }
                None => {}
            }
            let tag = self.other_tag(tx, next)?;
            let Some(tag) = tag else { return Ok(Sight::Plain) };
            by = KeptBy::Tag(tag);
            Ok(Sight::Tagged)
        })?;
        self.rows += rows;
        if let Held::No(all) = &held {
            for digest in all {
                self.remember(digest, Fate::Goes);
            }
            return Ok(Fate::Goes);
        }
        self.remember(digest, Fate::Stays);
        if self.seen.contains(&short(digest)) && self.found.kept.len() < LISTED {
            self.found.kept.push((*digest, by));
        }
        Ok(Fate::Stays)
    }

    /// A tag of the manifest that is not deleted.
    fn other_tag(&self, tx: &ReadTx, digest: &Digest) -> Result<Option<String>, StoreError> {
        let mut other = None;
        tx.scan_prefix(&schema::TAG_BY_DIGEST.keys(), (self.repository, digest), |name, _| {
            if self.tags.contains(name) {
                return ControlFlow::Continue(());
            }
            other = Some(name.to_owned());
            ControlFlow::Break(())
        })?;
        Ok(other)
    }

    /// Remembers what becomes of a manifest, while there is room: without it, it is decided again.
    fn remember(&mut self, digest: &Digest, fate: Fate) {
        if self.fates.len() < self.most.manifests {
            self.fates.insert(short(digest), fate);
        }
    }

    /// Whether blobs of the repository may be used by manifests that nothing holds.
    pub(super) fn has_loose(&self, tx: &ReadTx) -> Result<bool, StoreError> {
        // The row goes when the collector finds that nothing is left to delete.
        tx.has(&schema::DIRTY_REPOSITORY.keys(), self.repository)
    }

    /// Counts the references of manifests that the walk has not reached and that nothing holds, until none is
    /// left or the slice is full; whether none is left. Only references to blobs that were reached, or all of
    /// them when nothing was reached.
    pub(super) fn add_loose(&mut self, tx: &ReadTx) -> Result<bool, StoreError> {
        let (all, end) = (self.reached.is_empty(), self.rows + SLICE);
        while self.rows < end {
            let Some(digest) = self.untagged.pop() else {
                if self.pages == 0 {
                    return Ok(true);
                }
                self.next_page(tx)?;
                continue;
            };
            if self.seen.contains(&short(&digest)) || self.decide(tx, &digest)? == Fate::Stays {
                continue;
            }
            let row = tx.get(&schema::MANIFEST, (self.repository, &digest))?;
            for blob in row.iter().flat_map(|row| &row.blobs).filter_map(AnyDigest::known) {
                if all || self.references.contains_key(&short(&blob)) {
                    self.found.at_least |= !add(&mut self.loose, &blob, 1, self.most.blobs);
                }
            }
        }
        Ok(false)
    }

    /// Reads the next page of manifests without a tag.
    fn next_page(&mut self, tx: &ReadTx) -> Result<(), StoreError> {
        let page = manifests::untagged(tx, self.repository, self.page_after)?;
        // The collector leaves such a repository alone: nothing would be freed.
        if page.damaged.is_some() {
            return Err(StoreError::Corrupt { table: schema::MANIFEST.name() });
        }
        self.rows += manifests::PAGE;
        (self.untagged, self.page_after) = (page.found, page.next);
        self.pages = if self.page_after.is_some() { self.pages - 1 } else { 0 };
        // Some manifests are not looked at: blobs that they use seem to be used for good.
        self.found.at_least |= self.pages == 0 && self.page_after.is_some();
        Ok(())
    }

    /// The references of manifests that nothing holds.
    pub(super) fn into_loose(self) -> HashMap<Short, u64> {
        self.loose
    }

    /// Decides on the blobs of some of the manifests that were reached, each once: calls `each` with their
    /// sizes. Whether none is left. `loose`: references of manifests that nothing holds, beside those that
    /// the walk has counted itself.
    pub(super) fn weigh(
        &mut self,
        tx: &ReadTx,
        loose: Option<&HashMap<Short, u64>>,
        each: &mut dyn FnMut(&Digest, u64, Verdict),
    ) -> Result<bool, StoreError> {
        let end = self.rows + SLICE;
        while self.rows < end {
            let Some(manifest) = self.reached.pop() else { return Ok(true) };
            let row = tx.get(&schema::MANIFEST, (self.repository, &manifest))?;
            self.rows += 1;
            for digest in row.iter().flat_map(|row| &row.blobs).filter_map(AnyDigest::known) {
                let Some(going) = self.references.remove(&short(&digest)) else { continue };
                self.rows += 2;
                let link = tx.get(&schema::LINK, (self.repository, &digest))?;
                let Some(link) = link.filter(|link| link.present) else { continue };
                let Some(blob) = tx.get(&schema::BLOB, &digest)? else { continue };
                let others = loose.unwrap_or(&self.loose).get(&short(&digest)).copied().unwrap_or(0);
                let is_lost = going > 0 && is_freed(&link, going + others);
                let verdict = if is_lost { Verdict::Lost { users: blob.users } } else { Verdict::Kept };
                each(&digest, blob.size, verdict);
            }
        }
        Ok(self.reached.is_empty())
    }
}

/// Adds to a count, unless there are too many counts; whether it was added.
fn add(counts: &mut HashMap<Short, u64>, digest: &Digest, count: u64, most: usize) -> bool {
    if counts.len() >= most && !counts.contains_key(&short(digest)) {
        return false;
    }
    *counts.entry(short(digest)).or_default() += count;
    true
}

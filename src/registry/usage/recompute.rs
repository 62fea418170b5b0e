//! Computes usage from the rows of links, manifests and tags: for checks, rebuilds and migrations.

use std::collections::BTreeMap;

use crate::model::names::{ProjectId, RepoId};
use crate::store::meta::schema::{self, Usage};
use crate::store::meta::{Pages, ReadTx, Reader, StoreError, Tx as _};

/// A new count of what repositories and projects hold. One that holds nothing has no entry.
pub(in crate::registry) struct Tally {
    /// repository -> its project and all ancestors.
    chains: BTreeMap<RepoId, Vec<ProjectId>>,
    /// repository -> what it holds.
    pub(in crate::registry) repositories: BTreeMap<RepoId, Usage>,
    /// project -> what it and the projects below it hold.
    pub(in crate::registry) projects: BTreeMap<ProjectId, Usage>,
}

/// Called for each blob that is held: its digest's key, and the number of repositories of each project that
/// hold it.
pub(in crate::registry) type EachBlob<'a> =
    &'a mut dyn FnMut(&ReadTx, &[u8], &BTreeMap<ProjectId, u64>) -> Result<(), StoreError>;

impl Tally {
    /// An empty count. `chains` has the ancestors of each repository, the root last.
    pub(in crate::registry) const fn new(chains: BTreeMap<RepoId, Vec<ProjectId>>) -> Self {
        Self { chains, repositories: BTreeMap::new(), projects: BTreeMap::new() }
    }

    /// Counts the content of the store. With short snapshots the result is exact only while nothing is
    /// written. Rows that cannot be read are skipped.
    pub(in crate::registry) fn of_store(meta: Reader<'_>, each: EachBlob<'_>) -> Result<Self, StoreError> {
        let mut tally = Self::new(chains(meta)?);
        meta.sweep(&schema::MANIFEST, Pages::all(), |_, (repository, _), row| {
            if let Some(row) = row {
                tally.manifest(RepoId(repository), row.size);
            }
            Ok::<_, StoreError>(())
        })?;
        meta.sweep(&schema::TAG, Pages::all(), |_, (repository, _), _| {
            tally.tag(RepoId(repository));
            Ok::<_, StoreError>(())
        })?;
        let mut held = Held::default();
        meta.sweep(&schema::BLOB_LINK, Pages::all(), |tx, (digest, repository), _| {
            if held.digest != digest {
                held.count(tx, &mut tally, each)?;
                held.digest = digest.to_vec();
            }
            held.holders.push(RepoId(repository));
            Ok::<_, StoreError>(())
        })?;
        meta.read(|tx| held.count(tx, &mut tally, each))?;
        Ok(tally)
    }

    /// Counts a manifest.
    pub(in crate::registry) fn manifest(&mut self, repository: RepoId, bytes: u64) {
        self.change(repository, |usage| {
            usage.manifests += 1;
            usage.manifest_bytes += bytes;
        });
    }

    /// Counts a tag.
    pub(in crate::registry) fn tag(&mut self, repository: RepoId) {
        self.change(repository, |usage| usage.tags += 1);
    }

    /// Counts a blob with all repositories that hold it; returns the number of them in each project.
    pub(in crate::registry) fn blob(&mut self, bytes: u64, holders: &[RepoId]) -> BTreeMap<ProjectId, u64> {
        let add = |usage: &mut Usage, unique: bool| {
            usage.blobs += 1;
            usage.bytes += bytes;
            usage.unique_bytes += if unique { bytes } else { 0 };
        };
        let mut counts = BTreeMap::new();
        for repository in holders {
            add(self.repositories.entry(*repository).or_default(), holders.len() == 1);
            for project in self.chains.get(repository).into_iter().flatten() {
                *counts.entry(*project).or_insert(0) += 1;
            }
        }
        for (project, count) in &counts {
            add(self.projects.entry(*project).or_default(), *count == holders.len() as u64);
        }
        counts
    }

    fn change(&mut self, repository: RepoId, change: impl Fn(&mut Usage)) {
        change(self.repositories.entry(repository).or_default());
        for project in self.chains.get(&repository).into_iter().flatten() {
            change(self.projects.entry(*project).or_default());
        }
    }
}

/// A blob, and the holders that were read so far.
#[derive(Default)]
struct Held {
    digest: Vec<u8>,
    holders: Vec<RepoId>,
}

impl Held {
    fn count(&mut self, tx: &ReadTx, tally: &mut Tally, each: EachBlob<'_>) -> Result<(), StoreError> {
        if self.holders.is_empty() {
            return Ok(());
        }
        let row = match tx.get(&schema::BLOB.raw_keys(), &self.digest[..]) {
            Err(StoreError::Corrupt { .. }) => None,
            other => other?,
        };
        let counts = tally.blob(row.map_or(0, |row| row.size), &self.holders);
        self.holders.clear();
        each(tx, &self.digest, &counts)
    }
}

/// The ancestors of each repository.
fn chains(meta: Reader<'_>) -> Result<BTreeMap<RepoId, Vec<ProjectId>>, StoreError> {
    let mut parents = BTreeMap::new();
    meta.sweep(&schema::PROJECT, Pages::all(), |_, id, row| {
        parents.insert(ProjectId(id), row.and_then(|row| row.parent));
        Ok::<_, StoreError>(())
    })?;
    let mut chains = BTreeMap::new();
    meta.sweep(&schema::REPOSITORY, Pages::all(), |_, id, row| {
        let mut chain = Vec::new();
        let mut next = row.map(|row| row.project);
        // A cycle of parents is damage, and must not become an endless loop.
        while let Some(project) = next.filter(|project| !chain.contains(project)) {
            chain.push(project);
            next = parents.get(&project).copied().flatten();
        }
        chains.insert(RepoId(id), chain);
        Ok::<_, StoreError>(())
    })?;
    Ok(chains)
}

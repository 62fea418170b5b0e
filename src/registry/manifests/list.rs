//! Lists of manifests for the admin API.

use std::ops::{Bound, ControlFlow};

use crate::access::{Grant, Pull};
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::registry::error::RegistryError;
use crate::registry::{Registry, tags};
use crate::store::meta::schema::{self, Manifest};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// The most tags of a manifest that are listed.
const TAGS: usize = 10;
/// The most rows that are read for a page, and the most rows that these may refer to together: a filter may
/// skip most of them.
const MAX_ROWS: usize = 2_000;
const MAX_REFERENCES: usize = 200_000;

/// A manifest of a repository.
#[derive(Clone, Debug)]
pub struct ManifestView {
    /// Its digest.
    pub digest: Digest,
    /// Its row.
    pub row: Manifest,
    /// The first tags that point to it.
    pub tags: Vec<String>,
    /// Whether an index of the repository lists it.
    pub in_index: bool,
    /// Whether it refers to a manifest that the repository has.
    pub refers: bool,
}

impl ManifestView {
    /// Whether nothing leads to it but its digest: no tag, no index, no manifest that it refers to.
    pub const fn is_untagged(&self) -> bool {
        self.tags.is_empty() && !self.in_index && !self.refers
    }
}

/// A page of the list of manifests.
#[derive(Clone, Debug, Default)]
pub struct ManifestPage {
    /// The manifests.
    pub manifests: Vec<ManifestView>,
    /// The digest after which the next page begins.
    pub next: Option<Digest>,
}

impl Registry {
    /// Up to `limit` manifests of a repository after a digest, in the order of digests; with `untagged` only
    /// those that no tag, index or subject leads to.
    pub async fn manifest_views(
        &self,
        grant: &Grant<Pull>,
        last: Option<Digest>,
        limit: usize,
        untagged: bool,
    ) -> Result<ManifestPage, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(grant.name().clone());
        let repository = grant.repository().ok_or_else(unknown)?;
        self.scan(&grant.caller().holder(), move |tx| Ok(page(tx, repository, last, limit, untagged)?)).await
    }

    /// One manifest of a repository.
    pub fn manifest_view(&self, grant: &Grant<Pull>, digest: &Digest) -> Result<ManifestView, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(grant.name().clone());
        let repository = grant.repository().ok_or_else(unknown)?;
        let found = self.meta.get(|tx| {
            let row = tx.get(&schema::MANIFEST, (repository, digest))?;
            row.map(|row| view(tx, repository, *digest, row)).transpose()
        });
        found?.ok_or_else(|| RegistryError::ManifestUnknown(digest.to_string()))
    }
}

fn page(
    tx: &ReadTx,
    repository: RepoId,
    last: Option<Digest>,
    limit: usize,
    untagged: bool,
) -> Result<ManifestPage, StoreError> {
    let (mut page, mut rows, mut references) = (ManifestPage::default(), 0, 0);
    let mut result = Ok(());
    let from = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut seen = None;
    tx.scan_within(&schema::MANIFEST, repository, (from, Bound::Unbounded), |digest, row| {
        if page.manifests.len() == limit || rows == MAX_ROWS || references > MAX_REFERENCES {
            page.next = seen;
            return ControlFlow::Break(());
        }
        rows += 1;
        references += row.blobs.len() + row.children.len();
        seen = Some(digest);
        // A tagged manifest needs no further reads.
        if untagged && row.untagged_since.is_none() {
            return ControlFlow::Continue(());
        }
        match view(tx, repository, digest, row) {
            Ok(view) if !untagged || view.is_untagged() => page.manifests.push(view),
            Ok(_) => {}
            Err(error) => result = Err(error),
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| page)
}

fn view(tx: &ReadTx, repository: RepoId, digest: Digest, row: Manifest) -> Result<ManifestView, StoreError> {
    let in_index = tx.any(&schema::PARENT.keys(), (repository, &digest))?;
    let refers = match row.subject.as_ref().and_then(AnyDigest::known) {
        Some(subject) => tx.has(&schema::MANIFEST, (repository, &subject))?,
        None => false,
    };
    let tags = tags::of(tx, repository, &digest, TAGS)?.iter().map(ToString::to_string).collect();
    Ok(ManifestView { digest, row, tags, in_index, refers })
}

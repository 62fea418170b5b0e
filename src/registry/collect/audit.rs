//! The audit before a run: are the counts right, on which collection relies? It can only spare.
//!
//! Each manifest of a repository with garbage names blobs, and each of them must have a link that counts a
//! reference, and be listed as held by the repository. Where that does not hold, or a row cannot be read, the
//! run leaves the whole repository alone, and the blobs that its manifests name.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::links::{self, Candidate};
use super::{Observer, Run};
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::registry::error::RegistryError;
use crate::store::meta::schema::{self, Link, Manifest};
use crate::store::meta::{Raw, ReadTx, Row as _, StoreError, Tx as _};

/// Manifests that a run looks at, at most. Repositories beyond them are collected without an audit.
const MANIFESTS: usize = 50_000;
/// Manifests that are read in one snapshot.
const PAGE: usize = 500;
/// Repositories with garbage that are audited in one run, at most.
const REPOSITORIES: usize = 10_000;

/// What a run leaves alone.
#[derive(Debug, Default)]
pub(super) struct Vetoed {
    pub(super) repositories: HashSet<RepoId>,
    pub(super) digests: HashSet<Digest>,
}

/// What a page of manifests shows.
#[derive(Default)]
struct Page {
    last: Option<Digest>,
    manifests: usize,
    named: HashSet<Digest>,
    wrong: Option<String>,
}

impl Run {
    /// Audits the repositories that have links without references; whether the run goes on.
    pub(super) async fn audit(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        let repositories = self.with_garbage().await?;
        let (mut vetoed, mut looked_at) = (Vetoed::default(), 0);
        for repository in repositories {
            let (mut after, mut named, mut wrong) = (None, HashSet::new(), None);
            while looked_at < MANIFESTS {
                let page = self.registry.meta.scan(move |tx| read(tx, repository, after)).await?;
                looked_at += page.manifests;
                named.extend(page.named);
                wrong = wrong.or(page.wrong);
                after = page.last;
                if !self.breathe(observer).await {
                    return Ok(false);
                }
                if after.is_none() {
                    break;
                }
            }
            if let Some(what) = wrong {
                tracing::error!(%repository, what, "garbage collection leaves a repository alone; run: stowage fsck");
                self.collected.spare(|| format!("repository number {repository}: {what}"));
                vetoed.repositories.insert(repository);
                vetoed.digests.extend(named);
            }
        }
        self.vetoed = Arc::new(vetoed);
        Ok(true)
    }

    /// Repositories with links that the run may remove.
    async fn with_garbage(&self) -> Result<BTreeSet<RepoId>, RegistryError> {
        let (mut found, mut after): (BTreeSet<RepoId>, Option<Candidate>) = (BTreeSet::new(), None);
        let newest = self.registry.newest_due(self.mode);
        while found.len() < REPOSITORIES {
            let from = after;
            let listed = self.registry.meta.scan(move |tx| links::list(tx, from.as_ref(), newest)).await?;
            found.extend(listed.iter().map(|(_, repository, _)| *repository));
            let Some(last) = listed.last() else { break };
            after = Some(last.clone());
        }
        Ok(found)
    }
}

fn read(tx: &ReadTx, repository: RepoId, after: Option<Digest>) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut rows = Vec::new();
    tx.scan_within(&schema::MANIFEST.raw(), repository, (from, Bound::Unbounded), |digest, Raw(row)| {
        rows.push((digest, row));
        if rows.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    page.manifests = rows.len();
    page.last = rows.last().filter(|_| rows.len() == PAGE).map(|(digest, _)| *digest);
    for (digest, row) in rows {
        let Some(manifest) = Manifest::decode(&row) else {
            page.wrong = Some(format!("the row of the manifest {digest} cannot be read"));
            continue;
        };
        for blob in &manifest.blobs {
            page.named.extend(blob.known());
            let fits = is_counted(tx, repository, blob)?;
            if !fits && page.wrong.is_none() {
                page.wrong = Some(format!("the reference of {digest} to {blob} is not counted"));
            }
        }
    }
    Ok(page)
}

/// Whether the link of a blob counts references, and the blob is listed as held if it is present.
fn is_counted(tx: &ReadTx, repository: RepoId, digest: &AnyDigest) -> Result<bool, StoreError> {
    let row = tx.get(&schema::LINK.raw(), (repository, digest))?;
    let Some(link) = row.and_then(|Raw(row)| Link::decode(&row)) else { return Ok(false) };
    let is_held = match digest.known() {
        Some(digest) if link.present => tx.has(&schema::BLOB_LINK, (&digest, repository))?,
        _ => true,
    };
    Ok(link.references > 0 && is_held)
}

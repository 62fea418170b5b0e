//! Summaries of repositories and tags for the admin API.

use std::ops::{Bound, ControlFlow};

use super::Registry;
use super::error::RegistryError;
use crate::access::{Catalog, Grant, Pull};
use crate::model::names::{ProjectId, RepoId, RepoName};
use crate::store::meta::schema::{self, Disk, Tag, Usage};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// A repository, and what it holds.
#[derive(Clone, Debug)]
pub struct RepositoryView {
    /// The stable number.
    pub id: RepoId,
    /// The name.
    pub name: String,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
    /// What it holds.
    pub usage: Usage,
}

/// The content of the whole registry.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Repositories that hold a manifest.
    pub repositories: u64,
    /// Its usage. Deleted repositories do not count, except for blobs that several of them share.
    pub usage: Usage,
    /// Deletions in the trash.
    pub trash: u64,
    /// Why every change is refused at present; `None` if none is.
    pub refusal: Option<String>,
    /// The figures of the blob directory.
    pub disk: Disk,
    /// Bytes that are free on the disk of the blobs.
    pub free_bytes: u64,
    /// The size of that disk in bytes.
    pub total_bytes: u64,
}

impl Registry {
    /// Up to `limit` repositories that hold a manifest, after the name `last` in byte order, of those that
    /// the caller may see.
    pub async fn repositories(
        &self,
        grant: Grant<Catalog>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Vec<RepositoryView>, RegistryError> {
        let (holder, now_ms) = (grant.caller().holder(), self.meta.latest_ms());
        self.scan(&holder, move |tx| {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut names = Vec::new();
            let rights = grant.rights(now_ms, tx)?;
            tx.scan_range(&schema::CATALOG, (from, Bound::Unbounded), |name, ()| {
                if names.len() == limit {
                    return ControlFlow::Break(());
                }
                if rights.sees(name) {
                    names.push(name.to_owned());
                }
                ControlFlow::Continue(())
            })?;
            let mut views = Vec::with_capacity(names.len());
            for name in names {
                if let Some(id) = tx.get(&schema::REPOSITORY_NAME, name.as_str())? {
                    views.extend(view(tx, id)?);
                }
            }
            Ok(views)
        })
        .await
    }

    /// One repository.
    pub fn repository_view(&self, grant: &Grant<Pull>) -> Result<RepositoryView, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(RepoName::clone(grant.name()));
        let id = grant.repository().ok_or_else(unknown)?;
        self.meta.get(|tx| view(tx, id))?.ok_or_else(unknown)
    }

    /// Up to `limit` tags of a repository after the tag `last` in byte order.
    pub async fn tag_views(
        &self,
        grant: &Grant<Pull>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, Tag)>, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(RepoName::clone(grant.name()));
        let id = grant.repository().ok_or_else(unknown)?;
        self.scan(&grant.caller().holder(), move |tx| {
            let rest = (last.as_deref().map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let mut tags = Vec::new();
            tx.scan_within(&schema::TAG, id, rest, |name, row| {
                if tags.len() == limit {
                    return ControlFlow::Break(());
                }
                tags.push((name.to_owned(), row));
                ControlFlow::Continue(())
            })?;
            Ok(tags)
        })
        .await
    }

    /// One tag of a repository.
    pub fn tag_view(&self, grant: &Grant<Pull>, tag: &str) -> Result<Option<Tag>, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(RepoName::clone(grant.name()));
        let id = grant.repository().ok_or_else(unknown)?;
        Ok(self.meta.get(|tx| tx.get(&schema::TAG, (id, tag)))?)
    }

    /// The totals of the registry.
    pub async fn totals(&self, grant: &Grant<Catalog>) -> Result<Totals, RegistryError> {
        let space = self.space.space();
        let (free_bytes, total_bytes) = (space.available, space.total);
        let refusal = self.meta.refusal().map(|error| error.to_string());
        self.scan(&grant.caller().holder(), move |tx| {
            let repositories = tx.count(&schema::CATALOG)?;
            let all = tx.get(&schema::USAGE_PROJECT, ProjectId::ROOT)?.unwrap_or_default();
            let (usage, trash) = (without_deleted(tx, all)?, tx.count(&schema::TRASH)?);
            let disk = tx.get(&schema::DISK, ())?.unwrap_or_default();
            Ok(Totals { repositories, usage, trash, refusal, disk, free_bytes, total_bytes })
        })
        .await
    }
}

/// A usage without the repositories in the trash.
fn without_deleted(tx: &ReadTx, mut usage: Usage) -> Result<Usage, StoreError> {
    let mut deleted = Vec::new();
    tx.scan_all(&schema::TRASH_REPOSITORY.keys(), |repository, _| {
        deleted.push(repository);
        ControlFlow::Continue(())
    })?;
    for repository in deleted {
        let one = tx.get(&schema::USAGE_REPOSITORY, repository)?.unwrap_or_default();
        usage.tags = usage.tags.saturating_sub(one.tags);
        usage.manifests = usage.manifests.saturating_sub(one.manifests);
        usage.manifest_bytes = usage.manifest_bytes.saturating_sub(one.manifest_bytes);
        usage.bytes = usage.bytes.saturating_sub(one.unique_bytes);
    }
    Ok(usage)
}

pub(super) fn view(tx: &ReadTx, id: RepoId) -> Result<Option<RepositoryView>, StoreError> {
    let Some(row) = tx.get(&schema::REPOSITORY, id)? else { return Ok(None) };
    let usage = tx.get(&schema::USAGE_REPOSITORY, id)?.unwrap_or_default();
    Ok(Some(RepositoryView { id, name: row.name, created_ms: row.created_ms, usage }))
}

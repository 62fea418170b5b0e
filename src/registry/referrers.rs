//! Referrers: the manifests that name another one as their subject.

use std::ops::Bound;
use std::ops::ControlFlow;

use super::Registry;
use super::error::RegistryError;
use crate::auth::{Grant, Pull};
use crate::model::annotations::Annotations;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::Manifest;
use crate::model::names::RepoId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::rows;
use crate::store::meta::tables;

/// Descriptors on a page at most. Clients that read one page only shall see as much as they can hold.
const MAX_ENTRIES: usize = 1000;
/// Bytes of a page at most, less what the frame takes: oras-go and containerd read 4 MiB.
const MAX_BYTES: usize = (4 << 20) - 4096;

/// What is asked about referrers.
#[derive(Clone, Debug)]
pub struct ReferrerQuery {
    /// The manifest referred to, which need not exist.
    pub subject: AnyDigest,
    /// Only these artifact types; empty: all.
    pub artifact_types: Vec<String>,
    /// Only after this digest.
    pub last: Option<Digest>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// One descriptor of the list.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

/// A part of the list of referrers, in the order of their digests.
#[derive(Clone, Debug, Default)]
pub struct ReferrerPage {
    /// The descriptors.
    pub manifests: Vec<ReferrerDescriptor>,
    /// The digest after which the next page starts.
    pub next: Option<Digest>,
}

impl Registry {
    /// A page of the referrers of a subject. A subject or a repository that was never seen has none.
    pub async fn referrers(
        &self,
        grant: &Grant<Pull>,
        query: ReferrerQuery,
    ) -> Result<ReferrerPage, RegistryError> {
        let Some(repository) = grant.repository() else { return Ok(ReferrerPage::default()) };
        self.meta.scan(move |tx| page(tx, repository, &query)).await
    }
}

fn page(tx: &impl Tx, repository: RepoId, query: &ReferrerQuery) -> Result<ReferrerPage, RegistryError> {
    let limit = query.limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    let mut page = ReferrerPage::default();
    let mut bytes = 0;
    for (digest, row) in rows(tx, repository, query, limit + 1)? {
        let descriptor = describe(tx, &digest, row)?;
        let size = serde_json::to_vec(&descriptor).map_or(0, |json| json.len()) + 1;
        let full = page.manifests.len() == limit || (!page.manifests.is_empty() && bytes + size > MAX_BYTES);
        if full {
            page.next = page.manifests.last().map(|last| last.digest);
            break;
        }
        bytes += size;
        page.manifests.push(descriptor);
    }
    Ok(page)
}

fn rows(
    tx: &impl Tx,
    repository: RepoId,
    query: &ReferrerQuery,
    limit: usize,
) -> Result<Vec<(Digest, rows::Referrer)>, StoreError> {
    let subject = query.subject.key();
    let last = query.last.map(|last| last.key());
    let from = match &last {
        Some(last) => Bound::Excluded((repository.0, &subject[..], &last[..])),
        None => Bound::Included((repository.0, &subject[..], &[][..])),
    };
    let mut found = Vec::new();
    tx.scan(&tables::REFERRER, from, Bound::Unbounded, |(other, key, digest), row| {
        if other != repository.0 || key != subject {
            return ControlFlow::Break(());
        }
        let types = &query.artifact_types;
        let wanted =
            types.is_empty() || row.artifact_type.as_ref().is_some_and(|artifact| types.contains(artifact));
        if wanted && let Some(digest) = Digest::from_key(digest) {
            found.push((digest, row));
        }
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

fn describe(tx: &impl Tx, digest: &Digest, row: rows::Referrer) -> Result<ReferrerDescriptor, StoreError> {
    let mut annotations = Annotations::default();
    if row.annotated
        && let Some(body) = tx.get(&tables::MANIFEST_BODY, &digest.key()[..])?
        && let Ok(manifest) = Manifest::parse(Some(&row.media_type), &body.0)
    {
        annotations = manifest.annotations;
    }
    Ok(ReferrerDescriptor {
        media_type: row.media_type,
        digest: *digest,
        size: row.size,
        artifact_type: row.artifact_type,
        annotations,
    })
}

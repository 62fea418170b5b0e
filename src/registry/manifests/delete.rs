//! Deleting manifests and tags.

use std::ops::Bound;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::auth::{Delete, Grant};
use crate::model::digest::Digest;
use crate::model::event::EventKind;
use crate::model::names::Reference;
use crate::model::names::RepoId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::events;
use crate::registry::links;
use crate::registry::repositories;
use crate::registry::tags;
use crate::registry::usage;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Manifest;
use crate::store::meta::tables;

/// Manifests or blobs that one transaction takes from a repository that goes.
const SLICE: usize = 256;

impl Registry {
    /// Deletes a tag, or a manifest with every tag that points to it. Referrers of the manifest stay listed.
    pub async fn delete_manifest(
        &self,
        grant: &Grant<Delete>,
        reference: Reference,
    ) -> Result<(), RegistryError> {
        let grant = grant.carry();
        self.meta
            .write_from_reserve(move |tx| match &reference {
                Reference::Tag(tag) => {
                    let repository = repositories::existing(tx, &grant)?;
                    tags::delete(tx, repository, tag, grant.caller())?
                        .ok_or_else(|| RegistryError::ManifestUnknown(tag.to_string()))?;
                    events::audit(tx, grant.caller(), "tag.delete", format!("{}:{tag}", grant.name()))?;
                    Ok(())
                }
                Reference::Digest(digest) => delete(tx, &grant, digest),
            })
            .await
    }

    /// Deletes everything in a repository, which goes with the last of it: manifests and tags in slices, then its hold
    /// on blobs. A stop in between leaves a smaller repository; deleting it again goes on.
    pub async fn delete_repository(self: &Arc<Self>, grant: &Grant<Delete>) -> Result<(), RegistryError> {
        let (registry, grant) = (Arc::clone(self), Arc::new(grant.carry()));
        self.detached(async move {
            loop {
                let slice = Arc::clone(&grant);
                if registry.meta.write_from_reserve(move |tx| delete_slice(tx, &slice)).await?.is_break() {
                    return Ok(());
                }
            }
        })
        .await
    }
}

fn delete_slice(tx: &WriteTx<'_>, grant: &Grant<Delete>) -> Result<ControlFlow<()>, RegistryError> {
    let repository = repositories::existing(tx, grant)?;
    let (first, last): (&[u8], &[u8]) = (&[], &[u8::MAX; 66]);
    let (from, to) = (Bound::Included((repository.0, first)), Bound::Included((repository.0, last)));
    let mut manifests = Vec::new();
    tx.scan(&tables::MANIFEST, from, to, |(_, key), _| {
        manifests.extend(Digest::from_key(key));
        if manifests.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for digest in &manifests {
        delete_from(tx, grant, repository, digest)?;
    }
    if !manifests.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut links = Vec::new();
    tx.scan(&tables::LINK, from, to, |(_, key), link| {
        links.extend(Digest::from_key(key).filter(|_| link.references == 0).map(|digest| (digest, link)));
        if links.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for (digest, link) in &links {
        links::detach(tx, repository, digest, link)?;
    }
    if links.len() == SLICE {
        return Ok(ControlFlow::Continue(()));
    }
    events::audit(tx, grant.caller(), "repository.delete", grant.name().to_string())?;
    repositories::remove_if_empty(tx, repository)?;
    Ok(ControlFlow::Break(()))
}

fn delete(tx: &WriteTx<'_>, grant: &Grant<Delete>, digest: &Digest) -> Result<(), RegistryError> {
    let repository = repositories::existing(tx, grant)?;
    delete_from(tx, grant, repository, digest)?;
    repositories::remove_if_empty(tx, repository)?;
    Ok(())
}

fn delete_from(
    tx: &WriteTx<'_>,
    grant: &Grant<Delete>,
    repository: RepoId,
    digest: &Digest,
) -> Result<(), RegistryError> {
    let key = digest.key();
    let row = tx
        .get(&tables::MANIFEST, (repository.0, &key[..]))?
        .ok_or_else(|| RegistryError::ManifestUnknown(digest.to_string()))?;
    let removed_tags = tags::of(tx, repository, digest)?;
    for tag in &removed_tags {
        tags::delete(tx, repository, tag, grant.caller())?;
    }
    drop_rows(tx, repository, digest, &row)?;
    let kind =
        EventKind::ManifestDeleted { repository: grant.name().clone(), digest: *digest, tags: removed_tags };
    events::record(tx, grant.caller(), kind)?;
    events::audit(tx, grant.caller(), "manifest.delete", format!("{}@{digest}", grant.name()))?;
    Ok(())
}

/// Removes a manifest's own rows and what it counted. Its tags are gone already.
fn drop_rows(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    row: &Manifest,
) -> Result<(), StoreError> {
    let key = digest.key();
    for blob in &row.blobs {
        links::unreference(tx, repository, blob)?;
    }
    for child in &row.children {
        tx.delete(&tables::PARENT, (repository.0, &child.key()[..], &key[..]))?;
    }
    if let Some(subject) = &row.subject {
        tx.delete(&tables::REFERRER, (repository.0, &subject.key()[..], &key[..]))?;
    }
    tx.delete(&tables::MANIFEST, (repository.0, &key[..]))?;
    tx.delete(&tables::PULLS, (repository.0, &key[..]))?;
    tx.delete(&tables::MANIFEST_REPO, (&key[..], repository.0))?;
    let range = (Bound::Included((&key[..], 0)), Bound::Included((&key[..], u64::MAX)));
    if !tx.any(&tables::MANIFEST_REPO, range.0, range.1)? {
        tx.delete(&tables::MANIFEST_BODY, &key[..])?;
    }
    usage::change(tx, repository, |usage| {
        usage.manifests -= 1;
        usage.manifest_bytes -= row.size;
    })?;
    tx.put(&tables::DIRTY_REPOSITORY, repository.0, &tx.next_sequence())?;
    let (first, last): (&[u8], &[u8]) = (&[], &[u8::MAX; 66]);
    let left = (Bound::Included((repository.0, first)), Bound::Included((repository.0, last)));
    if !tx.any(&tables::MANIFEST, left.0, left.1)?
        && let Some(repository) = tx.get(&tables::REPOSITORY, repository.0)?
    {
        tx.delete(&tables::CATALOG, repository.name.as_str())?;
    }
    Ok(())
}

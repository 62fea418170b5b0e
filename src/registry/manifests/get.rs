//! Reading manifests.

use std::sync::Arc;

use bytes::Bytes;

use super::marks;
use crate::access::{Grant, Pull};
use crate::model::digest::Digest;
use crate::model::names::{Reference, RepoId, Tag};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::meta::schema::{self, Manifest};
use crate::store::meta::{StoreError, Tx};

/// A body of at most this many bytes is read on the calling thread.
const INLINE: u64 = 64 << 10;

/// Bytes of a large manifest that are kept in memory for a slow client.
const PIECE: usize = 256 << 10;

/// The answer to a `HEAD` of a manifest.
#[derive(Clone, Debug)]
pub struct ManifestHead {
    /// The digest under which it was pushed.
    pub digest: Digest,
    /// The media type with which it was pushed.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A manifest with its bytes.
#[derive(Clone, Debug)]
pub struct ManifestContent {
    /// Its digest, type and size.
    pub head: ManifestHead,
    /// The bytes as they were pushed: all, or the first ones of a large manifest. The others are read when
    /// the client has taken these ([`Registry::manifest_piece`]).
    pub body: Bytes,
}

impl Registry {
    /// The digest, type and size of a manifest. The response promises that the manifest stays for a while,
    /// because a client may skip its push.
    pub async fn manifest_head(
        &self,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<ManifestHead, RegistryError> {
        let repository = known(grant, reference)?;
        let freeings = self.promises.freeings();
        let found =
            self.meta.get(|tx| find(tx, repository, reference).map(|(digest, row)| head(digest, row)))?;
        let (reference, digest) = (reference.clone(), found.digest);
        self.keep_promise((repository, digest), freeings, move |tx| {
            let (now, _) = find(tx, repository, &reference)?;
            if now == digest { Ok(()) } else { Err(RegistryError::ManifestUnknown(reference.to_string())) }
        })
        .await?;
        Ok(found)
    }

    /// A manifest with its bytes. They are hashed; damaged ones are never sent.
    pub async fn manifest(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        reference: &Reference,
    ) -> Result<ManifestContent, RegistryError> {
        let repository = known(grant, reference)?;
        let (head, body) = self.meta.get(|tx| {
            let (digest, row) = find(tx, repository, reference)?;
            let body = if row.size <= INLINE { Some(body(tx, &digest)?) } else { None };
            Ok::<_, RegistryError>((head(digest, row), body))
        })?;
        let digest = head.digest;
        let is_whole = move |body: &Bytes| Digest::of(digest.algorithm(), body) == digest;
        let body = match body {
            Some(body) => body.filter(is_whole),
            None => self.large_body(digest, is_whole).await?,
        };
        if let Some(body) = body {
            // A slow client must not keep all of a large body in memory.
            let body = if body.len() <= PIECE { body } else { Bytes::copy_from_slice(&body[..PIECE]) };
            self.pulls.count(repository, digest, self.meta.clock().now());
            return Ok(ManifestContent { head, body });
        }
        self.mark_manifest_corrupt(repository, digest).await;
        Err(RegistryError::ManifestUnknown(reference.to_string()))
    }

    /// More bytes of a large manifest, from `start` on. They are not verified again: bodies are stored under
    /// their digest, and this one was verified when its first bytes were read.
    pub fn manifest_piece(
        self: &Arc<Self>,
        _grant: &Grant<Pull>,
        digest: Digest,
        start: usize,
    ) -> impl Future<Output = Result<Bytes, RegistryError>> + use<> {
        let registry = Arc::clone(self);
        async move {
            let body = registry.large_body(digest, |_| true).await?;
            let body = body.ok_or_else(|| RegistryError::ManifestUnknown(digest.to_string()))?;
            let end = start.saturating_add(PIECE).min(body.len());
            Ok(Bytes::copy_from_slice(body.get(start..end).unwrap_or_default()))
        }
    }

    /// Reads a body that is too large for the calling thread, a few at a time, and runs `check` on it, which
    /// may be slow.
    async fn large_body(
        &self,
        digest: Digest,
        check: impl FnOnce(&Bytes) -> bool + Send + 'static,
    ) -> Result<Option<Bytes>, RegistryError> {
        let _room = self.large_manifests.acquire().await;
        self.meta.scan(move |tx| Ok(body_of(tx, &digest)?.filter(check))).await
    }

    async fn mark_manifest_corrupt(&self, repository: RepoId, digest: Digest) {
        tracing::error!(%digest, %repository, "a manifest is damaged; it is hidden until it is pushed again");
        // The body may have been pushed again since it was read.
        if let Err(error) = self.meta.write(move |tx| marks::set(tx, &digest, false)).await {
            tracing::error!(%digest, %error, "the damage could not be recorded");
        }
    }
}

fn known(grant: &Grant<Pull>, reference: &Reference) -> Result<RepoId, RegistryError> {
    grant.repository().ok_or_else(|| match reference {
        Reference::Tag(_) => RegistryError::RepositoryUnknown(grant.name().clone()),
        Reference::Digest(digest) => RegistryError::ManifestUnknown(digest.to_string()),
    })
}

fn head(digest: Digest, row: Manifest) -> ManifestHead {
    ManifestHead { digest, media_type: row.media_type, size: row.size }
}

fn body(tx: &impl Tx, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
    Ok(tx.get(&schema::MANIFEST_BODY, digest)?.map(|raw| Bytes::from(raw.0)))
}

fn body_of(tx: &impl Tx, digest: &Digest) -> Result<Option<Bytes>, RegistryError> {
    Ok(body(tx, digest)?)
}

/// The manifest that a tag points to.
pub(super) fn tagged(tx: &impl Tx, repository: RepoId, tag: &Tag) -> Result<Option<Digest>, StoreError> {
    Ok(tx.get(&schema::TAG, (repository, tag.as_str()))?.map(|row| row.digest))
}

/// The manifest that a reference names, unless it is marked as damaged.
pub(super) fn find(
    tx: &impl Tx,
    repository: RepoId,
    reference: &Reference,
) -> Result<(Digest, Manifest), RegistryError> {
    let unknown = || RegistryError::ManifestUnknown(reference.to_string());
    let digest = match reference {
        Reference::Tag(tag) => tagged(tx, repository, tag)?.ok_or_else(unknown)?,
        Reference::Digest(digest) => *digest,
    };
    let row = tx.get(&schema::MANIFEST, (repository, &digest))?.filter(|row| !row.corrupt);
    row.map(|row| (digest, row)).ok_or_else(unknown)
}

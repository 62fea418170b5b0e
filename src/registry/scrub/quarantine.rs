//! What is in quarantine because it is damaged: blobs and manifests that are hidden until they are pushed
//! again. Their damaged bytes stay where they are, because they may turn out to be whole (a disk that comes
//! back, a file that is restored), until a push replaces them, collection takes them, or an admin drops them.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{blobs, list};
use crate::access::{Grant, ReadServer, RunJobs};
use crate::model::audit::AuditAction;
use crate::model::digest::Digest;
use crate::registry::error::RegistryError;
use crate::registry::manifests::marks;
use crate::registry::{Registry, fsck};
use crate::store::blob::BlobStore;
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Change, Raw, ReadTx, Row as _, StoreError, Tx, WriteTx};
use crate::wire::Unhealed;

/// Rows of blobs, and manifests, that are read for one page at most: damage is rare.
const BLOBS: usize = 10_000;
const MANIFESTS: usize = 2_000;
/// The most entries of a page: the images of each are searched.
const ENTRIES: usize = 50;

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
        }
    }

    /// The kind with this word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Blob, Self::Manifest].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A blob or manifest that is hidden because it is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What it is.
    pub kind: Kind,
    /// Its digest.
    pub digest: Digest,
    /// Its size when it was whole.
    pub size: u64,
    /// Damaged bytes that are kept.
    pub kept: u64,
    /// The images that need it.
    pub images: Vec<String>,
}

/// A part of the quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantinePage {
    /// What is in it, blobs first, by digest.
    pub items: Vec<Quarantined>,
    /// Where the next part begins: behind this digest of this kind.
    pub next: Option<(Kind, Option<Digest>)>,
}

/// A hidden blob or manifest, and its size.
type Hidden = (Kind, Digest, u64);

impl Registry {
    /// What is hidden because it is damaged, behind `after`. A part may be empty and still be followed by
    /// another one.
    pub async fn quarantine(
        self: &Arc<Self>,
        grant: &Grant<ReadServer>,
        after: Option<(Kind, Option<Digest>)>,
        limit: usize,
    ) -> Result<QuarantinePage, RegistryError> {
        let limit = limit.min(ENTRIES);
        let (kind, after) = after.unwrap_or((Kind::Blob, None));
        let read = move |tx: &ReadTx| match kind {
            Kind::Blob => Ok(hidden_blobs(tx, after, limit)?),
            Kind::Manifest => Ok(hidden_manifests(tx, after, limit)?),
        };
        let (hidden, next) = self.scan(&grant.caller().holder(), read).await?;
        let registry = Arc::clone(self);
        let items = self.blocking(move || {
            let describe = |(kind, digest, size): Hidden| registry.describe(kind, digest, size);
            hidden.into_iter().map(describe).collect::<Result<Vec<_>, RegistryError>>()
        });
        Ok(QuarantinePage { items: items.await??, next })
    }

    /// Whether a blob or manifest is hidden as damaged.
    pub fn is_hidden(&self, digest: &Digest) -> bool {
        let is_hidden = self.meta.get(|tx| {
            Ok::<_, StoreError>(
                hidden_blob(tx, digest)?.is_some() || marks::size_if_marked(tx, digest)?.is_some(),
            )
        });
        is_hidden.unwrap_or(true)
    }

    /// Whether damage that was found is not healed: what was hidden still is. What could not be read counts
    /// until it is read whole.
    pub fn is_unhealed(&self, damage: &Unhealed) -> bool {
        let digest = damage.digest.as_deref().map(str::parse::<Digest>);
        !damage.hidden || digest.is_none_or(|digest| digest.is_ok_and(|digest| self.is_hidden(&digest)))
    }

    /// The same where an image needs it that is not in the trash.
    pub fn needs_attention(&self, damage: &Unhealed) -> bool {
        let Some(Ok(digest)) = damage.digest.as_deref().map(str::parse::<Digest>) else { return true };
        let is_needed = self.meta.get(|tx| {
            let is_used = hidden_blob(tx, &digest)?.is_some_and(|blob| blob.users > 0);
            Ok::<_, StoreError>(is_used || marks::size_if_marked(tx, &digest)?.is_some())
        });
        !damage.hidden || is_needed.unwrap_or(true)
    }

    fn describe(&self, kind: Kind, digest: Digest, size: u64) -> Result<Quarantined, RegistryError> {
        let kept = match kind {
            // A file that cannot be opened is there; how long it is cannot be said.
            Kind::Blob => self.blobs.open(&digest).map_or(size, |file| file.map_or(0, |file| file.size())),
            Kind::Manifest => {
                let body = self.meta.read_blocking(|tx| tx.get(&schema::MANIFEST_BODY, &digest))?;
                body.map_or(0, |body| body.0.len() as u64)
            }
        };
        let images = fsck::needing(self.meta.reader(), &digest).unwrap_or_else(|error| {
            tracing::warn!(%digest, %error, "the images that need damaged content cannot be listed");
            Vec::new()
        });
        Ok(Quarantined { kind, digest, size, kept, images })
    }

    /// Removes the damaged bytes of what is hidden with this digest; how many were removed. It stays hidden,
    /// and a push stores it again. A blob is read first: if it has come back whole, it is shown instead.
    pub async fn drop_damaged(
        self: &Arc<Self>,
        grant: &Grant<RunJobs>,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let (registry, grant, digest) = (Arc::clone(self), grant.carry(), *digest);
        self.detached(async move {
            if blobs::show_if_whole(&registry, &digest).await? {
                return Err(RegistryError::NotDamaged(digest));
            }
            // No push replaces the file between the look at its row and its removal.
            let _lock = registry.locks.lock(&digest).await;
            let change = move |tx: &WriteTx<'_>| forget(tx, &grant, &digest);
            let (bytes, is_blob) = registry.meta.change(Change::that_frees(), change).await?;
            if !is_blob {
                return Ok(bytes);
            }
            let blobs = Arc::clone(&registry.blobs);
            // After a crash before the removal the file is still listed, and is dropped again.
            let removed = registry.blocking(move || remove(&*blobs, &digest));
            Ok(bytes + removed.await??)
        })
        .await
    }
}

/// The row of a blob that is hidden.
pub(super) fn hidden_blob(tx: &impl Tx, digest: &Digest) -> Result<Option<Blob>, StoreError> {
    let blob = tx.get(&schema::BLOB.raw(), digest)?.and_then(|Raw(row)| Blob::decode(&row));
    Ok(blob.filter(|blob| blob.state == BlobState::Corrupt))
}

/// Removes the damaged bytes of a manifest from the database, and notes what is dropped in the audit log.
/// Returns how many bytes that were, and whether a blob with this digest is hidden, too.
fn forget(tx: &WriteTx<'_>, grant: &Grant<RunJobs>, digest: &Digest) -> Result<(u64, bool), RegistryError> {
    grant.recheck(tx)??;
    let blob = hidden_blob(tx, digest)?;
    let is_blob = blob.is_some();
    let is_manifest = marks::size_if_marked(tx, digest)?.is_some();
    if !is_blob && !is_manifest {
        return Err(RegistryError::NotDamaged(*digest));
    }
    let mut bytes = 0;
    if is_manifest
        && let Some(Raw(body)) = tx.get(&schema::MANIFEST_BODY, digest)?
        && Digest::of(digest.algorithm(), &body) != *digest
    {
        bytes = body.len() as u64;
        tx.delete(&schema::MANIFEST_BODY, digest)?;
    }
    if let Some(blob) = blob {
        // A check that has read the file before it was removed finds another generation, and shows nothing.
        let generation = blob.generation.wrapping_add(1);
        tx.put(&schema::BLOB, digest, &Blob { generation, ..blob })?;
    }
    tx.audit(grant.caller().actor(), AuditAction::QuarantineDrop, digest.to_string())?;
    Ok((bytes, is_blob))
}

/// Removes the file of a blob for good; how many bytes it had.
fn remove(blobs: &dyn BlobStore, digest: &Digest) -> Result<u64, RegistryError> {
    let size = blobs.open(digest).ok().flatten().map_or(0, |file| file.size());
    if let Some(barrier) = blobs.remove(digest)? {
        blobs.sync(barrier)?;
    }
    Ok(size)
}

/// A page of hidden things, and where the next one begins.
type Page = (Vec<Hidden>, Option<(Kind, Option<Digest>)>);

fn hidden_blobs(tx: &ReadTx, after: Option<Digest>, limit: usize) -> Result<Page, StoreError> {
    let (mut found, mut rows, mut last) = (Vec::new(), 0, None);
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_range(&schema::BLOB.raw(), (from, Bound::Unbounded), |digest, Raw(row)| {
        let blob = Blob::decode(&row).filter(|blob| blob.state == BlobState::Corrupt);
        found.extend(blob.map(|blob| (Kind::Blob, digest, blob.size)));
        rows += 1;
        if found.len() < limit && rows < BLOBS {
            return ControlFlow::Continue(());
        }
        last = Some(digest);
        ControlFlow::Break(())
    })?;
    let next = last.map_or((Kind::Manifest, None), |last| (Kind::Blob, Some(last)));
    Ok((found, Some(next)))
}

fn hidden_manifests(tx: &ReadTx, after: Option<Digest>, limit: usize) -> Result<Page, StoreError> {
    let (mut found, mut looked_at, mut after) = (Vec::new(), 0, after);
    while found.len() < limit && looked_at < MANIFESTS {
        let digests = list::held_manifests(tx, after)?;
        if digests.is_empty() {
            return Ok((found, None));
        }
        for digest in digests {
            let size = marks::size_if_marked(tx, &digest)?;
            found.extend(size.map(|size| (Kind::Manifest, digest, size)));
            (after, looked_at) = (Some(digest), looked_at + 1);
            if found.len() == limit {
                break;
            }
        }
    }
    Ok((found, Some((Kind::Manifest, after))))
}

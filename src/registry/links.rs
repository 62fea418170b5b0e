//! Links: what binds blobs to repositories, and how many manifests refer to each.
//!
//! Every function here runs inside the write transaction of the change that it counts, so that the counts are
//! exact at every commit: `link_zero` holds just the present links without references, `blob_link` just the
//! present links, and a blob without any is in `blob_free`.

use super::disk::DiskChange;
use super::error::RegistryError;
use super::usage;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::store::meta::schema::{self, Blob, BlobState, Link};
use crate::store::meta::{StoreError, Tx, WriteTx};

/// The blob that `repository` has under `digest`, unless it is damaged or being removed.
pub(super) fn visible(
    tx: &impl Tx,
    repository: RepoId,
    digest: &Digest,
) -> Result<Option<(Link, Blob)>, StoreError> {
    let Some(link) = tx.get(&schema::LINK, (repository, digest))? else { return Ok(None) };
    if !link.present || link.hidden {
        return Ok(None);
    }
    let blob = tx.get(&schema::BLOB, digest)?;
    Ok(blob.filter(|blob| blob.state == BlobState::Present).map(|blob| (link, blob)))
}

/// Gives `repository` the blob, whose row is there already, and promises its existence from now on.
pub(super) fn attach(tx: &WriteTx<'_>, repository: RepoId, digest: &Digest) -> Result<(), StoreError> {
    let old = tx.get(&schema::LINK, (repository, digest))?;
    let was_present = old.is_some_and(|link| link.present);
    let mut link = old.unwrap_or_default();
    if was_present && link.references == 0 {
        tx.delete(&schema::LINK_ZERO, (link.zero_since, repository, digest))?;
    }
    link.present = true;
    link.hidden = false;
    link.said = None;
    if link.references == 0 {
        link.zero_since = tx.now().running_second();
        tx.put(&schema::LINK_ZERO, (link.zero_since, repository, digest), &())?;
    }
    tx.put(&schema::LINK, (repository, digest), &link)?;
    if was_present {
        return Ok(());
    }
    hold(tx, repository, digest)?;
    if link.references == 0 {
        return Ok(());
    }
    let mut disk = DiskChange::default();
    disk.gain_user(tx, digest)?;
    disk.write(tx)
}

/// Takes the blob from `repository`. Nothing may refer to it any more.
pub(super) fn detach(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    link: &Link,
) -> Result<(), StoreError> {
    if link.present && link.references == 0 {
        tx.delete(&schema::LINK_ZERO, (link.zero_since, repository, digest))?;
    }
    tx.delete(&schema::LINK, (repository, digest))?;
    if link.present {
        release(tx, repository, digest)?;
    }
    Ok(())
}

/// The size that manifests of `repository` give a blob that is not there.
pub(super) fn said(tx: &impl Tx, repository: RepoId, digest: &AnyDigest) -> Result<Option<u64>, StoreError> {
    let link = tx.get(&schema::LINK, (repository, digest))?;
    Ok(link.and_then(|link| link.said))
}

/// Refuses a blob that has another size than the manifests say that came before it.
pub(super) fn fits(
    tx: &impl Tx,
    repository: RepoId,
    digest: &Digest,
    actual: u64,
) -> Result<(), RegistryError> {
    match said(tx, repository, &AnyDigest::from(*digest))? {
        Some(said) if said != actual => Err(RegistryError::SaidOtherwise { digest: *digest, said, actual }),
        _ => Ok(()),
    }
}

/// Counts one more manifest of `repository` that refers to `digest`, which need not be there and has this
/// size.
pub(super) fn reference(
    tx: &WriteTx<'_>,
    repository: RepoId,
    (digest, size): (&AnyDigest, u64),
    disk: &mut DiskChange,
) -> Result<(), StoreError> {
    let mut link = tx.get(&schema::LINK, (repository, digest))?.unwrap_or_default();
    if link.present && link.references == 0 {
        tx.delete(&schema::LINK_ZERO, (link.zero_since, repository, digest))?;
        if let Some(digest) = digest.known() {
            disk.gain_user(tx, &digest)?;
        }
    }
    if !link.present {
        link.said = Some(size);
    }
    link.references += 1;
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Counts one manifest less. At 0 the age of the link starts anew, or the link ends if nothing is there.
pub(super) fn unreference(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
    disk: &mut DiskChange,
) -> Result<(), StoreError> {
    let Some(mut link) = tx.get(&schema::LINK, (repository, digest))? else {
        return Err(StoreError::Corrupt { table: schema::LINK.name() });
    };
    link.references =
        link.references.checked_sub(1).ok_or(StoreError::Corrupt { table: schema::LINK.name() })?;
    if link.references == 0 && !link.present && link.trash_references == 0 {
        tx.delete(&schema::LINK, (repository, digest))?;
        return Ok(());
    }
    if link.references == 0 && link.present {
        if let Some(digest) = digest.known() {
            disk.lose_user(tx, &digest)?;
        }
        link.zero_since = tx.now().running_second();
        tx.put(&schema::LINK_ZERO, (link.zero_since, repository, digest), &())?;
    }
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Promises the existence of a blob that nothing refers to from now on, if the last promise is older than
/// `promise_s` running seconds. A referenced blob needs no promise: its age starts when the count falls to 0.
pub(super) fn promise(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    promise_s: u64,
) -> Result<(), StoreError> {
    match visible(tx, repository, digest)? {
        Some((link, _)) if promise_is_due(&link, tx.now().running_s, promise_s) => {
            attach(tx, repository, digest)
        }
        _ => Ok(()),
    }
}

/// Whether an answer that the blob exists has to renew its promise. The age at which it is due counts as due:
/// "older than" would leave one second unpromised, which the model of the collector shows to be fatal.
pub(super) const fn promise_is_due(link: &Link, running_s: u64, promise_s: u64) -> bool {
    link.references == 0 && running_s.saturating_sub(link.zero_since.0) >= promise_s
}

fn hold(tx: &WriteTx<'_>, repository: RepoId, digest: &Digest) -> Result<(), StoreError> {
    let mut blob =
        tx.get(&schema::BLOB, digest)?.ok_or(StoreError::Corrupt { table: schema::BLOB.name() })?;
    if let Some(since) = blob.free_since.take() {
        tx.delete(&schema::BLOB_FREE, (since, digest))?;
        tx.put(&schema::BLOB, digest, &blob)?;
    }
    usage::blob_added(tx, repository, digest, blob.size)?;
    tx.put(&schema::BLOB_LINK, (digest, repository), &())
}

fn release(tx: &WriteTx<'_>, repository: RepoId, digest: &Digest) -> Result<(), StoreError> {
    let mut blob =
        tx.get(&schema::BLOB, digest)?.ok_or(StoreError::Corrupt { table: schema::BLOB.name() })?;
    tx.delete(&schema::BLOB_LINK, (digest, repository))?;
    usage::blob_removed(tx, repository, digest, blob.size)?;
    if !tx.any(&schema::BLOB_LINK, digest)? {
        let since = tx.now().running_second();
        blob.free_since = Some(since);
        tx.put(&schema::BLOB, digest, &blob)?;
        tx.put(&schema::BLOB_FREE, (since, digest), &())?;
    }
    Ok(())
}

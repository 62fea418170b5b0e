//! Links: they bind blobs to repositories, and count how many manifests refer to each.
//!
//! Every function here runs inside the write transaction of the change that it counts, so that the counts are
//! exact at every commit: `link_zero` has exactly the present links to which neither a manifest nor the trash
//! refers, `blob_link` exactly the present links, and a blob without any link is in `blob_free`.

use std::ops::ControlFlow;

use super::disk::DiskChange;
use super::error::RegistryError;
use super::promises::Promises;
use super::usage;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::store::meta::schema::{self, Blob, BlobState, Link};
use crate::store::meta::{StoreError, Tx, WriteTx};

/// The blob of `repository` with this digest, unless it is damaged or being removed.
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

/// The repositories that hold a blob. Only keys are read: a damaged row hides no repository.
pub(super) fn holders(tx: &impl Tx, digest: &Digest) -> Result<Vec<RepoId>, StoreError> {
    let mut holders = Vec::new();
    tx.scan_prefix(&schema::BLOB_LINK.keys(), digest, |repository, _| {
        holders.push(repository);
        ControlFlow::Continue(())
    })?;
    Ok(holders)
}

/// How a blob comes to be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attached {
    /// Its bytes were uploaded.
    Uploaded,
    /// It was mounted from another repository.
    Mounted,
}

/// Links the blob, whose row exists already, to `repository`, and promises its existence from now on. The row
/// shows the promise of an upload that makes the link (`fresh`); others are noted in `promises`.
pub(super) fn attach(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    (attached, promises): (Attached, &Promises),
) -> Result<(), StoreError> {
    let old = tx.get(&schema::LINK, (repository, digest))?;
    let is_needed = old.is_some_and(|link| link.present || link.references > 0);
    let fresh = attached == Attached::Uploaded && !is_needed;
    if !fresh {
        promises.note(repository, digest, tx.now().running_s);
    }
    put_present(tx, repository, digest, old, fresh)
}

/// Makes the link of a blob, or renews its age. `old` is its row in this transaction.
fn put_present(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    old: Option<Link>,
    fresh: bool,
) -> Result<(), StoreError> {
    let was_present = old.is_some_and(|link| link.present);
    let mut link = old.unwrap_or_default();
    if was_present && link.references == 0 {
        tx.delete(&schema::LINK_ZERO, (link.zero_since, repository, digest))?;
    }
    link.present = true;
    link.hidden = false;
    link.said = None;
    link.fresh |= fresh;
    if link.references == 0 {
        link.zero_since = tx.now().running_second();
        if link.trash_references == 0 {
            tx.put(&schema::LINK_ZERO, (link.zero_since, repository, digest), &())?;
        }
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

/// Removes the link of a blob to `repository`. No manifest may refer to it any more, nor the trash.
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

/// The size that manifests of `repository` give an absent blob. Those in the trash do not count.
pub(super) fn said(tx: &impl Tx, repository: RepoId, digest: &AnyDigest) -> Result<Option<u64>, StoreError> {
    let link = tx.get(&schema::LINK, (repository, digest))?;
    Ok(link.filter(|link| link.references > 0).and_then(|link| link.said))
}

/// Refuses a blob whose size differs from what manifests say that were pushed before it.
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

/// Counts one more manifest of `repository` that refers to `digest`. The blob may be absent; the manifest
/// gives it this size.
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
    // The first manifest that names the blob fulfils the promise of its upload.
    link.fresh = false;
    // Only the trash kept a blob that is hidden.
    link.hidden = false;
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Counts one manifest less. At 0 the age of a present link starts, and an absent one is removed.
pub(super) fn unreference(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
    disk: &mut DiskChange,
) -> Result<(), StoreError> {
    let mut link = counted(tx, repository, digest, |link| &mut link.references)?;
    if link.references == 0 && !link.present && link.trash_references == 0 {
        tx.delete(&schema::LINK, (repository, digest))?;
        return Ok(());
    }
    if link.references == 0 && link.present {
        if let Some(digest) = digest.known() {
            disk.lose_user(tx, &digest)?;
        }
        link.zero_since = tx.now().running_second();
        if link.trash_references == 0 {
            tx.put(&schema::LINK_ZERO, (link.zero_since, repository, digest), &())?;
        }
    }
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Counts a manifest that refers to `digest` and moves to the trash. While the trash refers to a blob, its
/// link stays.
pub(super) fn to_trash(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
    disk: &mut DiskChange,
) -> Result<(), StoreError> {
    let mut link = counted(tx, repository, digest, |link| &mut link.references)?;
    link.trash_references += 1;
    if let (0, true, Some(known)) = (link.references, link.present, digest.known()) {
        disk.lose_user(tx, &known)?;
    }
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Counts a manifest that refers to `digest` and comes back from the trash.
pub(super) fn from_trash(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
    disk: &mut DiskChange,
) -> Result<(), StoreError> {
    let mut link = counted(tx, repository, digest, |link| &mut link.trash_references)?;
    if let (0, true, Some(known)) = (link.references, link.present, digest.known()) {
        disk.gain_user(tx, &known)?;
    }
    link.references += 1;
    // The image needs the blob, also where a client has deleted it meanwhile.
    link.hidden = false;
    tx.put(&schema::LINK, (repository, digest), &link)
}

/// Counts a manifest in the trash less. At 0 the age of a link starts that nothing refers to, and a link is
/// removed that is absent or was deleted meanwhile.
pub(super) fn drop_from_trash(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
) -> Result<(), StoreError> {
    let mut link = counted(tx, repository, digest, |link| &mut link.trash_references)?;
    if link.trash_references > 0 || link.references > 0 {
        return tx.put(&schema::LINK, (repository, digest), &link);
    }
    match digest.known() {
        Some(known) if link.present && !link.hidden => {
            link.zero_since = tx.now().running_second();
            tx.put(&schema::LINK_ZERO, (link.zero_since, repository, &known), &())?;
            tx.put(&schema::LINK, (repository, &known), &link)
        }
        Some(known) => detach(tx, repository, &known, &link),
        None => tx.delete(&schema::LINK, (repository, digest)).map(drop),
    }
}

/// A link with one reference less in one of its counts.
fn counted(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &AnyDigest,
    count: impl FnOnce(&mut Link) -> &mut u64,
) -> Result<Link, StoreError> {
    let corrupt = || StoreError::Corrupt { table: schema::LINK.name() };
    let mut link = tx.get(&schema::LINK, (repository, digest))?.ok_or_else(corrupt)?;
    let count = count(&mut link);
    *count = count.checked_sub(1).ok_or_else(corrupt)?;
    Ok(link)
}

/// Promises the existence of an unreferenced blob from now on, if the last promise is older than `promise_s`
/// running seconds. A referenced blob needs no promise: its age starts when the count falls to 0.
pub(super) fn promise(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    promise_s: u64,
) -> Result<(), StoreError> {
    match visible(tx, repository, digest)? {
        Some((link, _)) if promise_is_due(&link, tx.now().running_s, promise_s) => {
            put_present(tx, repository, digest, Some(link), false)
        }
        _ => Ok(()),
    }
}

/// Whether a response that says the blob exists must renew its promise. An age of exactly `promise_s` must
/// renew it: with "older than", one second would not be covered, and a blob could be collected in it.
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

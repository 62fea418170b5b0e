//! The trash in a run of garbage collection: what was in it for long enough goes, and everything when the
//! space is needed.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{Garbage, Mode, Observer, Reason, Run, SLICE, Seen, is_damage};
use crate::limits::Holder;
use crate::model::audit::Actor;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::{RepoId, Sequence};
use crate::registry::error::RegistryError;
use crate::registry::links::holders;
use crate::registry::{Registry, trash};
use crate::store::meta::schema::{self, Blob, Link, TrashedManifest};
use crate::store::meta::{Raw, ReadTx, Row as _, StoreError, Tx as _, WriteTx};

/// Deletions that a run removes before it looks again whether the space suffices.
const AT_ONCE: usize = 8;

impl Run {
    /// Removes deletions from the trash that were there for `storage.trash`, or all of them; whether the run
    /// continues.
    pub(super) async fn trash(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        let newest_s = self.registry.newest_emptied(self.mode);
        let mut after = None;
        while let Some(newest_s) = newest_s {
            let next = self.empty_next(after, newest_s, observer).await?;
            match next {
                Emptied::Entry(id) => after = Some(id),
                Emptied::NothingLeft => break,
                Emptied::RunEnded => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Empties the trash, the oldest deletions first, until enough space is free for pushes.
    pub(super) async fn until_there_is_space(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<bool, RegistryError> {
        let mut after = None;
        loop {
            self.registry.look_at_space().await;
            if self.registry.has_space() {
                return Ok(true);
            }
            // After a crash nothing could be freed before its time.
            let now_s = self.registry.meta.clock().now().running_s;
            if self.registry.promises.unknown_until(now_s).is_some() {
                return Ok(true);
            }
            self.mode = Mode::Now;
            for _ in 0..AT_ONCE {
                match self.empty_next(after, u64::MAX, observer).await? {
                    Emptied::Entry(id) => after = Some(id),
                    Emptied::NothingLeft => break,
                    Emptied::RunEnded => return Ok(false),
                }
            }
            let before = self.collected.freed_bytes;
            if !(self.links(observer).await? && self.blobs(observer).await?) {
                return Ok(false);
            }
            if self.collected.freed_bytes == before {
                // What is left shares its blobs, or clients were promised them: the trash stays.
                return Ok(true);
            }
        }
    }

    async fn oldest(
        &self,
        after: Option<Sequence>,
        newest_s: u64,
    ) -> Result<Option<(Sequence, bool)>, RegistryError> {
        let found = self.registry.meta.scan(move |tx| trash::oldest(tx, after, newest_s)).await?;
        Ok(found.map(|(id, row)| (id, row.is_some())))
    }

    /// Removes the next deletion.
    async fn empty_next(
        &mut self,
        after: Option<Sequence>,
        newest_s: u64,
        observer: &mut dyn Observer,
    ) -> Result<Emptied, RegistryError> {
        let Some((id, is_readable)) = self.oldest(after, newest_s).await? else {
            return Ok(Emptied::NothingLeft);
        };
        if !is_readable {
            self.collected.spare(|| format!("entry {id} of the trash: its row is damaged"));
            return Ok(Emptied::Entry(id));
        }
        loop {
            let registry = Arc::clone(&self.registry);
            let slice = move |tx: &WriteTx<'_>| {
                Ok::<_, RegistryError>(trash::empty_slice(tx, &registry, id, Actor::SYSTEM)?)
            };
            match self.change(slice).await {
                Ok(trash::Slice::Gone) => {
                    self.collected.trash += 1;
                    break;
                }
                Ok(trash::Slice::More) => {}
                Ok(trash::Slice::Waits) => break,
                Err(error) if is_damage(&error) => {
                    self.collected.spare(|| format!("entry {id} of the trash: {error}"));
                    break;
                }
                Err(error) => return Err(error),
            }
            if !self.breathe(observer).await {
                return Ok(Emptied::RunEnded);
            }
        }
        Ok(if self.breathe(observer).await { Emptied::Entry(id) } else { Emptied::RunEnded })
    }
}

/// What became of the next deletion in the trash.
enum Emptied {
    /// It is gone, or spared.
    Entry(Sequence),
    /// There is none.
    NothingLeft,
    /// The observer ended the run.
    RunEnded,
}

/// A blob that only the trash needs: its size, whether manifests of a repository in the trash refer to it,
/// and how long its deletion stays.
struct Kept {
    bytes: u64,
    has_users: bool,
    in_s: u64,
}

impl Registry {
    /// The running second up to which a run removes deletions from the trash; `None` if none is old enough.
    pub(super) fn newest_emptied(&self, mode: Mode) -> Option<u64> {
        let now_s = self.meta.clock().now().running_s;
        if mode == Mode::EmptyTrash { Some(now_s) } else { now_s.checked_sub(self.trash_s()) }
    }

    /// Adds the blobs that only the trash needs. The cost follows from how much that is.
    pub(super) async fn add_trash(
        &self,
        holder: &Holder,
        now_s: u64,
        (garbage, mut seen): (&mut Garbage, Seen),
    ) -> Result<Seen, RegistryError> {
        let trash_s = self.trash_s();
        let times = (trash_s, now_s);
        let mut after: Option<(RepoId, Digest)> = None;
        loop {
            let from = after;
            let look = move |tx: &ReadTx| {
                let (last, kept) = kept_by_manifests(tx, from, times, &mut seen)?;
                Ok(((last, kept), seen))
            };
            let ((last, kept), looked_at) = self.scan(holder, look).await?;
            seen = looked_at;
            garbage.add_kept(kept);
            let Some(last) = last else { break };
            after = Some(last);
        }
        for (repository, entry) in self.scan(holder, |tx| Ok(repositories(tx)?)).await? {
            let mut after: Option<AnyDigest> = None;
            loop {
                let from = after;
                let look = move |tx: &ReadTx| {
                    let (last, kept) =
                        kept_by_repository(tx, (repository, entry), from.as_ref(), times, &mut seen)?;
                    Ok(((last, kept), seen))
                };
                let ((last, kept), looked_at) = self.scan(holder, look).await?;
                seen = looked_at;
                garbage.add_kept(kept);
                let Some(last) = last else { break };
                after = Some(last);
            }
        }
        Ok(seen)
    }
}

impl Garbage {
    fn add_kept(&mut self, kept: Vec<Kept>) {
        for Kept { bytes, has_users, in_s } in kept {
            self.add(Reason::Trash, bytes, Some(in_s));
            if has_users {
                self.live_bytes = self.live_bytes.saturating_sub(bytes);
            }
        }
    }
}

/// The repositories in the trash, with their deletions.
pub(super) fn repositories(tx: &ReadTx) -> Result<Vec<(RepoId, Sequence)>, StoreError> {
    let mut found = Vec::new();
    tx.scan_all(&schema::TRASH_REPOSITORY.raw(), |repository, Raw(row)| {
        found.extend(Sequence::decode(&row).map(|entry| (repository, entry)));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// A page of the manifests in the trash, and the last of them if more may follow.
type Page = (Option<(RepoId, Digest)>, Vec<TrashedManifest>);

fn manifests(tx: &ReadTx, after: Option<&(RepoId, Digest)>) -> Result<Page, StoreError> {
    let (mut rows, mut last, mut looked_at) = (Vec::new(), None, 0);
    let from = after.map_or(Bound::Unbounded, |(repository, digest)| Bound::Excluded((*repository, digest)));
    tx.scan_range(
        &schema::TRASH_MANIFEST.raw(),
        (from, Bound::Unbounded),
        |(repository, digest), Raw(row)| {
            rows.extend(TrashedManifest::decode(&row));
            looked_at += 1;
            last = (looked_at == SLICE).then_some((repository, digest));
            if looked_at < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    )?;
    Ok((last, rows))
}

#[expect(clippy::type_complexity, reason = "a place to continue, and what was found")]
fn kept_by_manifests(
    tx: &ReadTx,
    after: Option<(RepoId, Digest)>,
    times: (u64, u64),
    seen: &mut Seen,
) -> Result<(Option<(RepoId, Digest)>, Vec<Kept>), StoreError> {
    let (last, rows) = manifests(tx, after.as_ref())?;
    let mut kept = Vec::new();
    for row in rows {
        for digest in row.manifest.blobs.iter().filter_map(AnyDigest::known) {
            let Some(blob) = blob(tx, &digest)? else { continue };
            if blob.users == 0 && seen.first(&digest) {
                let in_s = left(tx, row.entry, times)?;
                kept.push(Kept { bytes: blob.size, has_users: false, in_s });
            }
        }
    }
    Ok((last, kept))
}

fn kept_by_repository(
    tx: &ReadTx,
    (repository, entry): (RepoId, Sequence),
    after: Option<&AnyDigest>,
    times: (u64, u64),
    seen: &mut Seen,
) -> Result<(Option<AnyDigest>, Vec<Kept>), StoreError> {
    let (mut listed, mut last, mut looked_at) = (Vec::new(), None, 0);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::LINK.raw(), repository, (from, Bound::Unbounded), |digest, Raw(row)| {
        let is_used = Link::decode(&row).is_some_and(|link| link.present && link.references > 0);
        looked_at += 1;
        last = (looked_at == SLICE).then(|| digest.clone());
        listed.extend(digest.known().filter(|_| is_used));
        if looked_at < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let (mut kept, in_s) = (Vec::new(), left(tx, entry, times)?);
    for digest in listed {
        let Some(blob) = blob(tx, &digest)? else { continue };
        if !is_live(tx, &digest)? && seen.first(&digest) {
            kept.push(Kept { bytes: blob.size, has_users: blob.users > 0, in_s });
        }
    }
    Ok((last, kept))
}

/// The row of a blob, unless it is damaged.
fn blob(tx: &ReadTx, digest: &Digest) -> Result<Option<Blob>, StoreError> {
    Ok(tx.get(&schema::BLOB.raw(), digest)?.and_then(|Raw(row)| Blob::decode(&row)))
}

/// Running seconds for which a deletion stays.
fn left(tx: &ReadTx, entry: Sequence, times: (u64, u64)) -> Result<u64, StoreError> {
    let row = tx.get(&schema::TRASH, entry)?;
    Ok(row.map_or(0, |row| trash::kept_for_s(&row, times)))
}

/// Whether a manifest of a repository that is not in the trash refers to a blob.
fn is_live(tx: &ReadTx, digest: &Digest) -> Result<bool, StoreError> {
    for holder in holders(tx, digest)? {
        let link = tx.get(&schema::LINK.raw(), (holder, digest))?.and_then(|Raw(row)| Link::decode(&row));
        if link.is_none_or(|link| link.references > 0) && !trash::has_repository(tx, holder)? {
            return Ok(true);
        }
    }
    Ok(false)
}

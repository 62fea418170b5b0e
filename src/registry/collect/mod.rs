//! Online garbage collection, beside pushes and pulls.
//!
//! Manifests that no tag leads to are deleted when nothing has held them for a while.
//! A link that nothing refers to is removed when its grace is over: twice the promise, in running seconds,
//! since its last reference went or its existence was promised last. A blob that no link holds is condemned,
//! its file is moved to quarantine or removed under the lock of its digest, and its row goes last. Each step
//! is one transaction that looks again at what it changes, so a run may end after any of them, and the next
//! one continues. `docs/storage.md`, "Garbage collection".
//!
//! The rules are checked by a model: `tests/house/collector_model`.

mod audit;
mod below;
mod blobs;
mod deletion;
mod freed;
mod holders;
mod links;
mod manifests;
mod pace;
mod plan;
mod quarantine;
mod status;
mod tag_sizes;
mod trash;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

pub use below::KeptBy;
pub use deletion::{Deletion, Selection};
pub use plan::Plan;
pub use status::{Garbage, Part, Reason};
pub use tag_sizes::{TagSize, TagSizes};

use self::audit::Vetoed;
use self::below::{Short, short};
use self::pace::Pace;
use super::error::RegistryError;
use super::{Registry, pins};
use crate::access::{Grant, ReadServer, RunJobs, System};
use crate::model::digest::Digest;
use crate::store::meta::schema::{self, Collection};
use crate::store::meta::{Change, Raw, Row as _, StoreError, Tx as _, WriteTx};

/// Rows that are read or changed in one transaction.
const SLICE: usize = 256;
/// The most names of spared things that a run tells.
const NAMED: usize = 20;

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes what is due, and keeps the files in quarantine for a day: a mistake can be undone.
    Scheduled,
    /// Takes what is due, and removes the files at once, also those in quarantine. While pushes still have
    /// too little space, it empties the trash, the oldest deletions first, and takes what [`Mode::Now`] does.
    SpaceIsShort,
    /// Takes everything that nothing refers to and no client was promised, and removes the files at once.
    Now,
    /// Empties the trash first, and takes what [`Mode::Now`] takes.
    EmptyTrash,
}

impl Mode {
    /// Whether links go before their grace is over, unless a client was promised the blob.
    const fn is_now(self) -> bool {
        matches!(self, Self::Now | Self::EmptyTrash)
    }

    /// Whether files are removed, and not kept in quarantine.
    const fn removes(self) -> bool {
        matches!(self, Self::SpaceIsShort | Self::Now | Self::EmptyTrash)
    }
}

/// Which manifests go that no tag leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// Those that are as old as the settings say, if the store permits it.
    AsSet,
    /// Those that are older than so many running seconds. Zero: all that no client was promised.
    For(u64),
    /// None.
    Never,
}

/// What a run has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Deletions that were removed from the trash.
    pub trash: u64,
    /// Manifests that were deleted because no tag leads to them.
    pub manifests: u64,
    /// Manifests that no tag leads to, and that are not old enough.
    pub later: u64,
    /// Links that were removed.
    pub links: u64,
    /// Blobs whose files were taken out of the tree.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes of files that were removed from the disk.
    pub freed_bytes: u64,
    /// Links that clients were promised: freeing the space now leaves them.
    pub promised: u64,
    /// Rows that could not be read, or did not fit the others: what they could hold is spared.
    pub spared: u64,
    /// The first of them, in words.
    pub spared_names: Vec<String>,
    /// The pin that ended the run before anything else was removed.
    pub pinned: Option<String>,
    /// Untagged manifests that were looked at to the end.
    pub(super) looked_at: u64,
}

impl Collected {
    /// Counts something that is spared, and remembers what it is.
    fn spare(&mut self, what: impl FnOnce() -> String) {
        self.spared += 1;
        if self.spared_names.len() < NAMED {
            self.spared_names.push(what());
        }
    }

    /// Adds what one slice has done.
    fn add(&mut self, other: Self) {
        self.trash += other.trash;
        self.manifests += other.manifests;
        self.later += other.later;
        self.looked_at += other.looked_at;
        self.links += other.links;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.freed_bytes += other.freed_bytes;
        self.promised += other.promised;
        self.pinned = self.pinned.take().or(other.pinned);
        self.spared += other.spared;
        let room = NAMED.saturating_sub(self.spared_names.len());
        self.spared_names.extend(other.spared_names.into_iter().take(room));
    }
}

/// Is told how far a run is, and may end it.
pub trait Observer: Send {
    /// Called after each slice; false ends the run.
    fn goes_on(&mut self, collected: &Collected) -> bool;
}

impl<F: FnMut(&Collected) -> bool + Send> Observer for F {
    fn goes_on(&mut self, collected: &Collected) -> bool {
        self(collected)
    }
}

impl Registry {
    /// Collects what nothing refers to, until nothing is left that is due, `observer` ends the run, or a pin
    /// holds everything.
    ///
    /// # Errors
    /// [`RegistryError`]: the store or the disk refused a step. What was done before stays done.
    pub async fn collect(
        self: &Arc<Self>,
        _grant: &Grant<System>,
        mode: Mode,
        untagged: Untagged,
        observer: &mut dyn Observer,
    ) -> Result<Collected, RegistryError> {
        let _one_at_a_time = self.collecting.lock().await;
        let mut run = Run {
            registry: Arc::clone(self),
            mode,
            untagged_s: self.untagged_s(untagged)?,
            vetoed: Arc::default(),
            collected: Collected::default(),
            pace: Pace::default(),
        };
        match run.steps(observer).await {
            Ok(_) => {}
            Err(RegistryError::Pinned(name)) => {
                self.owes_collection.store(true, Ordering::Release);
                run.collected.pinned = Some(name);
            }
            Err(error) => return Err(error),
        }
        Ok(run.collected)
    }

    /// The same for a thread that belongs to no runtime. `observer` is called on that thread, and may block.
    ///
    /// # Errors
    /// Those of [`Registry::collect`].
    pub fn collect_blocking(
        self: &Arc<Self>,
        grant: &Grant<System>,
        mode: Mode,
        untagged: Untagged,
        observer: &mut dyn FnMut(&Collected) -> bool,
    ) -> Result<Collected, RegistryError> {
        let (registry, grant) = (Arc::clone(self), grant.carry());
        let (told, is_told) = mpsc::channel();
        let is_ended = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&is_ended);
        let run = self.runtime.spawn(async move {
            let mut tell = |collected: &Collected| {
                // The receiver is gone only when its thread has panicked.
                told.send(collected.clone()).is_ok() && !wanted.load(Ordering::Acquire)
            };
            registry.collect(&grant, mode, untagged, &mut tell).await
        });
        for collected in is_told {
            if !observer(&collected) {
                is_ended.store(true, Ordering::Release);
            }
        }
        self.runtime.block_on(run).unwrap_or(Err(RegistryError::Interrupted))
    }

    /// How long a manifest stays that no tag leads to, in running seconds; `None`: for ever.
    fn untagged_s(&self, untagged: Untagged) -> Result<Option<u64>, StoreError> {
        match untagged {
            Untagged::For(seconds) => Ok(Some(seconds)),
            Untagged::Never => Ok(None),
            Untagged::AsSet => {
                let may = self.permission()?;
                Ok(self.limits.load().untagged_s.filter(|_| may.is_some_and(|may| may.untagged)))
            }
        }
    }

    /// What garbage collection may do in this store. A row that cannot be read permits nothing.
    fn permission(&self) -> Result<Option<Collection>, StoreError> {
        let row = self.meta.get(|tx| tx.get(&schema::COLLECTION.raw(), ()))?;
        Ok(row.and_then(|Raw(row)| Collection::decode(&row)))
    }

    /// Whether scheduled runs delete no untagged manifest before an admin has started a run: the store was
    /// rebuilt or migrated.
    pub fn untagged_waits(&self, _grant: &Grant<ReadServer>) -> Result<bool, RegistryError> {
        let may = self.permission()?;
        Ok(self.limits.load().untagged_s.is_some() && !may.is_some_and(|may| may.untagged))
    }

    /// An admin starts a run: from now on, scheduled runs delete untagged manifests, too.
    pub async fn permit_untagged(&self, grant: &Grant<RunJobs>) -> Result<(), RegistryError> {
        // Most runs find it permitted, and need no commit for that.
        let may = Collection { untagged: true };
        if self.permission()? == Some(may) {
            return Ok(());
        }
        let grant = grant.carry();
        let permit = move |tx: &WriteTx<'_>| {
            grant.recheck(tx)??;
            Ok(tx.put(&schema::COLLECTION, (), &may)?)
        };
        self.meta.change(Change::that_frees(), permit).await
    }
}

/// A run of the collector.
struct Run {
    registry: Arc<Registry>,
    mode: Mode,
    /// How long a manifest stays that no tag leads to; `None`: for ever.
    untagged_s: Option<u64>,
    vetoed: Arc<Vetoed>,
    collected: Collected,
    pace: Pace,
}

impl Run {
    /// All steps; whether the run came to its end.
    async fn steps(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        self.registry.remove_ended_pins().await?;
        self.registry.check_pins()?;
        Ok(self.quarantine(observer).await?
            && self.trash(observer).await?
            && self.audit(observer).await?
            && self.manifests(observer).await?
            && self.links(observer).await?
            && self.blobs(observer).await?
            && (self.mode != Mode::SpaceIsShort || self.until_there_is_space(observer).await?))
    }

    /// Runs a transaction that removes something, unless a pin holds everything.
    async fn change<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: Fn(&WriteTx<'_>) -> Result<T, RegistryError> + Send + 'static,
    {
        let unless_pinned = move |tx: &WriteTx<'_>| {
            pins::check(tx, tx.now().running_s)?;
            work(tx)
        };
        self.registry.meta.change(Change::that_frees(), unless_pinned).await
    }

    /// After a slice: tells how far the run is, and leaves the writer to pushes for a while.
    async fn breathe(&mut self, observer: &mut dyn Observer) -> bool {
        if !observer.goes_on(&self.collected) {
            return false;
        }
        self.pace.pause().await;
        true
    }

    /// Runs a transaction over some items. If a damaged row ends it, each of them has one of its own, and
    /// those that end it again are spared: one bad row keeps nothing else from being collected.
    async fn each<T, F>(
        &self,
        items: Vec<T>,
        name: fn(&T) -> String,
        work: F,
    ) -> Result<Collected, RegistryError>
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(&WriteTx<'_>, &[T]) -> Result<Collected, RegistryError> + Clone + Send + 'static,
    {
        let (all, first) = (items.clone(), work.clone());
        let done = self.change(move |tx| first(tx, &all)).await;
        if !done.as_ref().is_err_and(is_damage) {
            return done;
        }
        let mut sum = Collected::default();
        for item in items {
            let (one, work) = (item.clone(), work.clone());
            let work = move |tx: &WriteTx<'_>| work(tx, std::slice::from_ref(&one));
            match self.change(work).await {
                Ok(done) => sum.add(done),
                Err(error) if is_damage(&error) => sum.spare(|| format!("{}: {error}", name(&item))),
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }
}

/// Blobs that were looked at, each with all of its links: a blob in thousands of repositories is listed as
/// often.
#[derive(Default)]
struct Seen(HashSet<Short>);

impl Seen {
    /// Whether the blob was not looked at before.
    fn first(&mut self, digest: &Digest) -> bool {
        self.0.insert(short(digest))
    }
}

const fn is_damage(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Store(StoreError::Corrupt { .. }))
}

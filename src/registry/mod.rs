//! The operations of a registry. Every function demands a [`Grant`](crate::access::Grant), and checks it
//! again in the transaction that changes something.

mod biggest;
mod blobs;
mod catalog;
mod collect;
mod content;
mod disk;
mod error;
pub mod fsck;
mod links;
mod listing;
mod little_space;
mod locks;
mod manifests;
mod overview;
mod pins;
mod promises;
mod pulls;
pub mod rebuild;
mod referrers;
mod repositories;
mod scans;
mod scrub;
mod space;
mod tags;
#[cfg(test)]
mod tests;
mod trash;
mod trim;
mod uploads;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;

pub use biggest::BiggestBy;
pub use collect::{
    Collected, Deletion, Garbage, KeptBy, Mode as CollectMode, Observer, Part as GarbagePart, Plan, Reason,
    Selection, TagSize, TagSizes, Untagged,
};
pub use content::{BlobContent, BlobReader, Piece, SMALL};
pub use error::{MissingReference, RegistryError};
pub use listing::{Listing, NamesLeft, PIECE, Piece as ListPiece};
pub use little_space::{LittleSpace, LowSpace};
pub use manifests::{
    Condition, ManifestContent, ManifestHead, ManifestPage, ManifestView, PutManifest, Stored,
};
pub use overview::{RepositoryView, Totals};
pub use pins::PinView;
pub use referrers::{ReferrerQuery, ReferrersLeft, SHORT_ANNOTATIONS};
pub use scrub::{
    Extent as ScrubExtent, Kind as QuarantineKind, Position as ScrubPosition, QuarantinePage, Quarantined,
    Scope as ScrubScope, Scrubbed, Stage as ScrubStage,
};
pub use trash::{Below, TrashPage, TrashView};
pub use trim::AUDIT_ENTRIES;
pub use uploads::{Announced, Body, BodyPart, Chunks, ContentRange, Standing, UploadWriter};

use crate::access::{Grant, System};
use crate::config::MinFree;
use crate::limits::{Charge, Holder, Ledger, LimitReached, Resource};
use crate::store::blob::{BlobStore, Staging};
use crate::store::meta::{Meta, StoreError};
use biggest::Biggest;
use content::Readers;
use locks::DigestLocks;
use promises::Promises;
use pulls::PullCounter;
use space::SpaceGate;
use uploads::Sessions;

/// Files that are synced at the same time: more do not make it faster (measured on ext4 over virtio).
const SYNCS_AT_ONCE: usize = 16;
/// Staged files that are hashed from their start at the same time: each takes a thread, and a core while the
/// disk is fast.
const REHASHES_AT_ONCE: usize = 2;
/// Large manifests that are in memory for reading at the same time.
const LARGE_MANIFESTS_AT_ONCE: usize = 4;
/// How long a request waits at a limit before it is refused: docker does not retry a push that was refused.
const LIMIT_PATIENCE: Duration = Duration::from_secs(30);

/// The settings of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a promise holds: a response that lets a client skip an upload, in running seconds.
    pub promise_s: u64,
    /// How long a run of garbage collection lasts at most; zero: until it is done.
    pub max_collection: Duration,
    /// How many bytes a second a scrub reads at most; 0: as fast as it can.
    pub scrub_rate: u64,
    /// How long a scrub lasts at most; zero: until it is done.
    pub max_scrub: Duration,
    /// How long a manifest stays that no tag leads to, in running seconds; `None`: for ever.
    pub untagged_s: Option<u64>,
    /// How long what was deleted stays in the trash, in running seconds; zero: it is deleted at once.
    pub trash_s: u64,
    /// How long an upload may be idle before it is abandoned, in running seconds.
    pub upload_idle_s: u64,
    /// Whether content that a manifest refers to must exist.
    pub require_references: bool,
    /// The most tags of one repository.
    pub tags_per_repository: u64,
    /// The space that must stay free on the disk.
    pub min_free: MinFree,
    /// There is a warning while less than this is free.
    pub warn_free: MinFree,
}

/// The registry: blobs, manifests and tags of one store.
pub struct Registry {
    meta: Arc<Meta>,
    staging: Arc<Staging>,
    blobs: Arc<dyn BlobStore>,
    runtime: Runtime,
    ledger: Arc<Ledger>,
    syncs: Arc<Semaphore>,
    rehashes: Arc<Semaphore>,
    large_manifests: Semaphore,
    locks: DigestLocks,
    sessions: Sessions,
    promises: Arc<Promises>,
    /// One run of garbage collection at a time.
    collecting: tokio::sync::Mutex<()>,
    /// Held while a run removes files, after it has found no pin: who sets a pin waits for it.
    removing: tokio::sync::Mutex<()>,
    /// Whether a pin kept a run from its work, which is then made up for.
    owes_collection: AtomicBool,
    /// One preview of a deletion at a time.
    planning: tokio::sync::Mutex<()>,
    /// Whether files in quarantine without a row were looked for since the start.
    quarantine_was_listed: AtomicBool,
    biggest: Biggest,
    pulls: PullCounter,
    space: SpaceGate,
    readers: Readers,
    limits: ArcSwap<Limits>,
}

impl Registry {
    /// The registry on a store. Its file work runs on `runtime`.
    pub fn new(
        meta: Arc<Meta>,
        staging: Arc<Staging>,
        blobs: Arc<dyn BlobStore>,
        runtime: Runtime,
        ledger: Arc<Ledger>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            space: SpaceGate::new(Arc::clone(&blobs)),
            meta,
            staging,
            blobs,
            runtime,
            ledger,
            syncs: Arc::new(Semaphore::new(SYNCS_AT_ONCE)),
            rehashes: Arc::new(Semaphore::new(REHASHES_AT_ONCE)),
            large_manifests: Semaphore::new(LARGE_MANIFESTS_AT_ONCE),
            locks: DigestLocks::new(),
            sessions: Sessions::default(),
            promises: Arc::new(Promises::new(limits.promise_s)),
            collecting: tokio::sync::Mutex::default(),
            removing: tokio::sync::Mutex::default(),
            owes_collection: AtomicBool::new(false),
            planning: tokio::sync::Mutex::default(),
            quarantine_was_listed: AtomicBool::new(false),
            biggest: Biggest::default(),
            pulls: PullCounter::default(),
            readers: Readers::default(),
            limits: ArcSwap::from_pointee(limits),
        })
    }

    /// Applies other settings to operations that begin from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
        let promise = self.promises.set(limits.promise_s, self.meta.clock().now().running_s);
        let meta = Arc::clone(&self.meta);
        self.runtime.spawn(async move {
            // Without the row, the next start finds the change and begins to count then.
            if let Err(error) = meta.write(move |tx| promises::store(tx, promise)).await {
                tracing::warn!(%error, "the changed storage.gc.promise could not be noted");
            }
        });
    }

    /// How long a run of garbage collection lasts at most; zero: until it is done.
    pub fn max_collection(&self) -> Duration {
        self.limits.load().max_collection
    }

    /// Reads what the last server has promised. Call it once, before the first request. `is_clean`: that
    /// server has stopped, and was not killed.
    pub async fn recall_promises(&self, _grant: &Grant<System>, is_clean: bool) {
        if let Err(error) = self.promises.recall(&self.meta, is_clean).await {
            tracing::warn!(%error, "what was promised before is not known: stowage gc run --now frees nothing");
        }
    }

    /// What must stay free on the disk.
    pub fn min_free(&self) -> MinFree {
        self.limits.load().min_free
    }

    /// Refuses a push if too little of the disk would be free after `more` bytes.
    fn check_space(&self, more: u64) -> Result<(), RegistryError> {
        if self.meta.reserve_is_lacking() {
            return Err(RegistryError::DiskFull);
        }
        self.space.check(self.limits.load().min_free, more)
    }

    /// Reads the free space of the file system, on a blocking thread. A worker calls this once a second.
    pub async fn sample_space(self: &Arc<Self>, _grant: &Grant<System>) {
        self.look_at_space().await;
    }

    async fn look_at_space(self: &Arc<Self>) {
        let registry = Arc::clone(self);
        // The task fails only when the process ends.
        let sample = move || {
            let limits = registry.limits.load();
            registry.space.sample(limits.min_free, limits.warn_free);
        };
        let _ = self.blocking(sample).await;
    }

    /// Why pushes are refused at present; `None` if they are not.
    pub fn pushes_refused(&self) -> Option<String> {
        match self.check_space(0) {
            Err(RegistryError::LittleSpace(shortage)) => Some(shortage.to_string()),
            Err(error) => Some(error.to_string()),
            Ok(()) => None,
        }
    }

    /// Why the free space needs attention although pushes are accepted; `None` if it does not.
    pub fn space_warning(&self) -> Option<LowSpace> {
        self.has_space().then(|| self.space.low(self.limits.load().warn_free, false)).flatten()
    }

    /// Whether pushes have enough free space.
    pub fn has_space(&self) -> bool {
        self.check_space(0).is_ok()
    }

    /// Runs a background worker on the registry's runtime.
    pub fn spawn(&self, worker: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(worker);
    }

    /// Runs work on the registry's own runtime to its end, whether or not the client waits: actix drops a
    /// handler's future at any await when its client disconnects.
    async fn detached<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RegistryError>> + Send + 'static,
    {
        self.runtime.spawn(work).await.unwrap_or(Err(RegistryError::Interrupted))
    }

    /// Runs blocking work on a blocking thread of the registry's runtime.
    async fn blocking<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.runtime.spawn_blocking(work).await.map_err(|_| RegistryError::Interrupted)
    }

    /// Charges an amount to a principal, and waits for it for as long as a client may wait.
    pub async fn admit(
        &self,
        holder: &Holder,
        resource: Resource,
        amount: u64,
    ) -> Result<Charge, LimitReached> {
        self.ledger.wait(holder, resource, amount, LIMIT_PATIENCE).await
    }

    /// Ends when there are so many counted pulls that [`Registry::store_pulls`] should be called.
    pub fn pulls_are_many(&self) -> impl Future<Output = ()> + use<> {
        self.pulls.are_many()
    }

    /// Writes the pulls that were counted since the last call, in slices, so that pushes are not held up.
    pub async fn store_pulls(&self, _grant: &Grant<System>) -> Result<(), RegistryError> {
        let counted = self.pulls.take();
        let mut result = Ok(());
        for (index, part) in counted.chunks(pulls::AT_ONCE).enumerate() {
            let pulls = part.to_vec();
            match self.meta.write(move |tx| pulls::store(tx, &pulls)).await {
                Ok(()) => {}
                // The slices after a damaged page must still be stored.
                Err(error @ StoreError::Corrupt { .. }) => {
                    self.pulls.give_back(part);
                    result = Err(error.into());
                }
                Err(error) => {
                    self.pulls.give_back(&counted[index * pulls::AT_ONCE..]);
                    self.pulls.written();
                    return Err(error.into());
                }
            }
        }
        self.pulls.written();
        result
    }

    /// Ends running uploads at their checkpoints. Call it when no request runs any more.
    pub async fn close(&self, grant: &Grant<System>) {
        self.sessions.settle().await;
        if let Err(error) = self.store_pulls(grant).await {
            tracing::warn!(%error, "the last counted pulls were not stored");
        }
        if let Err(error) = self.promises.remember(&self.meta).await {
            tracing::warn!(%error, "what was promised was not stored: after the start, gc run --now has to wait");
        }
    }
}

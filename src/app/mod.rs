//! The parts of the server, built once: store, authentication, registry, jobs and workers.

mod condition;
mod start;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;

pub use crate::people::NewAdmin;
pub use crate::store::meta::Older;
pub use crate::store::open::Hooks;
pub use condition::{CertificateState, Condition, LastCheck, LastGc, LastScrub, Listening};
pub use start::{FirstAdmin, Start};

use crate::access::{Access, Grant, ReadServer, RunJobs};
use crate::auth::{self, Auth};
use crate::config::Config;
use crate::lifecycle::{
    self, CompactJob, CompactParams, Dumps, GcJob, GcParams, JobError, JobView, Jobs, Scheduler, ScrubJob,
    ScrubParams,
};
use crate::limits::{Ledger, Limits};
use crate::people::People;
use crate::registry::{Registry, RegistryError};
use crate::store::lock::DirLock;
use crate::store::meta::{CompactError, DatabaseSize, Meta, StoreError};
use crate::store::open::OpenError;
use condition::Run;

/// Manifests up to this size are received without charging memory to the principal.
pub const FREE_MANIFEST: u64 = 64 << 10;

/// The parts of the server.
pub struct App {
    /// Authorization.
    pub access: Arc<Access>,
    /// Authentication.
    pub auth: Arc<Auth>,
    /// Users and their tokens.
    pub people: People,
    /// Blobs, uploads, manifests and tags.
    pub registry: Arc<Registry>,
    /// The limits per principal, and what each holds.
    pub ledger: Arc<Ledger>,
    /// Work that takes longer than a request may.
    pub jobs: Arc<Jobs>,
    /// The jobs that run by themselves.
    pub scheduler: Arc<Scheduler>,
    idle: ArcSwap<Duration>,
    dumps: Arc<Dumps>,
    run: Run,
    meta: Arc<Meta>,
    new_admin: Mutex<Option<NewAdmin>>,
    runtime: Mutex<Option<Runtime>>,
    locks: Mutex<Vec<DirLock>>,
}

impl App {
    /// Opens or creates the store in the data directory, builds the parts on it and starts the workers.
    ///
    /// # Errors
    /// [`OpenError`]: the store was not opened.
    pub fn open(start: Start) -> Result<Arc<Self>, OpenError> {
        start::open(start).map(Arc::new)
    }

    /// How long a client may pause in the middle of a body.
    pub fn idle(&self) -> Duration {
        **self.idle.load()
    }

    /// Applies the settings that can change while the server runs. They hold for requests that begin from now
    /// on.
    pub fn reconfigure(&self, config: &Config) {
        self.ledger.reconfigure(Limits::of(config));
        self.registry.set_limits(start::limits(config));
        self.access.reconfigure(config);
        self.auth.reconfigure(auth::Settings::of(config));
        self.dumps.set(config.storage.dumps.clone());
        self.scheduler.reconfigure(config);
        self.idle.store(Arc::new(config.server.client_idle_timeout.duration()));
    }

    /// Starts to end, in the background, the uploads of users and tokens that may not sign in any more. Call
    /// it after a change that disabled or removed a user or a token.
    pub fn end_uploads_without_owner(&self) {
        let (registry, grant) = (Arc::clone(&self.registry), self.access.system("uploads"));
        self.registry.spawn(lifecycle::end_without_owner(registry, grant));
    }

    /// The time now, in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.meta.clock().now().wall_ms
    }

    /// Starts garbage collection for an admin.
    ///
    /// # Errors
    /// [`JobError`]: it was not started.
    pub async fn collect_garbage(
        &self,
        grant: &Grant<RunJobs>,
        params: GcParams,
    ) -> Result<JobView, JobError> {
        if let Err(pinned @ RegistryError::Pinned(_)) = self.registry.check_pins() {
            return Err(JobError::Pinned(pinned.to_string()));
        }
        if let Err(error) = self.registry.permit_untagged(grant).await {
            tracing::warn!(%error, "scheduled garbage collection still waits for a run by an admin");
        }
        let job = GcJob::new(Arc::clone(&self.registry), self.access.system("gc"));
        self.jobs.start(grant, job, params).await
    }

    /// Starts a scrub for an admin.
    ///
    /// # Errors
    /// [`JobError`]: it was not started.
    pub async fn scrub(&self, grant: &Grant<RunJobs>, params: ScrubParams) -> Result<JobView, JobError> {
        let job = ScrubJob::new(Arc::clone(&self.registry), self.access.system("scrub"));
        self.jobs.start(grant, job, params).await
    }

    /// Starts a compaction of the database for an admin.
    ///
    /// # Errors
    /// [`JobError`]: it was not started, because it would fail.
    pub async fn compact(&self, grant: &Grant<RunJobs>) -> Result<JobView, JobError> {
        let min_free = self.registry.min_free();
        self.on_meta(move |meta| meta.may_compact(min_free)).await??;
        let job = CompactJob::new(Arc::clone(&self.meta), min_free);
        self.jobs.start(grant, job, CompactParams::default()).await
    }

    /// Whether a compaction of the database would be refused now.
    ///
    /// # Errors
    /// [`CompactError`]: it would.
    pub async fn may_compact(&self, _grant: &Grant<ReadServer>) -> Result<(), CompactError> {
        let min_free = self.registry.min_free();
        self.on_meta(move |meta| meta.may_compact(min_free)).await?
    }

    /// The size of the database file.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be read.
    pub async fn database_size(&self, _grant: &Grant<ReadServer>) -> Result<DatabaseSize, StoreError> {
        self.on_meta(Meta::database_size).await?
    }

    /// Runs `work`, which may block, beside the requests.
    async fn on_meta<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Meta) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let meta = Arc::clone(&self.meta);
        tokio::task::spawn_blocking(move || work(&meta)).await.map_err(|_| StoreError::Failed)
    }

    /// The admin that was created at this start; only the first call returns it.
    pub fn new_admin(&self) -> Option<NewAdmin> {
        self.new_admin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records in the data directory the socket at which commands reach this process.
    pub fn note_socket(&self, socket: &Path) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // The first lock is that of the data directory.
        if let Some(Err(error)) = locks.first_mut().map(|lock| lock.set_socket(socket)) {
            tracing::warn!(%error, "cannot note the admin socket in LOCK: commands look where their settings say");
        }
    }

    /// Closes everything in order: uploads at their checkpoints, the writer after its last commit, the
    /// database, and the directories marked as closed cleanly. Call it when no request runs any more, outside
    /// of async code.
    pub fn close(&self) {
        let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        self.jobs.stop();
        // Limits reached since the last report would otherwise not be logged.
        lifecycle::report_limits(&self.ledger.report());
        runtime.block_on(self.registry.close(&self.access.system("stop")));
        self.meta.close();
        let locks = std::mem::take(&mut *self.locks.lock().unwrap_or_else(PoisonError::into_inner));
        for lock in &locks {
            if let Err(error) = lock.mark_clean() {
                tracing::warn!(%error, dir = %lock.dir().display(), "the directory could not be marked as left cleanly");
            }
        }
        runtime.shutdown_timeout(Duration::from_secs(5));
        // Released here, and not with the last owner of the app: that may be a thread of the web server,
        // which ends at an unknown time.
        drop(locks);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.close();
    }
}

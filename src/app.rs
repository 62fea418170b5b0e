//! The parts of the server, built once: store, gate, registry, and the workers that run by themselves.

mod condition;
mod directories;
mod dumps;
mod jobs;
mod open;
mod open_error;
mod rebuild;
mod workers;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;

pub use crate::people::NewAdmin;
pub use crate::registry::fsck::{CheckError, Problem, Progress, Report};
pub use crate::registry::rebuild::{Differences, LaterBlob, MissingBlob};
pub use condition::{CertificateState, Condition, LastCheck, Listening};
pub use jobs::{CheckRuns, JobState, JobView};
pub use open::{FirstAdmin, Hooks, Start};
pub use open_error::OpenError;
pub use rebuild::{Rebuild, RebuildError, Rebuilt, RefusedDump};

use crate::access::Access;
use crate::auth;
use crate::auth::Auth;
use crate::config::Config;
use crate::limits::{Ledger, Limits};
use crate::people::People;
use crate::registry::Registry;
use crate::registry::fsck;
use crate::store::lock::DirLock;
use crate::store::meta::{FILE_NAME, Meta, OnRepair};
use condition::Run;
use dumps::Dumps;
use jobs::Jobs;

/// Manifests up to this size are received without being charged for memory.
pub const FREE_MANIFEST: u64 = 64 << 10;

/// The server's parts.
pub struct App {
    /// Who may do what.
    pub access: Arc<Access>,
    /// Who calls.
    pub auth: Arc<Auth>,
    /// The users and their tokens.
    pub people: People,
    /// What a registry does.
    pub registry: Arc<Registry>,
    /// What each principal holds and may hold.
    pub ledger: Arc<Ledger>,
    idle: ArcSwap<Duration>,
    dumps: Dumps,
    run: Run,
    meta: Arc<Meta>,
    jobs: Jobs,
    new_admin: Mutex<Option<NewAdmin>>,
    runtime: Mutex<Option<Runtime>>,
    locks: Mutex<Vec<DirLock>>,
}

impl App {
    /// Opens the store in the data directory, or makes it, and builds the parts on it.
    pub fn open(start: Start) -> Result<Arc<Self>, OpenError> {
        let opened = open::open(start)?;
        let app = Arc::new(opened);
        workers::start(&app);
        Ok(app)
    }

    /// How long a client may say nothing in the middle of a body.
    pub fn idle(&self) -> Duration {
        **self.idle.load()
    }

    /// Puts those settings into force that can change while the server works: for what begins from now on.
    pub fn reconfigure(&self, config: &Config) {
        self.ledger.reconfigure(Limits::of(config));
        self.registry.set_limits(limits(config));
        self.access.reconfigure(config);
        self.auth.reconfigure(auth::Settings::of(config));
        self.dumps.set(config.storage.dumps.clone());
        self.idle.store(Arc::new(config.server.client_idle_timeout.duration()));
    }

    /// Ends the uploads of users and tokens that may not sign in any more, in the background: call it after a change that
    /// took the sign-in of a user or a token away.
    pub fn end_uploads_without_owner(&self) {
        let (registry, grant) = (Arc::clone(&self.registry), self.access.system("uploads"));
        self.registry.spawn(async move {
            if let Err(error) = registry.end_uploads_without_owner(&grant).await {
                tracing::warn!(%error, "uploads of a user or token that may not sign in any more could not be ended");
            }
        });
    }

    /// The admin that was made at this start, told once.
    pub fn new_admin(&self) -> Option<NewAdmin> {
        self.new_admin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes in the data directory where commands reach this process.
    pub fn note_socket(&self, socket: &Path) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one is that of the data directory.
        if let Some(Err(error)) = locks.first_mut().map(|lock| lock.set_socket(socket)) {
            tracing::warn!(%error, "cannot note the admin socket in LOCK: commands look where their settings say");
        }
    }

    /// Ends everything in order: uploads to their checkpoints, the writer to its last commit, the database closed,
    /// the directories marked as left cleanly. Call it when no request runs any more, from no async context.
    pub fn close(&self) {
        let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        self.jobs.stop();
        // What was met since the last report would be told by nothing else.
        workers::report_limits(&self.ledger.report());
        runtime.block_on(self.registry.close(&self.access.system("stop")));
        self.meta.close();
        let locks = std::mem::take(&mut *self.locks.lock().unwrap_or_else(PoisonError::into_inner));
        for lock in &locks {
            if let Err(error) = lock.mark_clean() {
                tracing::warn!(%error, dir = %lock.dir().display(), "the directory could not be marked as left cleanly");
            }
        }
        runtime.shutdown_timeout(Duration::from_secs(5));
        // Not with the last owner, who may be a thread of the web server that takes its time to end.
        drop(locks);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.close();
    }
}

/// Checks a store that no server has open.
pub fn check(
    data_dir: &Path,
    blob_dir: &Path,
    deep: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, OpenError> {
    let store = open::offline(data_dir, blob_dir)?;
    let mode = fsck::Mode { deep, others_write: false };
    let report = fsck::check(&store.meta, &store.staging, store.blobs.as_ref(), mode, &mut |step| {
        progress(step);
        ControlFlow::Continue(())
    });
    let report = report.map(|mut report| {
        store.runtime.block_on(fsck::record(&store.meta, &mut report));
        report
    });
    store.close();
    let database = data_dir.join(FILE_NAME);
    report.map_err(|error| match error {
        CheckError::Store(error) => OpenError::from_store(&database, error),
        CheckError::Ended => OpenError::Io { path: database, source: io::ErrorKind::Interrupted.into() },
    })
}

/// Makes a store again from a dump of its metadata and its blobs, while no server runs.
pub fn rebuild(request: &Rebuild, progress: &mut dyn FnMut(Progress)) -> Result<Rebuilt, RebuildError> {
    rebuild::rebuild(request, progress)
}

/// Opens and closes the database of a store that was not left cleanly. A child process does this: a damaged file may
/// end the process that opens it.
pub fn probe(data_dir: &Path, on_repair: OnRepair) -> Result<(), OpenError> {
    open::probe(data_dir, on_repair)
}

/// Whether the last server left the data directory in order.
pub fn was_clean(data_dir: &Path) -> bool {
    directories::was_clean(data_dir)
}

/// The settings of the registry as its limits.
fn limits(config: &Config) -> crate::registry::Limits {
    crate::registry::Limits {
        promise_s: config.storage.gc.promise.as_secs(),
        upload_idle_s: config.storage.gc.upload_idle.as_secs(),
        require_references: config.registry.require_references,
        tags_per_repository: config.limits.tags_per_repository as u64,
        min_free: config.storage.min_free,
    }
}

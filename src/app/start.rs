//! Builds the parts of a server on its store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::App;
use super::condition::Run;
use crate::access::{Access, Policy};
use crate::auth::{self, Auth, Settings};
use crate::config::{self, Config};
use crate::lifecycle::{self, Dumps, Jobs, Parts, Scheduler};
use crate::limits::{Ledger, Limits};
use crate::people::{People, UserError};
use crate::registry::{self, Registry};
use crate::store::lock::DirLock;
use crate::store::meta::{FILE_NAME, Older};
use crate::store::open::{Hooks, OpenError, Store, io_at};
use crate::telemetry::Secret;

/// The parameters of a start.
pub struct Start {
    /// The settings in force.
    pub config: Config,
    /// The data directory, which is created if it does not exist.
    pub data_dir: PathBuf,
    /// Whether every caller may do everything (`serve --anonymous`).
    pub open_registry: bool,
    /// Whether an admin is created when there is no user.
    pub first_admin: FirstAdmin,
    /// What happens to a store of an older format.
    pub older: Older,
    /// Doubles that tests inject.
    pub hooks: Hooks,
}

/// Whether a start that finds no user creates the first admin.
pub enum FirstAdmin {
    /// No admin is created.
    No,
    /// With a generated password, written to a file.
    Generate,
    /// With this password.
    Password(Secret<String>),
}

pub(super) fn open(start: Start) -> Result<App, OpenError> {
    let Start { config, data_dir, open_registry, first_admin, older, hooks } = start;
    let blob_dir = config::blob_dir(&config, &data_dir);
    let cache = usize::try_from(config.storage.metadata_cache.bytes()).unwrap_or(usize::MAX);
    let Store { meta, staging, blobs, locks, runtime } =
        Store::serve(&data_dir, &blob_dir, (cache, older), hooks)?;
    let last_worked_ms = Scheduler::last_worked_ms(&meta);
    meta.keep_reserve();
    let handle = runtime.handle().clone();
    let policy = if open_registry { Policy::Open } else { Policy::of(&config) };
    let access = Access::new(Arc::clone(&meta), policy);
    let access = Arc::new(access.map_err(|error| error.on_opening(&data_dir.join(FILE_NAME)))?);
    let auth =
        Auth::new(Arc::clone(&meta), Arc::clone(&access), &data_dir, Settings::of(&config), handle.clone());
    let auth = Arc::new(auth.map_err(io_at(&auth::key_file(&data_dir)))?);
    let initial_admin = &config.auth.initial_admin;
    let people = People::new(Arc::clone(&meta), Arc::clone(&auth), &data_dir, initial_admin);
    let ledger = Ledger::new(Limits::of(&config));
    let registry =
        Registry::new(Arc::clone(&meta), staging, blobs, handle, Arc::clone(&ledger), limits(&config));
    let is_clean = locks.iter().all(DirLock::clean);
    runtime.block_on(registry.recall_promises(&access.system("start"), is_clean));
    if let Err(error) = registry.count_uploads() {
        tracing::warn!(%error, "unfinished uploads of the last run cannot be counted for their users");
    }
    let new_admin = match first_admin {
        FirstAdmin::No => None,
        _ if open_registry => None,
        FirstAdmin::Generate => Some(None),
        FirstAdmin::Password(password) => Some(Some(password)),
    };
    let new_admin = match new_admin {
        None => None,
        Some(given) => {
            let made = runtime.block_on(people.ensure_admin(given));
            made.map_err(|error| no_admin(error, &data_dir.join(FILE_NAME)))?
        }
    };
    let dumps = Arc::new(Dumps::new(&data_dir, config.storage.dumps.clone()));
    let jobs = Arc::new(runtime.block_on(Jobs::open(Arc::clone(&meta), runtime.handle().clone())));
    let parts = Parts {
        runtime: runtime.handle().clone(),
        meta: Arc::clone(&meta),
        access: Arc::clone(&access),
        auth: Arc::clone(&auth),
        registry: Arc::clone(&registry),
        ledger: Arc::clone(&ledger),
        dumps: Arc::clone(&dumps),
        jobs: Arc::clone(&jobs),
    };
    lifecycle::start(&parts);
    let scheduler = Scheduler::open(&parts, &config, last_worked_ms);
    Ok(App {
        access,
        auth,
        people,
        jobs,
        scheduler,
        registry,
        ledger,
        idle: ArcSwap::from_pointee(config.server.client_idle_timeout.duration()),
        dumps,
        run: Run::begin(data_dir),
        meta,
        new_admin: Mutex::new(new_admin),
        runtime: Mutex::new(Some(runtime)),
        locks: Mutex::new(locks),
    })
}

/// Why the first admin could not be created.
fn no_admin(error: UserError, database: &Path) -> OpenError {
    match error {
        UserError::File { path, source } => OpenError::Io { path, source },
        UserError::Store(error) => error.on_opening(database),
        refused => OpenError::io(database, io::Error::other(refused)),
    }
}

/// The limits that the settings set for the registry.
pub(super) fn limits(config: &Config) -> registry::Limits {
    registry::Limits {
        promise_s: config.storage.gc.promise.as_secs(),
        untagged_s: config.storage.gc.untagged.seconds(),
        max_collection: config.storage.gc.max_duration.duration(),
        scrub_rate: config.storage.scrub.io_limit.bytes(),
        max_scrub: config.storage.scrub.max_duration.duration(),
        trash_s: config.storage.trash.as_secs(),
        upload_idle_s: config.storage.gc.upload_idle.as_secs(),
        require_references: config.registry.require_references,
        tags_per_repository: config.limits.tags_per_repository as u64,
        min_free: config.storage.min_free,
        warn_free: config.storage.warn_free,
    }
}

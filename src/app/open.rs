//! Opening a store: lock, layout, database, and whether they belong together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Handle, Runtime};

use super::condition::Run;
use super::directories;
use super::directories::Locked;
use super::dumps::Dumps;
use super::jobs::Jobs;
use super::open_error::{OpenError, io_at};
use super::rebuild;
use super::{App, limits};
use crate::access::{Access, Policy};
use crate::auth;
use crate::auth::{Auth, Settings};
use crate::config;
use crate::config::Config;
use crate::limits::{Ledger, Limits};
use crate::people::{People, UserError};
use crate::registry::Registry;
use crate::store::blob::{BlobStore, FileBlobs, Staging};
use crate::store::faulty::Faults;
use crate::store::lock::DirLock;
use crate::store::meta;
use crate::store::meta::Meta;
use crate::telemetry::Secret;

/// What a server is started with.
pub struct Start {
    /// The settings in force.
    pub config: Config,
    /// The data directory, which is made if it is not there.
    pub data_dir: PathBuf,
    /// Everybody may do everything (`serve --anonymous`).
    pub open_registry: bool,
    /// Whether an admin is made when there is no user.
    pub first_admin: FirstAdmin,
    /// What tests put in the place of the real thing.
    pub hooks: Hooks,
}

/// Whether the first admin is made at a start that finds no user.
pub enum FirstAdmin {
    /// No admin is made.
    No,
    /// With a new password, left in a file.
    Generate,
    /// With this password.
    Password(Secret<String>),
}

/// What tests put in the place of the real thing. The default is the real thing.
#[derive(Default)]
pub struct Hooks {
    /// Errors of the database file.
    pub meta_faults: Option<Arc<Faults>>,
    /// Errors of the blob tree.
    pub blob_faults: Option<Arc<Faults>>,
}

/// A locked store.
pub(super) struct Store {
    pub(super) meta: Arc<Meta>,
    pub(super) staging: Arc<Staging>,
    pub(super) blobs: Arc<dyn BlobStore>,
    locks: Vec<DirLock>,
    pub(super) runtime: Runtime,
}

impl Store {
    /// Closes the database and leaves the directories marked as clean.
    pub(super) fn close(self) {
        self.meta.close();
        for lock in &self.locks {
            // Not marked, the next start only looks more closely.
            let _ = lock.mark_clean();
        }
        self.runtime.shutdown_background();
    }
}

pub(super) fn open(start: Start) -> Result<App, OpenError> {
    let Start { config, data_dir, open_registry, first_admin, hooks } = start;
    let blob_dir = config::blob_dir(&config, &data_dir);
    let cache = usize::try_from(config.storage.metadata_cache.bytes()).unwrap_or(usize::MAX);
    let Store { meta, staging, blobs, locks, runtime } =
        open_store(&data_dir, &blob_dir, cache, hooks, true)?;
    meta.keep_reserve();
    let handle = runtime.handle().clone();
    let policy = if open_registry { Policy::Open } else { Policy::of(&config) };
    let database = data_dir.join(meta::FILE_NAME);
    let access =
        Access::new(Arc::clone(&meta), policy).map_err(|error| OpenError::from_store(&database, error))?;
    let access = Arc::new(access);
    let auth =
        Auth::new(Arc::clone(&meta), Arc::clone(&access), &data_dir, Settings::of(&config), handle.clone())
            .map_err(io_at(&auth::key_file(&data_dir)))?;
    let auth = Arc::new(auth);
    let initial_admin = &config.auth.initial_admin;
    let people = People::new(Arc::clone(&meta), Arc::clone(&auth), &data_dir, initial_admin);
    let ledger = Ledger::new(Limits::of(&config));
    let registry =
        Registry::new(Arc::clone(&meta), staging, blobs, handle, Arc::clone(&ledger), limits(&config));
    if let Err(error) = registry.count_uploads() {
        tracing::warn!(%error, "unfinished uploads of the last run cannot be counted for their users");
    }
    let given = match first_admin {
        FirstAdmin::No => None,
        FirstAdmin::Generate => Some(None),
        FirstAdmin::Password(password) => Some(Some(password)),
    };
    let new_admin = match given {
        None => None,
        Some(_) if open_registry => None,
        Some(given) => {
            let made = runtime.block_on(people.ensure_admin(given));
            made.map_err(|error| match error {
                UserError::File { path, source } => OpenError::Io { path, source },
                UserError::Store(error) => OpenError::from_store(&database, error),
                refused => OpenError::Io { path: database.clone(), source: io::Error::other(refused) },
            })?
        }
    };
    Ok(App {
        access,
        auth,
        people,
        registry,
        ledger,
        idle: ArcSwap::from_pointee(config.server.client_idle_timeout.duration()),
        dumps: Dumps::new(&data_dir, config.storage.dumps),
        run: Run::begin(data_dir),
        meta,
        jobs: Jobs::default(),
        new_admin: Mutex::new(new_admin),
        runtime: Mutex::new(Some(runtime)),
        locks: Mutex::new(locks),
    })
}

/// The store for a command that works while no server runs. It must be there.
pub(super) fn offline(data_dir: &Path, blob_dir: &Path) -> Result<Store, OpenError> {
    open_store(data_dir, blob_dir, 64 << 20, Hooks::default(), false)
}

fn open_store(
    data_dir: &Path,
    blob_dir: &Path,
    cache_bytes: usize,
    hooks: Hooks,
    serve: bool,
) -> Result<Store, OpenError> {
    let Locked { mut locks, new } = if serve {
        directories::for_server(data_dir, blob_dir)?
    } else {
        directories::locked(data_dir, blob_dir)?
    };
    if let Some(saved) = meta::saved_database(data_dir).filter(|_| serve && !new) {
        tracing::warn!(
            saved = %saved.display(),
            "an earlier run saved its database here because the file was replaced under it: changes of that run may be \
             in the saved file alone; remove it when it is not needed"
        );
    }
    rebuild::clear(data_dir);
    let files = FileBlobs::open_with(blob_dir, hooks.blob_faults)
        .map_err(|error| directories::layout(blob_dir, error))?;
    let staging = Arc::clone(files.staging());
    let blobs: Arc<dyn BlobStore> = Arc::new(files);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(256)
        .thread_name("stowage-io")
        .enable_time()
        .build()
        .map_err(io_at(data_dir))?;
    let meta = open_meta(data_dir, cache_bytes, &blobs, runtime.handle().clone(), hooks.meta_faults)?;
    directories::match_ids(&mut locks, data_dir, &meta, blobs.as_ref())?;
    Ok(Store { meta, staging, blobs, locks, runtime })
}

pub(super) fn open_meta(
    data_dir: &Path,
    cache_bytes: usize,
    blobs: &Arc<dyn BlobStore>,
    runtime: Handle,
    faults: Option<Arc<Faults>>,
) -> Result<Arc<Meta>, OpenError> {
    let blobs = Arc::clone(blobs);
    let options = meta::Options {
        data_dir: data_dir.to_owned(),
        cache_bytes,
        wall: wall_ms,
        sync_barrier: Arc::new(move |barrier| blobs.sync(barrier)),
        runtime,
        faults,
        on_repair: meta::log_repair,
    };
    Ok(Arc::new(Meta::open(options)?))
}

/// The machine's clock.
fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock of the server")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn probe(data_dir: &Path, on_repair: meta::OnRepair) -> Result<(), OpenError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().map_err(io_at(data_dir))?;
    let options = meta::Options {
        data_dir: data_dir.to_owned(),
        cache_bytes: 64 << 20,
        wall: wall_ms,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.handle().clone(),
        faults: None,
        on_repair,
    };
    let database = data_dir.join(meta::FILE_NAME);
    if database.try_exists().map_err(io_at(&database))? {
        Meta::open(options)?.close();
    }
    Ok(())
}

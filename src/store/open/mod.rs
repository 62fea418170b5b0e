//! Opening a store: its directories and their locks, the tree of blobs, the database, and whether they belong
//! together.

mod directories;
mod workshop;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::{Builder, Handle, Runtime};

pub use self::directories::{acquire, judge, layout, was_clean};
pub use self::workshop::{WORKSHOP, was_cut_off};
pub use super::open_error::{OpenError, io_at};

use self::directories::Locked;
use super::blob::{BlobStore, FileBlobs, Staging};
use super::faulty::Faults;
use super::lock::DirLock;
use super::meta::{self, Meta, Older};

/// Doubles that tests inject. The default has none.
#[derive(Default)]
pub struct Hooks {
    /// Faults of the database file.
    pub meta_faults: Option<Arc<Faults>>,
    /// Faults of the blob tree.
    pub blob_faults: Option<Arc<Faults>>,
}

/// The page cache, in bytes, for a command that opens a store while no server runs.
pub const OFFLINE_CACHE: usize = 64 << 20;

/// An open store with its locks.
pub struct Store {
    /// Its metadata.
    pub meta: Arc<Meta>,
    /// Where uploads are staged.
    pub staging: Arc<Staging>,
    /// Its blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The locks of its directories, that of the data directory first.
    pub locks: Vec<DirLock>,
    /// The runtime of the writer, the workers and the registry's file work.
    pub runtime: Runtime,
}

impl Store {
    /// Opens the store for a server, which creates it if there is none yet. `database` has the bytes of its
    /// page cache, and what happens to an older format.
    ///
    /// # Errors
    /// [`OpenError`]: existing files were not changed.
    pub fn serve(
        data_dir: &Path,
        blob_dir: &Path,
        database: (usize, Older),
        hooks: Hooks,
    ) -> Result<Self, OpenError> {
        let Locked { locks, new } = directories::for_server(data_dir, blob_dir)?;
        if let Some(saved) = meta::saved_database(data_dir).filter(|_| !new) {
            tracing::warn!(
                saved = %saved.display(),
                "an earlier run saved its database here because the file was replaced under it: changes of that run may be \
                 in the saved file alone; remove it when it is not needed"
            );
        }
        Self::open(data_dir, blob_dir, database, hooks, locks)
    }

    /// Opens the store for a command that works while no server runs. It must exist, in the present format:
    /// only a server migrates.
    ///
    /// # Errors
    /// [`OpenError`]: nothing was changed.
    pub fn offline(data_dir: &Path, blob_dir: &Path) -> Result<Self, OpenError> {
        let Locked { locks, .. } = directories::locked(data_dir, blob_dir)?;
        Self::open(data_dir, blob_dir, (OFFLINE_CACHE, Older::Refuse), Hooks::default(), locks)
    }

    fn open(
        data_dir: &Path,
        blob_dir: &Path,
        database: (usize, Older),
        hooks: Hooks,
        mut locks: Vec<DirLock>,
    ) -> Result<Self, OpenError> {
        workshop::clear(data_dir);
        let files =
            FileBlobs::open_with(blob_dir, hooks.blob_faults).map_err(|error| layout(blob_dir, error))?;
        let staging = Arc::clone(files.staging());
        let blobs: Arc<dyn BlobStore> = Arc::new(files);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(256)
            .thread_name("stowage-io")
            .enable_time()
            .build()
            .map_err(io_at(data_dir))?;
        let meta = open_meta(data_dir, database, &blobs, runtime.handle().clone(), hooks.meta_faults)?;
        directories::match_ids(&mut locks, data_dir, &meta, blobs.as_ref())?;
        Ok(Self { meta, staging, blobs, locks, runtime })
    }

    /// Closes the database and marks the directories as clean.
    pub fn close(self) {
        self.meta.close();
        for lock in &self.locks {
            // Without the mark, the next start only checks more.
            let _ = lock.mark_clean();
        }
        self.runtime.shutdown_background();
    }
}

/// Opens the database of a locked directory, with this many bytes of cache.
///
/// # Errors
/// [`OpenError`]: nothing was changed.
pub fn open_meta(
    data_dir: &Path,
    (cache_bytes, older): (usize, Older),
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
    Ok(Arc::new(Meta::open_older(options, older)?))
}

/// Opens and closes the database of a store that was not closed cleanly. It runs in a child process, because
/// a damaged file may end the process that opens it.
///
/// # Errors
/// [`OpenError`]: the database cannot be used.
pub fn probe(data_dir: &Path, on_repair: meta::OnRepair) -> Result<(), OpenError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().map_err(io_at(data_dir))?;
    let options = meta::Options {
        data_dir: data_dir.to_owned(),
        cache_bytes: OFFLINE_CACHE,
        wall: wall_ms,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.handle().clone(),
        faults: None,
        on_repair,
    };
    let database = data_dir.join(meta::FILE_NAME);
    if database.try_exists().map_err(io_at(&database))? {
        match Meta::open(options) {
            Ok(meta) => meta.close(),
            // It was repaired if necessary; the start that follows migrates it.
            Err(OpenError::OldFormat { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The machine's clock.
fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock of the server")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

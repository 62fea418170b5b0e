//! The metadata: one redb file, read in snapshots, changed by one writer thread.
//!
//! Only this module uses redb. Other modules pass closures to [`Meta`].

mod audit;
mod batch;
mod change;
pub mod clock;
mod compact;
mod copy;
pub mod dump;
mod error;
mod faulty;
mod format;
mod handle;
mod job;
mod key;
mod marks;
mod migrate;
mod open_tables;
mod opener;
mod outbox;
mod overlay;
mod pages;
mod place;
mod read;
mod reserve;
pub mod schema;
mod size;
mod table;
mod tx;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::Database;
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;
use uuid::Uuid;

pub use change::Change;
pub use clock::{StoreClock, WallClock};
pub use compact::{CompactError, Compacted};
pub use error::StoreError;
pub use format::SCHEMA;
pub use key::{Key, KeyOf, PrefixOf, Stored, Successor};
pub use migrate::Older;
pub use opener::{FILE_NAME, OnRepair, log_repair};
pub use pages::{Pages, Reader};
pub use place::saved_database;
pub use read::Tx;
pub use size::DatabaseSize;
pub use table::{Raw, Row, Table, Unread};
pub use tx::{ReadTx, WriteTx};
pub use writer::SyncBarrier;

use crate::store::faulty::Faults;
use crate::store::open_error::OpenError;
use handle::Handle;
use job::{Message, TypedJob};
use marks::Marks;
use opener::Opener;
use place::DatabaseFile;
use reserve::Reserve;
use writer::Writer;

/// The parameters for opening the metadata.
pub struct Options {
    /// The data directory, which exists and is locked by the caller.
    pub data_dir: PathBuf,
    /// Bytes of the database's page cache.
    pub cache_bytes: usize,
    /// Returns the wall time.
    pub wall: WallClock,
    /// Syncs a barrier of the blob store.
    pub sync_barrier: SyncBarrier,
    /// The runtime whose blocking threads run the scans.
    pub runtime: Runtime,
    /// Faults that a test injects.
    pub faults: Option<Arc<Faults>>,
    /// Called with the progress of a repair: usually [`log_repair`].
    pub on_repair: OnRepair,
}

/// How long a process is waited for that has the database open.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The metadata of the registry.
pub struct Meta {
    handle: Arc<Handle>,
    clock: StoreClock,
    marks: Arc<Marks>,
    runtime: Runtime,
    store_id: Uuid,
    created: bool,
    queue: mpsc::Sender<Message>,
    /// Whether the database is being compacted.
    compacting: AtomicBool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Meta {
    /// Opens or creates the database of the data directory. An older format is refused.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_older(options, Older::Refuse)
    }

    /// [`Meta::open`], with a choice of what to do about an older format.
    pub fn open_older(options: Options, older: Older) -> Result<Self, OpenError> {
        let mut opener = Opener {
            data_dir: options.data_dir.clone(),
            cache_bytes: options.cache_bytes,
            faults: options.faults,
            on_repair: options.on_repair,
            expected: None,
        };
        let path = options.data_dir.join(FILE_NAME);
        let reserve = Reserve::new(&options.data_dir);
        let (database, created) = match when_free(&opener, older) {
            Err(error) if is_full(&error) && reserve.give_up() => opener.open_or_create(older)?,
            first => first?,
        };
        let stored = format::check(&database, &path)?;
        // The database is locked by now, so this is the file that it has open, unless it was replaced in
        // between.
        let place = DatabaseFile::new(path.clone()).map_err(|source| OpenError::io(&path, source))?;
        opener.expected = Some(place.id());
        let handle = Arc::new(Handle::new(opener, database, reserve, place));
        let clock = StoreClock::start(options.wall, stored.clock.running_s);
        let marks = Arc::new(Marks::new(stored.clock.wall_high_ms));
        let shared = (Arc::clone(&handle), Arc::clone(&marks));
        let writer = Writer::new(shared, clock, stored.clock, options.sync_barrier);
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("stowage-writer".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|source| OpenError::io(&path, source))?;
        Ok(Self {
            handle,
            clock,
            marks,
            runtime: options.runtime,
            store_id: stored.format.store_id,
            created,
            queue,
            compacting: AtomicBool::new(false),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// The id of this store, which the LOCK files repeat.
    pub const fn store_id(&self) -> Uuid {
        self.store_id
    }

    /// Whether this call of [`Meta::open`] created the database.
    pub const fn created(&self) -> bool {
        self.created
    }

    /// The clock that measures all ages in the store.
    pub const fn clock(&self) -> StoreClock {
        self.clock
    }

    /// The latest time that is known to have passed, in Unix milliseconds. Expiry uses it: a clock that is
    /// set back makes nothing valid again, and one that was ahead for a while does not create anything that
    /// never expires.
    pub fn latest_ms(&self) -> u64 {
        self.clock.latest_ms(&self.marks)
    }

    /// The `auth_epoch` of the last commit since [`Meta::know_epoch`]. The writer sets it after its commit
    /// and before the caller is answered, so an acknowledged change of rights applies to every later request.
    pub fn auth_epoch(&self) -> u64 {
        self.marks.epoch()
    }

    /// Sets the epoch that was read when the store was opened.
    pub fn know_epoch(&self, stored: u64) {
        self.marks.raise_epoch(stored);
    }

    /// A number that rises with every commit that may have changed what a dump has, before its callers are
    /// answered. It starts at 0 when the store is opened.
    pub fn changes(&self) -> u64 {
        self.marks.changes()
    }

    /// Reserves space on the disk, from now on, for changes that free space ([`Change::frees`]).
    pub fn keep_reserve(&self) {
        self.handle.reserve().keep();
    }

    /// Whether the disk has too little space for the reserve: then nothing optional may be written.
    pub fn reserve_is_lacking(&self) -> bool {
        self.handle.reserve().is_lacking()
    }

    /// Why every change is refused at present; `None` if none is.
    pub fn refusal(&self) -> Option<StoreError> {
        self.handle.refusal()
    }

    /// The path of the database file, if that file was removed or replaced since it was opened.
    pub fn displaced(&self) -> Option<&Path> {
        let place = self.handle.place();
        place.is_displaced().then(|| place.path())
    }

    /// Reads in a snapshot, on the calling thread: only for a bounded number of point reads of small rows,
    /// which take microseconds. It retries once if the database was being reopened.
    pub fn get<T, E: From<StoreError>>(&self, read: impl Fn(&ReadTx) -> Result<T, E>) -> Result<T, E> {
        match read_in(&self.handle, &self.queue, &read) {
            Ok(result) => result,
            Err(_) => read_in(&self.handle, &self.queue, &read)?,
        }
    }

    /// Reads in a snapshot on a blocking thread: for scans and large values. Keep it under 200 ms: pages that
    /// a snapshot sees cannot be reused while it lives.
    pub async fn scan<T, E, F>(&self, read: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&ReadTx) -> Result<T, E> + Send + 'static,
    {
        let (handle, queue) = (Arc::clone(&self.handle), self.queue.clone());
        let task = self.runtime.spawn_blocking(move || read_in(&handle, &queue, read)?);
        task.await.unwrap_or_else(|_| Err(StoreError::Failed.into()))
    }

    /// Reads in a snapshot on the calling thread, which may block: [`Meta::scan`] for callers on a blocking
    /// thread.
    pub fn read_blocking<T, E: From<StoreError>>(
        &self,
        read: impl FnOnce(&ReadTx) -> Result<T, E>,
    ) -> Result<T, E> {
        read_in(&self.handle, &self.queue, read)?
    }

    /// Changes the store in one transaction and returns when it is durable. `run` may run more than once, so
    /// it must have no other effect than on the transaction. An error before its first change does not affect
    /// other jobs.
    pub async fn write<T, E, F>(&self, run: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.change(Change::default(), run).await
    }

    /// [`Meta::write`] with properties of the change. What `run` owns (a lock, for instance) lives until the
    /// commit has returned, even if the caller is gone.
    pub async fn change<T, E, F>(&self, change: Change, run: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = TypedJob { change, run, result: None, reply };
        if self.queue.send(Message::Job(Box::new(job))).is_err() {
            return Err(StoreError::Unavailable.into());
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable.into()))
    }

    /// Commits the waiting changes with quick-repair and closes the database. Later calls return
    /// [`StoreError::Unavailable`].
    pub fn close(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // If the writer has ended by a panic, joining its thread reports that.
            let _ = self.queue.send(Message::Stop);
            if thread.join().is_err() {
                tracing::error!("the writer ended with a panic");
            }
        }
    }
}

/// Opens the database. The caller holds the lock of its directory, so another process that has the file open
/// belongs to a server that was killed, and is about to end: it is waited for.
fn when_free(opener: &Opener, older: Older) -> Result<(Database, bool), OpenError> {
    let asked = Instant::now();
    let mut is_told = false;
    loop {
        match opener.open_or_create(older) {
            Err(OpenError::InUse { .. }) if asked.elapsed() < PATIENCE => {
                if !is_told {
                    tracing::info!(
                        "a process of the last run still has the database open: waiting for its end"
                    );
                    is_told = true;
                }
                std::thread::sleep(ASK_EVERY);
            }
            done => return done,
        }
    }
}

/// Whether the reserve may help. It is not used for a copy.
fn is_full(error: &OpenError) -> bool {
    match error {
        OpenError::Io { source, .. } => matches!(StoreError::from_io(source), StoreError::Full),
        OpenError::NoRoom { for_copy, .. } => !for_copy,
        _ => false,
    }
}

/// Reads in a snapshot. After an I/O error it asks the writer to reopen the database, because there may be no
/// change for a long time that would do so.
fn read_in<T>(
    handle: &Handle,
    queue: &mpsc::Sender<Message>,
    read: impl FnOnce(&ReadTx) -> T,
) -> Result<T, StoreError> {
    read_of(&handle.database()?, queue, read)
}

/// The same of this database.
fn read_of<T>(
    database: &Arc<Database>,
    queue: &mpsc::Sender<Message>,
    read: impl FnOnce(&ReadTx) -> T,
) -> Result<T, StoreError> {
    let outcome = error::guarded(|| match ReadTx::begin(&**database) {
        Ok(tx) => (Ok(read(&tx)), tx.is_broken()),
        Err(error) => (Err(error.clone()), error.breaks_handle()),
    });
    // Reopening does not repair a damaged page.
    let (result, broken) = outcome.unwrap_or_else(|error| (Err(error), false));
    if broken {
        // Without a writer there is nothing to reopen.
        let _ = queue.send(Message::Broken(Arc::downgrade(database)));
    }
    result
}

impl Drop for Meta {
    fn drop(&mut self) {
        self.close();
    }
}

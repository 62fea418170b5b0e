//! One upload session: its state, and the guard that gives one writer access to it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use super::body::total;
use crate::limits::{Charge, Holder, Ledger, LimitReached, Resource};
use crate::model::digest::{Algorithm, Hasher};
use crate::model::names::{RepoId, RepoName, UploadId};
use crate::registry::error::RegistryError;
use crate::store::blob::{Staged, Staging};
use crate::store::meta::StoreClock;
use crate::store::meta::schema::Owner;

/// After this many seconds without a byte, a writer may be evicted by another request of the same session:
/// its connection probably broke without the server noticing.
const SILENCE_S: u64 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a request waits for a writer that receives no more bytes and only has to sync its file.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upload session.
pub(super) struct Session {
    pub(super) id: UploadId,
    pub(super) name: RepoName,
    pub(super) repository: RepoId,
    pub(super) owner: Owner,
    /// The principal that is charged for it.
    pub(super) holder: Holder,
    /// Bytes appended so far, readable while a writer holds the state.
    pub(super) received: AtomicU64,
    /// Running second in which it was created or loaded.
    pub(super) begun_s: u64,
    /// Running second of its last activity.
    pub(super) touched_s: AtomicU64,
    /// Whether a request is sending bytes, or has announced some.
    receiving: AtomicBool,
    /// Whether the owner's permission was withdrawn: a writer stops at its next batch.
    withdrawn: AtomicBool,
    /// Tells the current writer to stop.
    pub(super) evict: Notify,
    pub(super) state: Arc<AsyncMutex<State>>,
    /// The state of a writer that waits for its body, with the ticket by which it is taken back.
    parked: Mutex<Option<(u64, SessionGuard)>>,
    tickets: AtomicU64,
    /// Its number in the order in which sessions were created.
    pub(super) number: u64,
    /// Its charge as an open session of its principal.
    place: Mutex<Option<Charge>>,
}

/// The state of a session, held by its writer.
pub(super) struct State {
    /// The file, created with the first byte.
    pub(super) staged: Option<Staged>,
    /// Whether the file was durable as a whole when it was closed.
    pub(super) synced: bool,
    /// The algorithm with which the file is hashed.
    pub(super) algorithm: Algorithm,
    /// The hash of the file so far, created with the first byte.
    pub(super) hasher: Option<Hasher>,
    /// Bytes in the file.
    pub(super) offset: u64,
    /// Bytes that are durable, by the row.
    pub(super) checkpoint: u64,
    /// Whether it has a row.
    pub(super) row: bool,
    /// Whether it was finished or cancelled: a writer that waited for the state must not write.
    pub(super) closed: bool,
    /// The charge for the bytes of the file and those that are announced.
    pub(super) charge: Option<Charge>,
}

/// The part of the state that moves to a blocking thread.
pub(super) struct Work {
    pub(super) staged: Option<Staged>,
    pub(super) algorithm: Algorithm,
    pub(super) hasher: Option<Hasher>,
    pub(super) offset: u64,
    row: bool,
    synced: bool,
}

impl State {
    /// The state of a session without a byte.
    pub(super) const fn empty(algorithm: Algorithm) -> Self {
        Self {
            staged: None,
            synced: false,
            algorithm,
            hasher: None,
            offset: 0,
            checkpoint: 0,
            row: false,
            closed: false,
            charge: None,
        }
    }

    /// Takes the part that moves to a blocking thread. If that thread panics, the state stays without a file,
    /// and its next use fails.
    pub(super) const fn lend(&mut self) -> Work {
        Work {
            staged: self.staged.take(),
            algorithm: self.algorithm,
            hasher: self.hasher.take(),
            offset: self.offset,
            row: self.row,
            synced: self.synced,
        }
    }

    /// Closes the file between two requests.
    pub(super) fn close_file(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.synced = staged.is_synced();
        }
    }

    pub(super) fn take_back(&mut self, work: Work) {
        self.staged = work.staged;
        self.hasher = work.hasher;
        self.offset = work.offset;
    }

    /// Charges the file's bytes up to `end` to the session's principal.
    pub(super) fn count_bytes(
        &mut self,
        ledger: &Arc<Ledger>,
        holder: &Holder,
        end: u64,
    ) -> Result<(), LimitReached> {
        let more = end.saturating_sub(self.charge.as_ref().map_or(0, Charge::amount));
        match &mut self.charge {
            _ if more == 0 => Ok(()),
            Some(charge) => charge.grow(holder, more),
            None => {
                self.charge = Some(ledger.charge(holder, Resource::StagedBytes, more)?);
                Ok(())
            }
        }
    }

    /// Releases the charge for bytes that were announced and not received.
    pub(super) fn settle_bytes(&mut self) {
        let offset = self.offset;
        if let Some(charge) = &mut self.charge {
            charge.shrink(charge.amount().saturating_sub(offset));
        }
    }
}

impl Work {
    /// Writes and hashes a batch. After an error the hash and the offset are unchanged.
    pub(super) fn append(&mut self, staging: &Staging, id: UploadId, chunks: &[Bytes]) -> io::Result<()> {
        self.open(staging, id)?.append(chunks)?;
        let hasher = self.hasher.get_or_insert_with(|| Hasher::new(self.algorithm));
        for chunk in chunks {
            hasher.update(chunk);
        }
        self.offset += total(chunks);
        Ok(())
    }

    /// Opens the staged file: creates it with the first byte; after a restart opens the old one and truncates
    /// it to the known offset.
    pub(super) fn open(&mut self, staging: &Staging, id: UploadId) -> io::Result<&mut Staged> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None if self.row => staging.resume(id, self.offset, self.synced)?,
            None if self.offset > 0 => return Err(io::Error::other("the staged file was lost")),
            None => staging.create(id)?,
        };
        Ok(self.staged.insert(staged))
    }
}

/// The exclusive access to the state of a session, held by its one writer.
pub(super) type SessionGuard = OwnedMutexGuard<State>;

/// The owner of a session, and the repository of its blob.
pub(super) struct Origin {
    pub(super) name: RepoName,
    pub(super) repository: RepoId,
    pub(super) owner: Owner,
    pub(super) holder: Holder,
}

impl Session {
    /// A new session; `place` is its charge as an open session.
    pub(super) fn new(id: UploadId, origin: Origin, place: Charge, running_s: u64, state: State) -> Self {
        let Origin { name, repository, owner, holder } = origin;
        Self {
            id,
            name,
            repository,
            owner,
            holder,
            received: AtomicU64::new(state.offset),
            begun_s: running_s,
            touched_s: AtomicU64::new(running_s),
            receiving: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
            evict: Notify::new(),
            state: Arc::new(AsyncMutex::new(state)),
            parked: Mutex::default(),
            tickets: AtomicU64::new(0),
            number: 0,
            place: Mutex::new(Some(place)),
        }
    }

    /// Becomes the writer. While another writer receives bytes this is refused; a silent one is evicted and
    /// keeps what it received; one that only syncs its file is waited for.
    pub(super) async fn take(&self, clock: StoreClock) -> Result<SessionGuard, RegistryError> {
        let started = Instant::now();
        let state = loop {
            if let Ok(state) = Arc::clone(&self.state).try_lock_owned() {
                break state;
            }
            let silent_s = clock.now().running_s.saturating_sub(self.touched_s.load(Ordering::Acquire));
            if self.receiving.load(Ordering::Acquire) {
                if silent_s < SILENCE_S {
                    return Err(self.in_use());
                }
                if let Some(state) = self.send_away() {
                    break state;
                }
            }
            let state = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.state).lock_owned()).await;
            match state {
                Ok(state) => break state,
                Err(_) if started.elapsed() >= PATIENCE => return Err(self.in_use()),
                Err(_) => {}
            }
        };
        if state.closed { Err(RegistryError::UploadUnknown) } else { Ok(state) }
    }

    /// Becomes the writer in order to end the session. The current writer is evicted even if it receives
    /// bytes.
    pub(super) async fn take_away(&self) -> Result<SessionGuard, RegistryError> {
        let state = loop {
            if let Some(state) = self.send_away() {
                break state;
            }
            let state = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.state).lock_owned()).await;
            if let Ok(state) = state {
                break state;
            }
        };
        if state.closed { Err(RegistryError::UploadUnknown) } else { Ok(state) }
    }

    /// Evicts the current writer. If it waits for its body, its state is returned at once.
    fn send_away(&self) -> Option<SessionGuard> {
        self.evict.notify_waiters();
        self.parking().take().map(|(_, state)| state)
    }

    fn in_use(&self) -> RegistryError {
        RegistryError::UploadInUse { offset: self.received.load(Ordering::Acquire) }
    }

    fn parking(&self) -> MutexGuard<'_, Option<(u64, SessionGuard)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks the state while the writer's body is collected, so that a silent writer can be evicted
    /// meanwhile; [`Session::unpark`] takes it back with the returned ticket. `receiving`: whether bytes are
    /// expected.
    pub(super) fn park(&self, state: SessionGuard, receiving: bool) -> u64 {
        self.receiving.store(receiving, Ordering::Release);
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        *self.parking() = Some((ticket, state));
        ticket
    }

    /// The state that was parked with this ticket, unless the writer was evicted.
    pub(super) fn unpark(&self, ticket: u64) -> Option<SessionGuard> {
        let mut parked = self.parking();
        let is_mine = parked.as_ref().is_some_and(|(held, _)| *held == ticket);
        if is_mine { parked.take().map(|(_, state)| state) } else { None }
    }

    /// Records that the current writer receives no more bytes.
    pub(super) fn received_all(&self) {
        self.receiving.store(false, Ordering::Release);
    }

    /// Records that the owner's permission was withdrawn. [`Session::take_away`] waits until the writer has
    /// noticed.
    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
        self.evict.notify_waiters();
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Whether nothing was received yet.
    pub(super) fn is_empty(&self) -> bool {
        self.received.load(Ordering::Acquire) == 0
    }

    /// Closes it if no request works on it and it has no byte.
    pub(super) fn close_if_idle(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        let idle = !state.closed && state.offset == 0 && !state.row;
        state.closed |= idle;
        idle
    }

    /// Its charge as an open session, which the caller now holds.
    pub(super) fn take_place(&self) -> Option<Charge> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records activity.
    pub(super) fn touch(&self, running_s: u64) {
        self.touched_s.store(running_s, Ordering::Release);
    }
}

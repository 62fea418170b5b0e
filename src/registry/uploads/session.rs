//! One upload session: its state, and the one writer that holds it.

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

/// After so many silent seconds a writer gives way to another request of the same session: its connection
/// broke without the server hearing of it.
const SILENCE_S: u64 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a request waits for a writer that receives nothing any more and only has to sync its file.
const PATIENCE: Duration = Duration::from_secs(30);

/// One upload.
pub(super) struct Session {
    pub(super) id: UploadId,
    pub(super) name: RepoName,
    pub(super) repository: RepoId,
    pub(super) owner: Owner,
    /// Whom the limits charge for it.
    pub(super) holder: Holder,
    /// Bytes appended so far, readable while a writer holds the state.
    pub(super) received: AtomicU64,
    /// Running second in which it came into memory.
    pub(super) begun_s: u64,
    /// Running second of the last sign of life.
    pub(super) touched_s: AtomicU64,
    /// A request is sending bytes, or has announced some.
    receiving: AtomicBool,
    /// The owner may not go on: a writer stops at its next batch.
    withdrawn: AtomicBool,
    /// Tells the present writer to stop.
    pub(super) evict: Notify,
    pub(super) state: Arc<AsyncMutex<State>>,
    /// The state of a writer whose body has not begun to be written.
    parked: Mutex<Option<(u64, Writer)>>,
    tickets: AtomicU64,
    /// Its place in the order of all sessions.
    pub(super) number: u64,
    /// Its place among the sessions of its principal.
    place: Mutex<Option<Charge>>,
}

/// What the one writer of a session holds.
pub(super) struct State {
    /// The file, made with the first byte.
    pub(super) staged: Option<Staged>,
    /// What the file is hashed with.
    pub(super) algorithm: Algorithm,
    /// The hash over the file so far, made with the first byte.
    pub(super) hasher: Option<Hasher>,
    /// Bytes in the file.
    pub(super) offset: u64,
    /// Bytes that the row says are durable.
    pub(super) checkpoint: u64,
    /// There is a row.
    pub(super) row: bool,
    /// Finished or cancelled: a writer that waited for the state finds nothing to write to.
    pub(super) closed: bool,
    /// The bytes of the file, and those that are announced, as the ledger counts them.
    pub(super) charge: Option<Charge>,
}

/// The part of the state that goes to a blocking thread.
pub(super) struct Work {
    pub(super) staged: Option<Staged>,
    pub(super) algorithm: Algorithm,
    pub(super) hasher: Option<Hasher>,
    pub(super) offset: u64,
    row: bool,
}

impl State {
    /// A session without a byte.
    pub(super) const fn empty(algorithm: Algorithm) -> Self {
        Self {
            staged: None,
            algorithm,
            hasher: None,
            offset: 0,
            checkpoint: 0,
            row: false,
            closed: false,
            charge: None,
        }
    }

    /// Gives the working part away. A task that loses it (a panic on the blocking thread) leaves a state
    /// without a file, whose next use fails.
    pub(super) const fn lend(&mut self) -> Work {
        Work {
            staged: self.staged.take(),
            algorithm: self.algorithm,
            hasher: self.hasher.take(),
            offset: self.offset,
            row: self.row,
        }
    }

    pub(super) fn take_back(&mut self, work: Work) {
        self.staged = work.staged;
        self.hasher = work.hasher;
        self.offset = work.offset;
    }

    /// Counts the file's bytes up to `end` for the session's principal.
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

    /// Gives back what was announced and did not come.
    pub(super) fn settle_bytes(&mut self) {
        let offset = self.offset;
        if let Some(charge) = &mut self.charge {
            charge.shrink(charge.amount().saturating_sub(offset));
        }
    }
}

impl Work {
    /// Writes and hashes a batch. After an error the hash and the offset are as before.
    pub(super) fn append(&mut self, staging: &Staging, id: UploadId, chunks: &[Bytes]) -> io::Result<()> {
        self.open(staging, id)?.append(chunks)?;
        let hasher = self.hasher.get_or_insert_with(|| Hasher::new(self.algorithm));
        for chunk in chunks {
            hasher.update(chunk);
        }
        self.offset += total(chunks);
        Ok(())
    }

    /// The staged file: a new one with the first byte, the old one after a restart, cut off where it is known
    /// to be whole.
    pub(super) fn open(&mut self, staging: &Staging, id: UploadId) -> io::Result<&mut Staged> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None if self.row => staging.resume(id, self.offset)?,
            None if self.offset > 0 => return Err(io::Error::other("the staged file was lost")),
            None => staging.create(id)?,
        };
        Ok(self.staged.insert(staged))
    }
}

/// The state of a session, held by its one writer.
pub(super) type Writer = OwnedMutexGuard<State>;

/// Whose a session is, and where its blob goes.
pub(super) struct Origin {
    pub(super) name: RepoName,
    pub(super) repository: RepoId,
    pub(super) owner: Owner,
    pub(super) holder: Holder,
}

impl Session {
    /// A session that counts as `place` among those of its principal.
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

    /// Becomes the writer. While another one receives bytes this is refused; one that has been silent is sent
    /// away, and keeps what it got; one that only syncs its file is waited for.
    pub(super) async fn take(&self, clock: StoreClock) -> Result<Writer, RegistryError> {
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

    /// Becomes the writer to end the session. The present one is sent away whether or not bytes come.
    pub(super) async fn take_away(&self) -> Result<Writer, RegistryError> {
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

    /// Tells the present writer to stop. The state of one whose body has not begun is there at once.
    fn send_away(&self) -> Option<Writer> {
        self.evict.notify_waiters();
        self.parking().take().map(|(_, state)| state)
    }

    fn in_use(&self) -> RegistryError {
        RegistryError::UploadInUse { offset: self.received.load(Ordering::Acquire) }
    }

    fn parking(&self) -> MutexGuard<'_, Option<(u64, Writer)>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the state for the writer while its body is collected: until it is taken back with the ticket, a
    /// writer that is silent can be sent away. `receiving`: bytes are to come.
    pub(super) fn park(&self, state: Writer, receiving: bool) -> u64 {
        self.receiving.store(receiving, Ordering::Release);
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        *self.parking() = Some((ticket, state));
        ticket
    }

    /// The state that was parked with this ticket, unless the writer was sent away.
    pub(super) fn unpark(&self, ticket: u64) -> Option<Writer> {
        let mut parked = self.parking();
        let is_mine = parked.as_ref().is_some_and(|(held, _)| *held == ticket);
        if is_mine { parked.take().map(|(_, state)| state) } else { None }
    }

    /// Notes that the present writer gets no more bytes.
    pub(super) fn received_all(&self) {
        self.receiving.store(false, Ordering::Release);
    }

    /// From now on the owner may not go on. [`Session::take_away`] waits until the writer has heard of it.
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

    /// Closes it, unless a request works on it or has brought a byte.
    pub(super) fn close_if_idle(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        let idle = !state.closed && state.offset == 0 && !state.row;
        state.closed |= idle;
        idle
    }

    /// Its place among the open sessions, which ends with what is returned.
    pub(super) fn take_place(&self) -> Option<Charge> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes a sign of life.
    pub(super) fn touch(&self, running_s: u64) {
        self.touched_s.store(running_s, Ordering::Release);
    }
}

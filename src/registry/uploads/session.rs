//! The sessions in memory.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::Notify;
use tokio::sync::OwnedMutexGuard;

use super::body::total;
use crate::model::digest::{Algorithm, Hasher};
use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::model::names::UploadId;
use crate::registry::error::RegistryError;
use crate::store::blob::{BlobStore, Staged};
use crate::store::meta::StoreClock;
use crate::store::meta::rows::Owner;

/// After so many silent seconds a writer gives way to another request of the same session: its connection broke
/// without the server hearing of it.
const SILENCE_S: u64 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// One upload.
pub(super) struct Session {
    pub(super) id: UploadId,
    pub(super) name: RepoName,
    pub(super) repository: RepoId,
    pub(super) owner: Owner,
    /// Bytes appended so far, readable while a writer holds the state.
    pub(super) received: AtomicU64,
    /// Running second of the last sign of life.
    pub(super) touched_s: AtomicU64,
    /// Tells the present writer to stop.
    pub(super) evict: Notify,
    pub(super) state: Arc<AsyncMutex<State>>,
}

/// What the one writer of a session holds.
pub(super) struct State {
    /// The file, made with the first byte.
    pub(super) staged: Option<Box<dyn Staged>>,
    /// The hash over the file so far.
    pub(super) hasher: Hasher,
    /// Bytes in the file.
    pub(super) offset: u64,
    /// Bytes that the row says are durable.
    pub(super) checkpoint: u64,
    /// There is a row.
    pub(super) row: bool,
    /// Finished or cancelled: a writer that waited for the state finds nothing to write to.
    pub(super) closed: bool,
}

/// The part of the state that goes to a blocking thread.
pub(super) struct Work {
    pub(super) staged: Option<Box<dyn Staged>>,
    pub(super) hasher: Hasher,
    pub(super) offset: u64,
    row: bool,
}

impl State {
    /// Gives the working part away. Whoever loses it (a panic on the blocking thread) leaves a state without a file,
    /// whose next use fails.
    pub(super) fn lend(&mut self) -> Work {
        Work {
            staged: self.staged.take(),
            hasher: std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256)),
            offset: self.offset,
            row: self.row,
        }
    }

    pub(super) fn take_back(&mut self, work: Work) {
        self.staged = work.staged;
        self.hasher = work.hasher;
        self.offset = work.offset;
    }
}

impl Work {
    /// Writes and hashes a batch. After an error the hash and the offset are as before.
    pub(super) fn append(&mut self, blobs: &dyn BlobStore, id: UploadId, chunks: &[Bytes]) -> io::Result<()> {
        self.open(blobs, id)?.append(chunks)?;
        for chunk in chunks {
            self.hasher.update(chunk);
        }
        self.offset += total(chunks);
        Ok(())
    }

    /// The staged file: a new one with the first byte, the old one after a restart, cut off where it is known to be
    /// whole.
    pub(super) fn open(&mut self, blobs: &dyn BlobStore, id: UploadId) -> io::Result<&mut Box<dyn Staged>> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None if self.row => blobs.resume(id, self.offset)?,
            None if self.offset > 0 => return Err(io::Error::other("the staged file was lost")),
            None => blobs.create(id)?,
        };
        Ok(self.staged.insert(staged))
    }
}

/// The state of a session, held by its one writer.
pub(super) type Writer = OwnedMutexGuard<State>;

impl Session {
    pub(super) fn new(
        id: UploadId,
        name: RepoName,
        repository: RepoId,
        owner: Owner,
        algorithm: Algorithm,
        running_s: u64,
    ) -> Self {
        let state = State {
            staged: None,
            hasher: Hasher::new(algorithm),
            offset: 0,
            checkpoint: 0,
            row: false,
            closed: false,
        };
        Self::with_state(id, name, repository, owner, running_s, state)
    }

    pub(super) fn with_state(
        id: UploadId,
        name: RepoName,
        repository: RepoId,
        owner: Owner,
        running_s: u64,
        state: State,
    ) -> Self {
        Self {
            id,
            name,
            repository,
            owner,
            received: AtomicU64::new(state.offset),
            touched_s: AtomicU64::new(running_s),
            evict: Notify::new(),
            state: Arc::new(AsyncMutex::new(state)),
        }
    }

    /// Becomes the writer. Another one is waited for; one that has been silent is sent away, and keeps what it got.
    pub(super) async fn take_over(&self, clock: StoreClock) -> Result<Writer, RegistryError> {
        let state = loop {
            let state = tokio::time::timeout(LOOK_AGAIN, Arc::clone(&self.state).lock_owned()).await;
            if let Ok(state) = state {
                break state;
            }
            let silent_s = clock.now().running_s.saturating_sub(self.touched_s.load(Ordering::Acquire));
            if silent_s >= SILENCE_S {
                self.evict.notify_waiters();
            }
        };
        if state.closed { Err(RegistryError::UploadUnknown) } else { Ok(state) }
    }

    /// Notes a sign of life.
    pub(super) fn touch(&self, running_s: u64) {
        self.touched_s.store(running_s, Ordering::Release);
    }
}

/// All sessions in memory.
#[derive(Default)]
pub(in crate::registry) struct Sessions {
    by_id: Mutex<HashMap<UploadId, Arc<Session>>>,
    /// Held while a session is brought back from its row.
    pub(super) loading: AsyncMutex<()>,
}

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: UploadId) -> Option<Arc<Session>> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn insert(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.lock().insert(session.id, Arc::clone(&session));
        session
    }

    pub(super) fn remove(&self, id: UploadId) {
        self.lock().remove(&id);
    }

    pub(super) fn any_in(&self, repository: RepoId) -> bool {
        self.lock().values().any(|session| session.repository == repository)
    }

    pub(super) fn all(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.lock().values().filter(|session| wanted(session)).cloned().collect()
    }

    /// Waits until no session has a writer any more: those that were cut off are at their checkpoints.
    pub(in crate::registry) async fn settle(&self) {
        for session in self.all(|_| true) {
            drop(Arc::clone(&session.state).lock_owned().await);
        }
    }
}

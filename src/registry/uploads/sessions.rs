//! The sessions in memory: found by id, counted by repository and by principal, the oldest without a byte first to go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Mutex as AsyncMutex;

use super::session::Session;
use crate::limits::HolderId;
use crate::model::names::RepoId;
use crate::model::names::UploadId;
use crate::store::meta::rows::Owner;

/// From so many entries on, those of loads that ended are removed before another one is made.
const LOADS: usize = 64;

/// All sessions in memory.
#[derive(Default)]
pub(in crate::registry) struct Sessions {
    open: Mutex<Open>,
    loads: Mutex<HashMap<UploadId, Weak<AsyncMutex<()>>>>,
}

#[derive(Default)]
struct Open {
    by_id: HashMap<UploadId, Arc<Session>>,
    by_repository: HashMap<RepoId, usize>,
    /// Sessions without a byte of each principal, the oldest first.
    empty: HashMap<HolderId, BTreeMap<u64, Arc<Session>>>,
    last_number: u64,
}

impl Open {
    fn forget_empty(&mut self, session: &Session) {
        let holder = session.holder.id();
        if let Some(empty) = self.empty.get_mut(&holder) {
            empty.remove(&session.number);
            if empty.is_empty() {
                self.empty.remove(&holder);
            }
        }
    }

    fn remove(&mut self, id: UploadId) {
        let Some(session) = self.by_id.remove(&id) else { return };
        self.forget_empty(&session);
        if let Some(count) = self.by_repository.get_mut(&session.repository) {
            *count -= 1;
            if *count == 0 {
                self.by_repository.remove(&session.repository);
            }
        }
        session.give_place_back();
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: UploadId) -> Option<Arc<Session>> {
        self.lock().by_id.get(&id).cloned()
    }

    pub(super) fn insert(&self, mut session: Session) -> Arc<Session> {
        let mut open = self.lock();
        open.last_number += 1;
        session.number = open.last_number;
        let session = Arc::new(session);
        *open.by_repository.entry(session.repository).or_default() += 1;
        if session.is_empty() {
            let empty = open.empty.entry(session.holder.id()).or_default();
            empty.insert(session.number, Arc::clone(&session));
        }
        open.by_id.insert(session.id, Arc::clone(&session));
        session
    }

    /// Removes a session, whose place among the open ones is free from then on.
    pub(super) fn remove(&self, id: UploadId) {
        self.lock().remove(id);
    }

    /// Notes that a session has got its first byte: it does not make room for another one any more.
    pub(super) fn begun(&self, session: &Session) {
        self.lock().forget_empty(session);
    }

    pub(in crate::registry) fn any_in(&self, repository: RepoId) -> bool {
        self.lock().by_repository.contains_key(&repository)
    }

    pub(super) fn all(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.lock().by_id.values().filter(|session| wanted(session)).cloned().collect()
    }

    /// The distinct owners of the sessions.
    pub(super) fn owners(&self) -> HashSet<Owner> {
        self.lock().by_id.values().map(|session| session.owner.clone()).collect()
    }

    /// Closes and removes the oldest session without a byte that no request works on: one of `holder`, or with `None` one
    /// of the principal that has the most. Its repository may hold nothing now.
    pub(super) fn close_oldest_empty(&self, holder: Option<HolderId>) -> Option<Arc<Session>> {
        let mut open = self.lock();
        let holder = match holder {
            Some(holder) => holder,
            None => *open.empty.iter().max_by_key(|(_, empty)| empty.len())?.0,
        };
        let idle = open.empty.get(&holder)?.values().find(|session| session.close_if_idle()).cloned()?;
        open.remove(idle.id);
        Some(idle)
    }

    /// Waits until no session has a writer any more: those that were cut off are at their checkpoints.
    pub(in crate::registry) async fn settle(&self) {
        for session in self.all(|_| true) {
            drop(Arc::clone(&session.state).lock_owned().await);
        }
    }

    /// The lock that is held while this session is brought back from its row. Each session has its own: one may have
    /// to be hashed from its start, which takes minutes.
    pub(super) fn load_lock(&self, id: UploadId) -> Arc<AsyncMutex<()>> {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = loads.get(&id).and_then(Weak::upgrade) {
            return lock;
        }
        if loads.len() >= LOADS {
            loads.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        loads.insert(id, Arc::downgrade(&lock));
        lock
    }
}

//! The sessions in memory: found by id, counted by repository and by principal. For sessions that are only in
//! the database, it holds their charges.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Mutex as AsyncMutex;

use super::session::Session;
use crate::limits::{Charge, HolderId};
use crate::model::names::{RepoId, UploadId};
use crate::store::meta::schema::Owner;

/// Above this many locks, those of completed loads are removed.
const LOADS: usize = 64;

/// All sessions in memory, and the charges of all others.
#[derive(Default)]
pub(in crate::registry) struct Sessions {
    open: Mutex<Open>,
    loads: Mutex<HashMap<UploadId, Weak<AsyncMutex<()>>>>,
}

/// The charges for a session that is only in the database.
pub(super) struct Resting {
    /// The charge as an open session of its principal.
    pub(super) place: Charge,
    /// The charge for the durable bytes of its file.
    pub(super) bytes: Charge,
}

#[derive(Default)]
struct Open {
    by_id: HashMap<UploadId, Arc<Session>>,
    by_repository: HashMap<RepoId, usize>,
    by_holder: HashMap<HolderId, usize>,
    resting: HashMap<UploadId, Resting>,
    /// For each principal its sessions without a byte, the oldest first.
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
        count_down(&mut self.by_repository, session.repository);
        count_down(&mut self.by_holder, session.holder.id());
        drop(session.take_place());
    }
}

fn count_down<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
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
        *open.by_holder.entry(session.holder.id()).or_default() += 1;
        if session.is_empty() {
            let empty = open.empty.entry(session.holder.id()).or_default();
            empty.insert(session.number, Arc::clone(&session));
        }
        open.by_id.insert(session.id, Arc::clone(&session));
        session
    }

    /// Removes a session and releases its slot among the open ones.
    pub(super) fn remove(&self, id: UploadId) {
        self.lock().remove(id);
    }

    /// Holds the charges for a session that is only in the database.
    pub(super) fn rest(&self, id: UploadId, resting: Resting) {
        self.lock().resting.insert(id, resting);
    }

    /// Whether this principal is charged for a session that is only in the database.
    pub(super) fn is_resting(&self, id: UploadId, holder: HolderId) -> bool {
        self.lock().resting.get(&id).is_some_and(|resting| resting.place.holder() == holder)
    }

    /// Takes the charges for a session that was only in the database, because it is loaded or ends.
    pub(super) fn wake(&self, id: UploadId) -> Option<Resting> {
        self.lock().resting.remove(&id)
    }

    /// Records that a session has its first byte: it is not closed any more to make room for another one.
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

    /// Closes and removes a session without a byte that no request works on, to make room for one of
    /// `caller`: the oldest one of the principal that holds the most sessions. With `own`, only the caller's
    /// sessions are considered; those of others only if they began before `fresh_s`, since the first byte of
    /// a younger one may be on its way. Its repository may be empty now.
    pub(super) fn close_oldest_empty(
        &self,
        caller: HolderId,
        own: bool,
        fresh_s: u64,
    ) -> Option<Arc<Session>> {
        let mut open = self.lock();
        let may_end = |session: &Session| session.holder.id() == caller || session.begun_s < fresh_s;
        let holder = if own {
            caller
        } else {
            let candidates = open
                .empty
                .iter()
                .filter(|(_, empty)| empty.values().next().is_some_and(|first| may_end(first)));
            *candidates.max_by_key(|(holder, _)| open.by_holder.get(holder))?.0
        };
        let mut oldest = open.empty.get(&holder)?.values().take_while(|session| may_end(session));
        let idle = oldest.find(|session| session.close_if_idle()).cloned()?;
        open.remove(idle.id);
        Some(idle)
    }

    /// Waits until no session has a writer: those that were cut off have made their checkpoints.
    pub(in crate::registry) async fn settle(&self) {
        for session in self.all(|_| true) {
            drop(Arc::clone(&session.state).lock_owned().await);
        }
    }

    /// The lock that is held while this session is loaded from its row. Each session has its own, because
    /// hashing a long file from its start takes minutes.
    pub(in crate::registry) fn load_lock(&self, id: UploadId) -> Arc<AsyncMutex<()>> {
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::session::{Origin, State};
    use super::*;
    use crate::config::Config;
    use crate::limits::{Holder, Ledger, Limits, Resource};
    use crate::model::digest::Algorithm;

    struct Crowd {
        sessions: Sessions,
        ledger: Arc<Ledger>,
    }

    impl Crowd {
        fn new() -> Self {
            Self { sessions: Sessions::default(), ledger: Ledger::new(Limits::of(&Config::default())) }
        }

        /// Creates a session with this many bytes.
        fn begin(&self, holder: &Holder, begun_s: u64, bytes: u64) -> UploadId {
            let origin = Origin {
                name: "a".parse().unwrap(),
                repository: RepoId(1),
                owner: Owner::Anonymous,
                holder: holder.clone(),
            };
            let place = self.ledger.charge(holder, Resource::UploadSessions, 1).unwrap();
            let state = State { offset: bytes, ..State::empty(Algorithm::Sha256) };
            self.sessions.insert(Session::new(UploadId::random(), origin, place, begun_s, state)).id
        }

        fn close(&self, caller: &Holder, own: bool, fresh_s: u64) -> Option<UploadId> {
            self.sessions.close_oldest_empty(caller.id(), own, fresh_s).map(|closed| closed.id)
        }
    }

    fn holder(number: u8) -> Holder {
        Holder::address(Some(IpAddr::from([192, 0, 2, number])))
    }

    #[test]
    fn the_principal_with_the_most_sessions_makes_room_with_its_oldest_empty_one() {
        let crowd = Crowd::new();
        let (many, few, caller) = (holder(1), holder(2), holder(3));
        let firsts = [crowd.begin(&few, 1, 0), crowd.begin(&few, 1, 0), crowd.begin(&few, 1, 0)];
        for _ in 0..3 {
            crowd.begin(&many, 2, 1);
        }
        let (older, newer) = (crowd.begin(&many, 2, 0), crowd.begin(&many, 3, 0));
        assert_eq!(crowd.close(&caller, false, 100), Some(older), "sessions with bytes count as well");
        assert_eq!(crowd.close(&caller, false, 100), Some(newer));
        assert_eq!(crowd.close(&caller, false, 100), Some(firsts[0]), "those with a byte stay");
        assert_eq!(crowd.close(&few, true, 0), Some(firsts[1]));
        assert_eq!(crowd.ledger.held(&few, Resource::UploadSessions), 1);
        assert_eq!(crowd.close(&many, true, 100), None);
    }

    #[test]
    fn a_fresh_session_of_another_principal_is_spared() {
        let crowd = Crowd::new();
        let (honest, caller) = (holder(1), holder(2));
        for _ in 0..3 {
            crowd.begin(&honest, 50, 0);
        }
        for _ in 0..10 {
            crowd.begin(&caller, 1, 1);
        }
        assert_eq!(crowd.close(&caller, false, 50), None);
        let own = crowd.begin(&caller, 60, 0);
        assert_eq!(crowd.close(&caller, false, 50), Some(own), "one of its own, however young");
        assert!(crowd.close(&caller, false, 51).is_some(), "it had its time");
    }
}

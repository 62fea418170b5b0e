//! A cache of credentials that were verified recently, so that not every request hashes a password or checks
//! a signature.
//!
//! The cache only remembers that the secret is correct, not the rights of its owner: after any change of
//! rights the rows are read again. Anonymous tokens are never cached, since a client can get any number of
//! them. Each kind of credential has a bounded memory of its own, and the user with the most entries loses
//! the oldest one first, so that one user cannot evict another user's password.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use crate::access::Principal;

/// The most bytes of all entries of one kind, including their bookkeeping.
const KIND_BYTES: usize = 4 << 20;
/// The size of an entry besides the text in its principal: keys, numbers and the three indexes.
const ENTRY_BYTES: usize = 400;
/// The most entries of one kind.
pub const MOST_REMEMBERED: usize = KIND_BYTES / ENTRY_BYTES;
/// The longest registry token that is cached, in bytes. A longer one is verified with each request: it costs
/// its sender as much as the server.
pub const LONGEST_REMEMBERED: usize = 2 << 10;

/// The kinds of credential, each with a memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialKind {
    /// A name and its password.
    Password,
    /// A personal token.
    Personal,
    /// A registry token.
    Registry,
}

/// The keyed hash of a credential: no secret stays in memory.
pub(super) type Key = [u8; 32];

/// A verified credential.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) principal: Principal,
    /// When the secret must be verified again, by [`Meta::latest_ms`](crate::store::meta::Meta::latest_ms).
    pub(super) until_ms: u64,
    /// The `auth_epoch` at which its owner's rows were read last.
    pub(super) epoch: u64,
}

/// The caches of all kinds of credential.
pub(super) struct CredentialCache {
    key: [u8; 32],
    passwords: RwLock<Memory>,
    personal: RwLock<Memory>,
    registry: RwLock<Memory>,
}

impl CredentialCache {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system's random source answers");
        let memory = || RwLock::new(Memory::new(KIND_BYTES));
        Self { key, passwords: memory(), personal: memory(), registry: memory() }
    }

    /// The key of a credential with these parts.
    pub(super) fn key(&self, parts: &[&str]) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn get(&self, kind: CredentialKind, key: &Key, now_ms: u64) -> Option<Verified> {
        let memory = self.memory(kind).read().unwrap_or_else(PoisonError::into_inner);
        memory.get(key).filter(|known| now_ms < known.until_ms).cloned()
    }

    /// Caches a credential of a user, and replaces an older entry of it.
    pub(super) fn put(&self, kind: CredentialKind, key: Key, known: Verified) {
        self.memory(kind).write().unwrap_or_else(PoisonError::into_inner).put(key, known);
    }

    pub(super) fn forget(&self, kind: CredentialKind, key: &Key) {
        self.memory(kind).write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    const fn memory(&self, kind: CredentialKind) -> &RwLock<Memory> {
        match kind {
            CredentialKind::Password => &self.passwords,
            CredentialKind::Personal => &self.personal,
            CredentialKind::Registry => &self.registry,
        }
    }
}

struct Entry {
    known: Verified,
    user: u64,
    age: u64,
    bytes: usize,
}

/// The entries of one kind, by key, by age, and by user.
struct Memory {
    capacity: usize,
    bytes: usize,
    next_age: u64,
    entries: HashMap<Key, Entry>,
    ages: BTreeMap<u64, Key>,
    users: HashMap<u64, BTreeSet<u64>>,
    /// (entries, user): the last element is the user with the most.
    ranks: BTreeSet<(usize, u64)>,
}

impl Memory {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: 0,
            next_age: 0,
            entries: HashMap::new(),
            ages: BTreeMap::new(),
            users: HashMap::new(),
            ranks: BTreeSet::new(),
        }
    }

    fn get(&self, key: &Key) -> Option<&Verified> {
        self.entries.get(key).map(|entry| &entry.known)
    }

    fn put(&mut self, key: Key, known: Verified) {
        let Principal::User { id, .. } = &known.principal else { return };
        let user = id.0;
        self.remove(&key);
        let bytes = ENTRY_BYTES + known.principal.text_bytes();
        while self.bytes + bytes > self.capacity {
            let Some(victim) = self.victim() else { return };
            self.remove(&victim);
        }
        self.next_age += 1;
        let age = self.next_age;
        self.bytes += bytes;
        self.ages.insert(age, key);
        self.change(user, |ages| ages.insert(age));
        self.entries.insert(key, Entry { known, user, age, bytes });
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.bytes -= entry.bytes;
        self.ages.remove(&entry.age);
        self.change(entry.user, |ages| ages.remove(&entry.age));
    }

    /// The entry to evict: the oldest of the user with the most entries; where no user has two, the oldest of
    /// all.
    fn victim(&self) -> Option<Key> {
        let oldest = match self.ranks.last() {
            Some((entries, user)) if *entries > 1 => self.users.get(user)?.first()?,
            _ => self.ages.keys().next()?,
        };
        self.ages.get(oldest).copied()
    }

    /// Changes the entries of a user, and updates the user's rank.
    fn change(&mut self, user: u64, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let ages = self.users.entry(user).or_default();
        self.ranks.remove(&(ages.len(), user));
        change(ages);
        if ages.is_empty() {
            self.users.remove(&user);
        } else {
            self.ranks.insert((ages.len(), user));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{AccessEntry, Claims, Credential, Scopes};
    use crate::model::names::UserId;

    fn known(user: u64) -> Verified {
        let principal = Principal::User {
            id: UserId(user),
            name: Arc::from("hanna"),
            credential: Credential::Password(1),
            scopes: Scopes::ALL,
            claims: None,
        };
        Verified { principal, until_ms: 100, epoch: 1 }
    }

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn what_was_verified_is_known_until_its_time() {
        let cache = CredentialCache::new();
        let key = cache.key(&["hanna", "x"]);
        cache.put(CredentialKind::Password, key, known(7));
        assert!(cache.get(CredentialKind::Password, &key, 99).is_some());
        assert!(cache.get(CredentialKind::Password, &key, 100).is_none());
        assert!(cache.get(CredentialKind::Personal, &key, 99).is_none());
        cache.forget(CredentialKind::Password, &key);
        assert!(cache.get(CredentialKind::Password, &key, 99).is_none());
        assert_ne!(cache.key(&["a", "bc"]), cache.key(&["ab", "c"]));
    }

    #[test]
    fn no_anonymous_caller_is_kept() {
        let cache = CredentialCache::new();
        for principal in [Principal::Anybody, Principal::Anonymous { claims: Arc::default() }] {
            cache.put(CredentialKind::Registry, key(1), Verified { principal, ..known(1) });
            assert!(cache.get(CredentialKind::Registry, &key(1), 0).is_none());
        }
    }

    #[test]
    fn a_full_memory_forgets_the_oldest_of_the_user_who_takes_the_most() {
        let mut memory = Memory::new(KIND_BYTES);
        memory.put(key(0), known(1));
        let fits = MOST_REMEMBERED;
        for number in 1..=2 * fits {
            memory.put(key(number), known(2));
            assert!(memory.bytes <= KIND_BYTES);
        }
        assert!(memory.get(&key(0)).is_some(), "the other user's only entry is older, and stays");
        assert!(memory.get(&key(1)).is_none() && memory.get(&key(2 * fits)).is_some());
        assert_eq!(memory.entries.len(), memory.ages.len());
        assert_eq!(memory.users.values().map(BTreeSet::len).sum::<usize>(), memory.entries.len());
        assert_eq!(memory.ranks.len(), 2);
    }

    #[test]
    fn where_everybody_has_one_entry_the_oldest_goes() {
        let mut memory = Memory::new(3 * (ENTRY_BYTES + 5));
        for user in 1..=4 {
            memory.put(key(user), known(user as u64));
        }
        assert!(memory.get(&key(1)).is_none());
        assert!((2..=4).all(|user| memory.get(&key(user)).is_some()));
        memory.put(key(4), known(4));
        assert_eq!(memory.entries.len(), 3, "an entry that is put again is not counted twice");
    }

    #[test]
    fn what_a_token_covers_counts() {
        let name = "a".repeat(200);
        let actions = vec!["pull".to_owned()];
        let entry = AccessEntry { kind: "repository".to_owned(), name, actions, ..AccessEntry::default() };
        let claims = Arc::new(Claims(vec![entry; 10]));
        assert!(Principal::Anonymous { claims }.text_bytes() > 2_000);
    }
}

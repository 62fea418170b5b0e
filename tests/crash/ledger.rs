//! The requests of the clients and the responses that they got: they determine which states of the server are
//! possible.
//!
//! The ledger is in the memory of the test, so no cut affects it.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::content::bytes;

/// Something in a repository that requests change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Blob(String),
    Manifest(String),
    Tag(String),
    /// A token by its name, recorded under the repository of its client.
    Token(String),
}

/// The value of a key: a digest, for a token its name, or nothing.
pub(crate) type Value = Option<String>;

/// A request that changes a key.
#[derive(Clone, Debug)]
struct Write {
    value: Value,
    sent: u64,
    /// When its response was received; `u64::MAX` if the server was cut off before.
    ended: u64,
    acknowledged: bool,
}

/// The history of a key since its state was last verified.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    writes: Vec<Write>,
    /// When the last request that changes it was sent.
    pub(crate) touched: u64,
}

impl Register {
    fn seen(value: Value, now: u64) -> Self {
        Self { writes: vec![Write { value, sent: now, ended: now, acknowledged: true }], touched: now }
    }

    /// Every possible value: the results of writes that no later acknowledged write has replaced.
    pub(crate) fn possible(&self) -> BTreeSet<Value> {
        let replaced =
            |write: &Write| self.writes.iter().any(|later| later.acknowledged && later.sent > write.ended);
        self.writes.iter().filter(|write| !replaced(write)).map(|write| write.value.clone()).collect()
    }

    /// The value, if only one is possible.
    pub(crate) fn certain(&self) -> Option<Value> {
        let possible = self.possible();
        if possible.len() == 1 { possible.into_iter().next() } else { None }
    }
}

/// A request in progress, by the keys that it changes.
#[must_use]
pub(crate) struct Ticket {
    repository: String,
    keys: Vec<Key>,
    sent: u64,
}

/// The parameters from which a blob is generated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    pub(crate) size: usize,
}

impl Recipe {
    pub(crate) fn content(self) -> Vec<u8> {
        bytes(self.seed, self.size)
    }
}

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) content: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) subject: Option<String>,
    /// Whether nothing else refers to it, so that it may be deleted.
    pub(crate) free: bool,
}

/// What is known of a token besides its name.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: u64,
    /// Only the response that acknowledged the token contains it.
    pub(crate) secret: Option<String>,
}

/// An upload that is not closed.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) repository: String,
    pub(crate) recipe: Recipe,
    /// Bytes that the server has acknowledged.
    pub(crate) acknowledged: usize,
    /// Bytes that it may have received.
    pub(crate) sent: usize,
    /// Whether the request that closes it was sent.
    pub(crate) closing: bool,
}

/// The records of all clients.
#[derive(Default)]
pub(crate) struct Ledger {
    clock: u64,
    pub(crate) registers: BTreeMap<(String, Key), Register>,
    pub(crate) blobs: BTreeMap<String, Recipe>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// Open uploads, by their location.
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Tokens, by their names.
    pub(crate) tokens: BTreeMap<String, Token>,
    /// Responses that acknowledged something.
    pub(crate) acknowledged: u64,
    /// Those of them that deleted something.
    pub(crate) deleted: u64,
    /// Blobs that were pulled with the right content.
    pub(crate) pulled: u64,
}

impl Ledger {
    /// A moment later than all others.
    pub(crate) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Records a request that is about to be sent.
    pub(crate) fn begin(&mut self, repository: &str, changes: Vec<(Key, Value)>) -> Ticket {
        let sent = self.now();
        let mut keys = Vec::new();
        for (key, value) in changes {
            let register = self
                .registers
                .entry((repository.to_owned(), key.clone()))
                .or_insert_with(|| Register::seen(None, 0));
            register.writes.push(Write { value, sent, ended: u64::MAX, acknowledged: false });
            register.touched = sent;
            keys.push(key);
        }
        Ticket { repository: repository.to_owned(), keys, sent }
    }

    fn writes(&mut self, ticket: &Ticket, mut change: impl FnMut(&mut Write)) {
        for key in &ticket.keys {
            let register = self.registers.get_mut(&(ticket.repository.clone(), key.clone()));
            let writes = register.map(|register| register.writes.iter_mut()).into_iter().flatten();
            writes.filter(|write| write.sent == ticket.sent).for_each(&mut change);
        }
    }

    /// Records that the request succeeded.
    pub(crate) fn acknowledge(&mut self, ticket: &Ticket) {
        let now = self.now();
        self.acknowledged += 1;
        let mut takes_away = false;
        self.writes(ticket, |write| {
            (write.ended, write.acknowledged) = (now, true);
            takes_away |= write.value.is_none();
        });
        self.deleted += u64::from(takes_away);
    }

    /// Records that the request failed with an error of the server: it was done or not.
    pub(crate) fn end(&mut self, ticket: &Ticket) {
        let now = self.now();
        self.writes(ticket, |write| write.ended = now);
    }

    /// Records that the request was refused, so it has changed nothing.
    pub(crate) fn refuse(&mut self, ticket: &Ticket) {
        for key in &ticket.keys {
            if let Some(register) = self.registers.get_mut(&(ticket.repository.clone(), key.clone())) {
                register.writes.retain(|write| write.sent != ticket.sent);
            }
        }
    }

    /// Records the verified value of a key; later requests build on it.
    pub(crate) fn settle(&mut self, repository: &str, key: &Key, value: Value) {
        let touched =
            self.registers.get(&(repository.to_owned(), key.clone())).map_or(0, |found| found.touched);
        let register = Register { touched, ..Register::seen(value, self.clock) };
        self.registers.insert((repository.to_owned(), key.clone()), register);
    }

    /// The keys of a repository and their histories.
    pub(crate) fn of(&self, repository: &str) -> impl Iterator<Item = (&Key, &Register)> {
        let from = (repository.to_owned(), Key::Blob(String::new()));
        self.registers
            .range(from..)
            .take_while(move |((name, _), _)| name == repository)
            .map(|((_, key), register)| (key, register))
    }

    /// The digests of manifests that are certainly in a repository.
    pub(crate) fn manifests_in(&self, repository: &str) -> Vec<String> {
        self.certain_of(repository, |key| matches!(key, Key::Manifest(_)))
    }

    /// The digests of blobs that are certainly in a repository: unreferenced ones, or those that manifests
    /// may reference.
    pub(crate) fn blobs_in(&self, repository: &str) -> Vec<String> {
        self.certain_of(repository, |key| matches!(key, Key::Blob(_)))
    }

    /// The names of tokens that are certainly valid, of a client that works in a repository.
    pub(crate) fn tokens_in(&self, repository: &str) -> Vec<String> {
        self.certain_of(repository, |key| matches!(key, Key::Token(_)))
    }

    fn certain_of(&self, repository: &str, wanted: impl Fn(&Key) -> bool) -> Vec<String> {
        let found = self.of(repository).filter(|(key, _)| wanted(key));
        found.filter_map(|(_, register)| register.certain().flatten()).collect()
    }

    /// The tags that point to a manifest; `None` if that is not certain for all of them.
    pub(crate) fn tags_of(&self, repository: &str, digest: &str) -> Option<Vec<String>> {
        let mut tags = Vec::new();
        for (key, register) in self.of(repository) {
            let Key::Tag(tag) = key else { continue };
            let possible = register.possible();
            if possible.iter().flatten().any(|target| target == digest) {
                if possible.len() > 1 {
                    return None;
                }
                tags.push(tag.clone());
            }
        }
        Some(tags)
    }
}

//! The requests of the clients and the responses that they got: they determine which states of the server are
//! possible.
//!
//! The ledger is in the memory of the test, so no cut affects it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stowage::model::media_type::OCI_MANIFEST;
use stowage::wire::{Job, JobResult};

use crate::held::References;
use crate::pieces::{Piece, TRASHED};
use crate::support::content::{bytes, sha256};

/// Something in a repository that requests change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Blob(String),
    Manifest(String),
    Tag(String),
    /// A token by its name, recorded under the repository of its client.
    Token(String),
    /// A piece by its tag.
    Piece(String),
}

/// A key and its repository.
pub(crate) type Place = (String, Key);

/// The value of a key: a digest, for a token its name, for a piece where it is, or nothing.
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
    /// When the last acknowledged push of it was sent.
    pub(crate) renewed: u64,
    /// Whether the server may take it away by itself: nothing holds it, and no promise about it holds.
    pub(crate) loose: bool,
}

impl Register {
    fn seen(value: Value, now: u64) -> Self {
        let writes = vec![Write { value, sent: now, ended: now, acknowledged: true }];
        Self { writes, touched: now, renewed: 0, loose: false }
    }

    /// Every possible value: the results of writes that no later acknowledged write has replaced, and
    /// nothing, if the server may take it away.
    pub(crate) fn possible(&self) -> BTreeSet<Value> {
        let mut written = self.written();
        if self.loose {
            written.insert(None);
        }
        written
    }

    fn written(&self) -> BTreeSet<Value> {
        let replaced =
            |write: &Write| self.writes.iter().any(|later| later.acknowledged && later.sent > write.ended);
        self.writes.iter().filter(|write| !replaced(write)).map(|write| write.value.clone()).collect()
    }

    /// The value, if only one is possible.
    pub(crate) fn certain(&self) -> Option<Value> {
        only(self.possible())
    }

    /// The value that requests leave, if only one is possible: the server may have taken it away since.
    pub(crate) fn left(&self) -> Option<Value> {
        only(self.written())
    }
}

fn only(possible: BTreeSet<Value>) -> Option<Value> {
    if possible.len() == 1 { possible.into_iter().next() } else { None }
}

/// A request in progress, by the keys that it changes.
#[must_use]
pub(crate) struct Ticket {
    places: Vec<Place>,
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
    pub(crate) references: References,
}

impl Manifest {
    /// A manifest that nothing else refers to.
    pub(crate) fn free(content: Vec<u8>, media_type: &'static str) -> Self {
        let references = References::of(&content);
        Self { content, media_type, subject: None, free: true, references }
    }

    /// A manifest that refers to the one with these bytes.
    pub(crate) fn about(subject: &[u8], content: Vec<u8>) -> Self {
        Self { subject: Some(sha256(subject)), ..Self::free(content, OCI_MANIFEST) }
    }
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
    /// When all promises were over last.
    pub(crate) aged: u64,
    pub(crate) registers: BTreeMap<Place, Register>,
    pub(crate) blobs: BTreeMap<String, Recipe>,
    /// Blobs of which no push was acknowledged: a cut may leave their files without rows.
    pub(crate) unfinished: BTreeSet<String>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// Pieces, by their tags.
    pub(crate) pieces: BTreeMap<String, Piece>,
    /// Whether a run may be under way that empties the trash.
    pub(crate) emptying: bool,
    /// Open uploads, by their location.
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Tokens, by their names.
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) done: Done,
}

/// How much the clients have done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Responses that acknowledged something.
    pub(crate) acknowledged: u64,
    /// Those of them that deleted something.
    pub(crate) deleted: u64,
    /// Deletions that were undone.
    pub(crate) restored: u64,
    /// Blobs that were pulled with the right content.
    pub(crate) pulled: u64,
    /// Blobs that were collected.
    pub(crate) collected: u64,
    /// Blobs that a scrub has read.
    pub(crate) scrubbed: u64,
}

impl Done {
    /// Adds what a job has done.
    pub(crate) const fn note(&mut self, job: &Job) {
        match &job.result {
            Some(JobResult::Gc(done)) => self.collected += done.blobs,
            Some(JobResult::Scrub(done)) => self.scrubbed += done.blobs,
            _ => {}
        }
    }

    pub(crate) const fn add(&mut self, more: Self) {
        self.acknowledged += more.acknowledged;
        self.deleted += more.deleted;
        self.restored += more.restored;
        self.pulled += more.pulled;
        self.collected += more.collected;
        self.scrubbed += more.scrubbed;
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, deleted, restored, pulled, collected, scrubbed } = self;
        write!(
            f,
            "{acknowledged} acknowledged changes ({deleted} deletions, {restored} undone), {pulled} pulls, "
        )?;
        write!(f, "{collected} blobs collected, {scrubbed} read by scrubs")
    }
}

impl Ledger {
    /// A moment later than all others.
    pub(crate) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Records a request that is about to be sent.
    pub(crate) fn begin(&mut self, repository: &str, changes: Vec<(Key, Value)>) -> Ticket {
        self.begin_in(changes.into_iter().map(|(key, value)| ((repository.to_owned(), key), value)).collect())
    }

    /// The same for a request that changes several repositories.
    pub(crate) fn begin_in(&mut self, changes: Vec<(Place, Value)>) -> Ticket {
        let sent = self.now();
        let mut places = Vec::new();
        for (place, value) in changes {
            let register = self.registers.entry(place.clone()).or_insert_with(|| Register::seen(None, 0));
            register.writes.push(Write { value, sent, ended: u64::MAX, acknowledged: false });
            register.touched = sent;
            places.push(place);
        }
        Ticket { places, sent }
    }

    fn writes(&mut self, ticket: &Ticket, mut change: impl FnMut(&mut Write)) {
        for place in &ticket.places {
            let register = self.registers.get_mut(place);
            let writes = register.map(|register| register.writes.iter_mut()).into_iter().flatten();
            writes.filter(|write| write.sent == ticket.sent).for_each(&mut change);
        }
    }

    /// Records that the request succeeded.
    pub(crate) fn acknowledge(&mut self, ticket: &Ticket) {
        let now = self.now();
        self.done.acknowledged += 1;
        let mut takes_away = false;
        self.writes(ticket, |write| {
            (write.ended, write.acknowledged) = (now, true);
            takes_away |= write.value.as_deref().is_none_or(|value| value == TRASHED);
        });
        self.done.deleted += u64::from(takes_away);
        for place in &ticket.places {
            let Some(register) = self.registers.get_mut(place) else { continue };
            let pushed = |write: &Write| write.sent == ticket.sent && write.value.is_some();
            if register.writes.iter().any(pushed) {
                (register.renewed, register.loose) = (ticket.sent, false);
            }
        }
    }

    /// Records that the request failed with an error of the server: it was done or not.
    pub(crate) fn end(&mut self, ticket: &Ticket) {
        let now = self.now();
        self.writes(ticket, |write| write.ended = now);
    }

    /// Records that the request was refused, so it has changed nothing.
    pub(crate) fn refuse(&mut self, ticket: &Ticket) {
        for place in &ticket.places {
            if let Some(register) = self.registers.get_mut(place) {
                register.writes.retain(|write| write.sent != ticket.sent);
            }
        }
    }

    /// Records the verified value of a key; later requests build on it.
    pub(crate) fn settle(&mut self, place: &Place, value: Value) {
        let old = self.registers.get(place);
        let (touched, renewed) = old.map_or((0, 0), |old| (old.touched, old.renewed));
        // A piece is looked at more closely: whether it is in the trash is certain then.
        let is_piece = matches!(place.1, Key::Piece(_));
        let loose = old.is_some_and(|old| old.loose) && value.is_some() && !is_piece;
        let register = Register { touched, renewed, loose, ..Register::seen(value, self.clock) };
        self.registers.insert(place.clone(), register);
    }

    /// Records that the server may take these keys away by itself from now on.
    pub(crate) fn loosen(&mut self, repository: &str, keys: Vec<Key>) {
        let now = self.now();
        for key in keys {
            let Some(register) = self.registers.get_mut(&(repository.to_owned(), key)) else { continue };
            if register.written().iter().any(Option::is_some) {
                (register.loose, register.touched) = (true, now);
            }
        }
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

    /// Keys that are not certainly in a repository any more, although they were.
    pub(crate) fn uncertain_in(&self, repository: &str) -> Vec<Key> {
        let gone = self.of(repository).filter(|(_, register)| register.certain().flatten().is_none());
        gone.map(|(key, _)| key.clone()).collect()
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

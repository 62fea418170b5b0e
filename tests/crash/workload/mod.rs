//! Clients that push, mount, retag, delete and restore, and record the responses in the ledger.

mod images;
mod pieces;
mod tidying;
mod tokens;
mod uploads;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stowage::model::media_type::OCI_MANIFEST;

use crate::dice::Dice;
use crate::exchange::{Answer, exchange};
use crate::ledger::{Key, Ledger, Manifest, Recipe, Ticket, Value};
use crate::support::content::{image, sha256};

/// The clients have the numbers below this; one more client sends the last requests.
pub(crate) const CLIENTS: u64 = 6;
/// A repository that all clients push to.
const SHARED: &str = "team/shared";
const TAGS: u64 = 4;

/// The state that the clients of one load share.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// The admin socket.
    pub(crate) socket: &'a Path,
    pub(crate) ledger: &'a Mutex<Ledger>,
    /// Whether all clients must pause.
    pub(crate) quiet: &'a AtomicBool,
    /// Whether the disk may fail from now on: requests may stay unanswered, fail, or be refused as on a
    /// read-only disk.
    pub(crate) trouble: &'a AtomicBool,
    /// Whether the server is gone.
    pub(crate) over: &'a AtomicBool,
}

/// A client, with a repository of its own.
pub(crate) struct Client<'a> {
    load: &'a Load<'a>,
    dice: Dice,
    repository: String,
    /// A repository in which it pushes unreferenced blobs and deletes them.
    loose: String,
    /// A repository with its pieces. Pieces that are repositories have names below it.
    bin: String,
}

/// The repositories of one client, without those of pieces.
fn repositories(number: u64) -> [String; 2] {
    [format!("team/client-{number}"), format!("team/loose/{number}")]
}

/// Whether a response says that the server failed: any 5xx, and for a change the refusal of a read-only
/// store.
fn is_failure(request: &str, answer: &Answer) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    let read_only = answer.status == 405 && body.contains("UNSUPPORTED") && body.contains("read-only");
    let reads = request.starts_with("GET ") || request.starts_with("HEAD ");
    answer.status >= 500 || (read_only && !reads)
}

/// All repositories that any client uses, without those of pieces.
pub(crate) fn all_repositories() -> Vec<String> {
    let own = (0..=CLIENTS).flat_map(repositories);
    own.chain([SHARED.to_owned()]).collect()
}

impl<'a> Client<'a> {
    pub(crate) fn new(load: &'a Load<'a>, number: u64, dice: Dice) -> Self {
        let [repository, loose] = repositories(number);
        Self { load, dice, repository, loose, bin: format!("team/bin/{number}") }
    }

    /// Works until the server is gone.
    pub(crate) fn work(mut self) {
        while !self.load.over.load(Ordering::SeqCst) {
            if self.load.quiet.load(Ordering::SeqCst) || self.step().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Pushes a few blobs, and sometimes a token, while all others pause. So no sync of another client's
    /// request can hide that the server did not sync for this one.
    pub(crate) fn last_words(mut self) {
        for _ in 0..=self.dice.below(4) {
            self.push_loose();
        }
        if self.dice.below(8) == 0 {
            self.change_token();
        }
    }

    /// One operation. `None`: it was not completed.
    fn step(&mut self) -> Option<()> {
        match self.dice.below(26) {
            0..=4 => self.push_image(),
            5 => self.push_index(),
            6 | 7 => self.push_referrer(),
            8 | 9 => self.push_chunks(),
            10 => self.start_upload().map(drop),
            11 => self.go_on_with_upload(),
            12 => self.mount(),
            13 => self.retag(),
            14 => self.delete_tag(),
            15 => self.delete_manifest(),
            16 => self.push_loose().map(drop),
            17 => self.delete_loose(),
            18 => self.push_nonsense(),
            19 => self.change_token(),
            20 => self.pull(),
            21 => self.push_again(),
            _ => self.change_piece(),
        }
    }

    fn ledger(&self) -> MutexGuard<'a, Ledger> {
        self.load.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll(&mut self, limit: u64) -> Recipe {
        Recipe { seed: self.dice.below(u64::MAX), size: 1 + self.dice.size(limit) }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let count = u64::try_from(from.len()).expect("a small number");
        if count == 0 { None } else { Some(from[self.dice.size(count) - 1].clone()) }
    }

    /// Sends a request whose response must have one of the statuses `good`. `None`: the cut prevented that.
    fn request(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        good: &[u16],
    ) -> Option<Answer> {
        let answer = exchange(self.load.address, method, path, headers, body);
        self.sorted(&format!("{method} {path}"), answer, good)
    }

    /// Checks that a response has one of the statuses `good`. Once the disk may fail, a request may fail; but
    /// a response with content must still be right.
    fn sorted(&self, request: &str, answer: io::Result<Answer>, good: &[u16]) -> Option<Answer> {
        match answer {
            Ok(answer) if good.contains(&answer.status) => Some(answer),
            other => {
                let trouble = self.load.trouble.load(Ordering::SeqCst);
                assert!(trouble, "{request}: {other:?}, with nothing to hinder it");
                if let Ok(answer) = other {
                    assert!(
                        is_failure(request, &answer),
                        "{request}: not {good:?}, even in trouble: {answer:?}"
                    );
                }
                None
            }
        }
    }

    /// The same for a request that makes the changes `changes`; a 4xx among `good` means that it does not
    /// make them.
    fn change(
        &self,
        repository: &str,
        changes: Vec<(Key, Value)>,
        request: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        good: &[u16],
    ) -> Option<Answer> {
        self.booked(repository, changes, || self.request(request, headers, body, good))
    }

    /// Records what a request may change, sends it, and records its result.
    fn booked(
        &self,
        repository: &str,
        changes: Vec<(Key, Value)>,
        send: impl FnOnce() -> Option<Answer>,
    ) -> Option<Answer> {
        let ticket = self.ledger().begin(repository, changes);
        let answer = send();
        self.record(&ticket, answer.as_ref(), |answer| answer.status < 300);
        answer
    }

    /// Records the result of a request.
    fn record(&self, ticket: &Ticket, answer: Option<&Answer>, is_done: impl Fn(&Answer) -> bool) {
        let mut ledger = self.ledger();
        match answer {
            Some(answer) if is_done(answer) => ledger.acknowledge(ticket),
            Some(_) => ledger.refuse(ticket),
            // Either the server lives and has sent a response, or it is gone and no request follows.
            None if !self.load.over.load(Ordering::SeqCst) => ledger.end(ticket),
            None => {}
        }
    }

    fn push_blob(&self, repository: &str, recipe: Recipe) -> Option<Vec<u8>> {
        let digest = sha256(&recipe.content());
        self.send_blob(repository, recipe, vec![(Key::Blob(digest.clone()), Some(digest))])
    }

    fn send_blob(&self, repository: &str, recipe: Recipe, changes: Vec<(Key, Value)>) -> Option<Vec<u8>> {
        let content = recipe.content();
        let digest = sha256(&content);
        self.note_blob(&digest, recipe);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.change(repository, changes, ("POST", &path), &[], &content, &[201])?;
        self.ledger().unfinished.remove(&digest);
        Some(content)
    }

    /// Records a blob before its upload is closed.
    fn note_blob(&self, digest: &str, recipe: Recipe) {
        let mut ledger = self.ledger();
        ledger.blobs.insert(digest.to_owned(), recipe);
        ledger.unfinished.insert(digest.to_owned());
    }

    fn put_manifest(&self, repository: &str, manifest: Manifest, tag: Option<String>) -> Option<String> {
        let digest = sha256(&manifest.content);
        let reference = tag.clone().unwrap_or_else(|| digest.clone());
        let mut changes = vec![(Key::Manifest(digest.clone()), Some(digest.clone()))];
        changes.extend(tag.map(|tag| (Key::Tag(tag), Some(digest.clone()))));
        self.put((repository, &reference), manifest, changes)?;
        Some(digest)
    }

    /// Sends a manifest under a tag or its digest.
    fn put(
        &self,
        (repository, reference): (&str, &str),
        manifest: Manifest,
        changes: Vec<(Key, Value)>,
    ) -> Option<Answer> {
        let (content, media_type) = (manifest.content.clone(), manifest.media_type);
        self.ledger().manifests.insert(sha256(&content), manifest);
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.change(repository, changes, ("PUT", &path), &[("Content-Type", media_type)], &content, &[201])
    }

    fn tag(&mut self) -> String {
        format!("t{}", self.dice.below(TAGS))
    }

    fn mount(&mut self) -> Option<()> {
        let [from, _] = repositories(self.dice.below(CLIENTS));
        let known = self.ledger().blobs_in(&from);
        let Some(digest) = self.pick(&known) else { return self.push_image() };
        let path = format!("/v2/{SHARED}/blobs/uploads/?mount={digest}&from={from}");
        let ticket = self.ledger().begin(SHARED, vec![(Key::Blob(digest.clone()), Some(digest.clone()))]);
        let answer = self.request(("POST", &path), &[], b"", &[201, 202]);
        self.record(&ticket, answer.as_ref(), |answer| answer.status == 201);
        let upload = answer.filter(|answer| answer.status == 202);
        let Some(upload) = upload else { return Some(()) };
        // Its owner has deleted meanwhile what held it.
        assert!(!self.ledger().blobs_in(&from).contains(&digest), "{path}: {upload:?}");
        let upload = upload.header("location").expect("a location");
        self.request(("DELETE", upload), &[], b"", &[204]).map(drop)
    }

    fn retag(&mut self) -> Option<()> {
        let repository = self.repository.clone();
        let known = self.ledger().manifests_in(&repository);
        let Some(digest) = self.pick(&known) else { return self.push_image() };
        let manifest = self.ledger().manifests[&digest].clone();
        let tag = self.tag();
        self.put_manifest(&repository, manifest, Some(tag)).map(drop)
    }

    fn delete_tag(&mut self) -> Option<()> {
        let repository = if self.dice.below(2) == 0 { SHARED.to_owned() } else { self.repository.clone() };
        let tag = self.tag();
        let path = format!("/v2/{repository}/manifests/{tag}");
        // 404 is recorded as a refusal: nothing was changed.
        self.change(&repository, vec![(Key::Tag(tag), None)], ("DELETE", &path), &[], b"", &[202, 404])
            .map(drop)
    }

    fn delete_manifest(&mut self) -> Option<()> {
        let repository = self.repository.clone();
        let ledger = self.ledger();
        let known: Vec<String> = ledger.manifests_in(&repository);
        let free: Vec<String> = known.into_iter().filter(|digest| ledger.manifests[digest].free).collect();
        drop(ledger);
        let Some(digest) = self.pick(&free) else { return self.push_image() };
        let tags = self.ledger().tags_of(&repository, &digest)?;
        // Garbage collection may take what only the manifest holds as soon as the trash is emptied.
        let fallen = self.ledger().falls_with(&repository, &digest);
        self.ledger().loosen(&repository, fallen);
        let mut changes = vec![(Key::Manifest(digest.clone()), None)];
        changes.extend(tags.into_iter().map(|tag| (Key::Tag(tag), None)));
        let path = format!("/v2/{repository}/manifests/{digest}");
        self.change(&repository, changes, ("DELETE", &path), &[], b"", &[202]).map(drop)
    }

    fn push_loose(&mut self) -> Option<Vec<u8>> {
        let recipe = self.roll(30_000);
        self.push_blob(&self.loose, recipe)
    }

    fn delete_loose(&mut self) -> Option<()> {
        let known = self.ledger().blobs_in(&self.loose);
        let Some(digest) = self.pick(&known) else { return self.push_loose().map(drop) };
        let path = format!("/v2/{}/blobs/{digest}", self.loose);
        self.change(&self.loose, vec![(Key::Blob(digest), None)], ("DELETE", &path), &[], b"", &[202])
            .map(drop)
    }

    /// A manifest without its layer, and a blob with a wrong digest.
    fn push_nonsense(&mut self) -> Option<()> {
        let repository = self.repository.clone();
        self.push_config(&repository)?;
        let (missing, other) = (self.roll(1000), self.roll(1000));
        let manifest = image(&[&missing.content()]);
        let (tag, digest) = (format!("bad-{}", self.dice.below(TAGS)), sha256(&manifest));
        let path = format!("/v2/{repository}/manifests/{tag}");
        let target = Some(digest.clone());
        let changes = vec![(Key::Manifest(digest), target.clone()), (Key::Tag(tag), target)];
        let headers = [("Content-Type", OCI_MANIFEST)];
        self.change(&repository, changes, ("PUT", &path), &headers, &manifest, &[400])?;
        let digest = sha256(&missing.content());
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let changes = vec![(Key::Blob(digest.clone()), Some(digest))];
        self.change(&repository, changes, ("POST", &path), &[], &other.content(), &[400]).map(drop)
    }

    /// Pulls something that certainly exists, and compares its content.
    fn pull(&mut self) -> Option<()> {
        let known = self.ledger().blobs_in(&self.repository);
        let Some(digest) = self.pick(&known) else { return self.push_image() };
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        let pulled = self.request(("GET", &path), &[], b"", &[200])?;
        let recipe = self.ledger().blobs[&digest];
        assert!(pulled.body == recipe.content(), "{path} has other bytes");
        self.ledger().done.pulled += 1;
        Some(())
    }
}

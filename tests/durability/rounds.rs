//! A server that is killed again and again at random moments, under writers that record their requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stowage::model::media_type::OCI_MANIFEST;
use tempfile::TempDir;

use crate::dice::{self, Dice};
use crate::exchange::{Answer, exchange};
use crate::process::{Stowage, assert_whole, note};
use crate::support::content::{bytes, image, sha256};
use crate::support::eventually;

const ROUNDS: u64 = 10;
const WRITERS: u64 = 4;
const TAGS: u64 = 4;

/// The manifest that a tag points to; `None`: the tag does not exist.
type Target = Option<String>;

/// The acknowledged requests of one writer, and its last one without a response.
struct Ledger {
    repository: String,
    /// Digest -> the parameters from which the content is generated.
    blobs: BTreeMap<String, (u64, usize)>,
    manifests: BTreeMap<String, Vec<u8>>,
    /// The possible states of a tag: what was last acknowledged, and what may have happened since.
    tags: BTreeMap<String, Vec<Target>>,
}

/// A writer. A step returns `None` when the server is gone.
struct Work<'a> {
    address: SocketAddr,
    ledger: &'a mut Ledger,
    dice: Dice,
    /// The number of responses to all writers.
    answers: &'a AtomicU64,
}

impl Work<'_> {
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let answer = exchange(self.address, method, path, headers, body).ok()?;
        assert!(answer.status < 500, "{method} {path}: {answer:?}");
        self.answers.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }

    fn until_the_end(mut self) {
        loop {
            let done = match self.dice.below(8) {
                0..=2 => self.push_blob(80_000).map(drop),
                3 => self.push_chunks().map(drop),
                4..=6 => self.push_image(),
                _ => self.delete_tag(),
            };
            if done.is_none() {
                return;
            }
        }
    }

    fn push_blob(&mut self, limit: u64) -> Option<Vec<u8>> {
        let (seed, size) = (self.dice.below(u64::MAX), self.dice.size(limit));
        let content = bytes(seed, size);
        let digest = sha256(&content);
        let path = format!("/v2/{}/blobs/uploads/?digest={digest}", self.ledger.repository);
        let answer = self.request("POST", &path, &[], &content)?;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.ledger.blobs.insert(digest, (seed, size));
        Some(content)
    }

    fn push_chunks(&mut self) -> Option<()> {
        let (seed, size) = (self.dice.below(u64::MAX), self.dice.size(600_000));
        let content = bytes(seed, size);
        let digest = sha256(&content);
        let opened =
            self.request("POST", &format!("/v2/{}/blobs/uploads/", self.ledger.repository), &[], b"")?;
        let upload = opened.header("location").expect("a location").to_owned();
        let middle = size / 2;
        let last = &content[middle..];
        if middle > 0 {
            let patched = self.request("PATCH", &upload, &[], &content[..middle])?;
            assert_eq!(patched.status, 202, "{patched:?}");
        }
        let closed = self.request("PUT", &format!("{upload}?digest={digest}"), &[], last)?;
        assert_eq!(closed.status, 201, "{closed:?}");
        self.ledger.blobs.insert(digest, (seed, size));
        Some(())
    }

    fn push_image(&mut self) -> Option<()> {
        let path = format!("/v2/{}/blobs/uploads/?digest={}", self.ledger.repository, sha256(b"{}"));
        let config = self.request("POST", &path, &[], b"{}")?;
        assert_eq!(config.status, 201, "{config:?}");
        let layer = self.push_blob(20_000)?;
        let manifest = image(&[&layer]);
        let digest = sha256(&manifest);
        let tag = format!("t{}", self.dice.below(TAGS));
        self.ledger.tags.entry(tag.clone()).or_insert_with(|| vec![None]).push(Some(digest.clone()));
        let path = format!("/v2/{}/manifests/{tag}", self.ledger.repository);
        let put = self.request("PUT", &path, &[("Content-Type", OCI_MANIFEST)], &manifest)?;
        assert_eq!(put.status, 201, "{put:?}");
        self.ledger.tags.insert(tag, vec![Some(digest.clone())]);
        self.ledger.manifests.insert(digest, manifest);
        Some(())
    }

    fn delete_tag(&mut self) -> Option<()> {
        let tag = format!("t{}", self.dice.below(TAGS));
        self.ledger.tags.entry(tag.clone()).or_insert_with(|| vec![None]).push(None);
        let deleted =
            self.request("DELETE", &format!("/v2/{}/manifests/{tag}", self.ledger.repository), &[], b"")?;
        assert!(matches!(deleted.status, 202 | 404), "{deleted:?}");
        self.ledger.tags.insert(tag, vec![None]);
        Some(())
    }
}

impl Ledger {
    fn of_writer(writer: u64) -> Self {
        Self {
            repository: format!("team/writer-{writer}"),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Asserts that everything acknowledged is there, and nothing else in its place.
    fn check(&mut self, server: &Stowage) {
        let client = server.client();
        for (digest, (seed, size)) in &self.blobs {
            let pulled = client.get(&format!("/v2/{}/blobs/{digest}", self.repository)).expect(200);
            assert!(pulled.body == bytes(*seed, *size), "{digest}");
        }
        for (digest, manifest) in &self.manifests {
            let pulled = client.get(&format!("/v2/{}/manifests/{digest}", self.repository)).expect(200);
            assert!(pulled.body == *manifest, "{digest}");
        }
        for (tag, targets) in &mut self.tags {
            let found = client.head(&format!("/v2/{}/manifests/{tag}", self.repository));
            assert!(matches!(found.status, 200 | 404), "{found:?}");
            let target = found.header("docker-content-digest").map(str::to_owned);
            assert!(targets.contains(&target), "{tag} points to {target:?}, not to one of {targets:?}");
            *targets = vec![target];
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_ten_kills_at_random_moments() {
    let seed = dice::seed();
    let dir = TempDir::new().unwrap();
    let mut dice = Dice::new(seed);
    let mut ledgers: Vec<Ledger> = (0..WRITERS).map(Ledger::of_writer).collect();
    for round in 0..ROUNDS {
        let server = Stowage::start(dir.path());
        let (address, answers) = (server.address, &AtomicU64::new(0));
        std::thread::scope(|scope| {
            for (writer, ledger) in (0..).zip(&mut ledgers) {
                let dice = Dice::new(seed ^ (round << 8 | writer));
                scope.spawn(move || Work { address, ledger, dice, answers }.until_the_end());
            }
            // Some rounds end before any response. The number, not the time, makes slow and fast disks do the
            // same work.
            let enough = dice.below(60);
            eventually("the writers are answered", || answers.load(Ordering::Relaxed) >= enough);
            std::thread::sleep(Duration::from_micros(dice.below(20_000)));
            server.kill();
        });
        assert_whole(dir.path());
        let server = Stowage::start(dir.path());
        for ledger in &mut ledgers {
            ledger.check(&server);
        }
        server.kill();
    }
    assert_whole(dir.path());
    let blobs: usize = ledgers.iter().map(|ledger| ledger.blobs.len()).sum();
    note(&format!("{blobs} blobs were acknowledged"));
    assert!(blobs > 20, "the writers came to nothing");
}

//! Eight pushers against garbage collection every 100 ms, with a promise of two seconds: what a client was
//! told to exist is there when its manifest names it. It is not part of `cargo test`; `docs/reliability.md`
//! says how to run it, and has its results.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stowage::model::media_type::OCI_MANIFEST;
use stowage::wire::{JobResult, JobState};
use tempfile::TempDir;

use crate::dice::{Dice, told_or_new};
use crate::ledger::Recipe;
use crate::process::{Stowage, assert_whole, note};
use crate::quiescence::{REST_S, everything, run_job};
use crate::store::{Contents, pass_time};
use crate::support::Client;
use crate::support::content::{image, push_blob, put_manifest, sha256};
use crate::tokens::ask;
use crate::trash;

const PUSHERS: u64 = 8;
/// Manifests that are pushed, unless `STOWAGE_SOAK_PUSHES` is set.
const PUSHES: u64 = 100_000;
const PROMISE: Duration = Duration::from_secs(2);
/// The time between the beginnings of two runs.
const EVERY: Duration = Duration::from_millis(100);
/// One run in this many empties the trash.
const EMPTIED: u64 = 10;
/// All pushers push the same blobs to the same few repositories: so many that some of them are not asked for
/// within a promise.
const BLOBS: u64 = 300;
const REPOSITORIES: u64 = 4;
/// Images that a pusher leaves, at most.
const KEPT: usize = 3;
const SETTINGS: &[(&str, &str)] = &[
    ("STOWAGE__STORAGE__GC__PROMISE", "2s"),
    ("STOWAGE__STORAGE__GC__SCHEDULE", "off"),
    ("STOWAGE__STORAGE__GC__UNTAGGED", "never"),
    ("STOWAGE__STORAGE__SCRUB__SCHEDULE", "off"),
];

/// What the pushers share.
struct Soak<'a> {
    client: Client,
    /// The admin socket.
    socket: &'a Path,
    /// Pushes that are left.
    left: AtomicU64,
    over: AtomicBool,
}

/// An image that was pushed.
struct Pushed {
    repository: String,
    tag: String,
    manifest: Vec<u8>,
    layers: Vec<Recipe>,
}

/// How often the pushers did what.
#[derive(Debug, Default)]
struct Tally {
    pushes: u64,
    /// Uploads that a `HEAD` made unnecessary, and those that a mount did.
    skipped: u64,
    mounted: u64,
    uploaded: u64,
    /// Manifests that were refused because the promise was over.
    late: u64,
    pulls: u64,
    deleted: u64,
    restored: u64,
}

struct Pusher<'a> {
    soak: &'a Soak<'a>,
    dice: Dice,
    number: u64,
    kept: VecDeque<Pushed>,
    tally: Tally,
}

/// Ends the pushers when a thread panics.
struct Alarm<'a>(&'a Soak<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.left.store(0, Ordering::SeqCst);
        }
    }
}

impl Pusher<'_> {
    fn work(mut self) -> Tally {
        let _alarm = Alarm(self.soak);
        let take = |left: u64| left.checked_sub(1);
        while self.soak.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            self.push();
            while self.kept.len() > KEPT {
                self.delete();
            }
        }
        while !self.kept.is_empty() {
            self.delete();
        }
        self.tally
    }

    fn repository(&mut self) -> String {
        format!("team/soak-{}", self.dice.below(REPOSITORIES))
    }

    fn push(&mut self) {
        let repository = self.repository();
        let begun = Instant::now();
        self.have(&repository, b"{}");
        let layers: Vec<Recipe> = (0..self.dice.size(3))
            .map(|_| Recipe { seed: 1 + self.dice.below(BLOBS), size: 5_000 })
            .collect();
        for layer in &layers {
            self.have(&repository, &layer.content());
        }
        std::thread::sleep(match self.dice.below(16) {
            0 => Duration::from_millis(self.dice.below(1_900)),
            1..=7 => Duration::from_millis(self.dice.below(200)),
            _ => Duration::ZERO,
        });
        let tag = format!("p{}-{}", self.number, self.tally.pushes + self.tally.late);
        let manifest = manifest(&layers, &tag);
        let sent = begun.elapsed();
        let answer = put_manifest(&self.soak.client, &repository, &tag, OCI_MANIFEST, &manifest);
        // The first promise was given after the beginning, and the manifest was looked at before the answer.
        let answered = begun.elapsed();
        if answer.status == 201 {
            self.tally.pushes += 1;
            let pushed = Pushed { repository, tag, manifest, layers };
            if self.dice.below(2) == 0 {
                self.pull(&pushed);
            }
            self.kept.push_back(pushed);
            return;
        }
        assert!(
            answer.status == 400 && answered >= PROMISE,
            "{repository}:{tag}, sent {sent:?} and answered {answered:?} after its first promise: {answer:?}"
        );
        self.tally.late += 1;
        self.soak.left.fetch_add(1, Ordering::SeqCst);
    }

    /// Sees to it that a repository has a blob: by asking, by mounting it, or by an upload.
    fn have(&mut self, repository: &str, content: &[u8]) {
        let (client, digest) = (&self.soak.client, sha256(content));
        let way = self.dice.below(8);
        if way > 0 {
            let found = client.head(&format!("/v2/{repository}/blobs/{digest}"));
            if found.status == 200 {
                self.tally.skipped += 1;
                return;
            }
            found.expect(404);
        }
        if way > 4 {
            let from = self.repository();
            let client = &self.soak.client;
            let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
            let answer = client.post(&path, b"");
            if answer.status == 201 {
                self.tally.mounted += 1;
                return;
            }
            let location = answer.expect(202).location();
            let separator = if location.contains('?') { '&' } else { '?' };
            client.put(&format!("{location}{separator}digest={digest}"), content).expect(201);
        } else {
            push_blob(client, repository, content);
        }
        self.tally.uploaded += 1;
    }

    /// Pulls an image that a tag holds.
    fn pull(&mut self, image: &Pushed) {
        let Pushed { repository, tag, manifest, layers } = image;
        let client = &self.soak.client;
        let pulled = client.get(&format!("/v2/{repository}/manifests/{tag}")).expect(200);
        assert!(pulled.body == *manifest, "{repository}:{tag} has other bytes");
        let layers = layers.iter().map(|layer| layer.content());
        for content in layers.chain([b"{}".to_vec()]) {
            let digest = sha256(&content);
            let pulled = client.get(&format!("/v2/{repository}/blobs/{digest}")).expect(200);
            assert!(pulled.body == content, "{digest} in {repository} has other bytes");
        }
        self.tally.pulls += 1;
    }

    /// Deletes the oldest image: its tag into the trash, from where it may be restored, its manifest into the
    /// trash, or its tag alone.
    fn delete(&mut self) {
        let Some(image) = self.kept.pop_front() else { return };
        if self.dice.below(4) == 0 {
            self.pull(&image);
        }
        let Pushed { repository, tag, manifest, .. } = &image;
        self.tally.deleted += 1;
        // The trash is emptied one deletion after the other: with more of them a run would take too long.
        match self.dice.below(8) {
            0 => {
                let path = format!("/api/v1/repositories/{repository}/-/tags/{tag}");
                let deleted = ask(self.soak.socket, "DELETE", &path, "").expect("an answer");
                assert_eq!(deleted.status, 204, "{path}: {deleted:?}");
                if self.dice.below(2) == 0 && self.restore(&image) {
                    self.kept.push_back(image);
                }
            }
            1 => {
                let digest = sha256(manifest);
                self.soak.client.delete(&format!("/v2/{repository}/manifests/{digest}")).expect(202);
            }
            _ => drop(self.soak.client.delete(&format!("/v2/{repository}/manifests/{tag}")).expect(202)),
        }
    }

    /// Restores a tag that was just deleted, unless a run has emptied it.
    fn restore(&mut self, image: &Pushed) -> bool {
        let get = |path: &str| ask(self.soak.socket, "GET", path, "").ok().filter(|got| got.status == 200);
        let entries = trash::listed(Some(&image.repository), get).expect("the trash is listed");
        let Some(entry) = entries.iter().find(|entry| entry.tags.contains(&image.tag)) else { return false };
        let path = trash::restoring(entry);
        let answer = ask(self.soak.socket, "POST", &path, "{}").expect("an answer");
        if answer.status == 404 {
            return false;
        }
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        self.tally.restored += 1;
        self.pull(image);
        true
    }
}

/// An image manifest that no other push has.
fn manifest(layers: &[Recipe], tag: &str) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|layer| layer.content()).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let mut manifest: Value = serde_json::from_slice(&image(&layers)).expect("JSON");
    manifest["annotations"] = json!({ "tag": tag });
    serde_json::to_vec(&manifest).expect("JSON")
}

/// Collects until the pushers are done; returns how many runs that were, and how many blobs they took.
fn keep_collecting(soak: &Soak<'_>) -> (u64, u64) {
    let _alarm = Alarm(soak);
    let (mut runs, mut blobs) = (0, 0);
    while !soak.over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let run = if runs % EMPTIED == 0 { everything() } else { json!({ "now": true, "untagged": "0s" }) };
        let job = run_job(soak.socket, "gc", &run);
        let job = job.unwrap_or_else(|wrong| panic!("a run: {wrong}"));
        assert_eq!(job.state, JobState::Done);
        if let Some(JobResult::Gc(done)) = job.result {
            blobs += done.blobs;
        }
        runs += 1;
        std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
    (runs, blobs)
}

#[test]
#[ignore = "it takes an hour, and needs --features test-hooks"]
fn eight_pushers_never_miss_a_blob_within_the_promise_while_garbage_is_collected() {
    let permits_seconds = cfg!(feature = "test-hooks").then_some(());
    permits_seconds.expect("run it with --features test-hooks");
    let wanted = std::env::var("STOWAGE_SOAK_PUSHES").ok();
    let wanted = wanted.map_or(PUSHES, |text| text.parse().expect("a number of pushes"));
    let mut dice = Dice::new(told_or_new("STOWAGE_SOAK_SEED"));
    let place = TempDir::new().expect("a directory");
    let data = place.path().join("data");
    let (server, begun) = (Stowage::start_with(&data, SETTINGS), Instant::now());
    let (socket, over) = (&*data.join("admin.sock"), AtomicBool::new(false));
    let soak = Soak { client: server.client(), socket, left: AtomicU64::new(wanted), over };
    let (tallies, (runs, blobs)) = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|number| {
                let dice = Dice::new(dice.below(u64::MAX));
                let (kept, tally) = (VecDeque::new(), Tally::default());
                let pusher = Pusher { soak: &soak, dice, number, kept, tally };
                scope.spawn(move || pusher.work())
            })
            .collect();
        let collector = scope.spawn(|| keep_collecting(&soak));
        let tallies: Vec<_> = pushers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        soak.over.store(true, Ordering::SeqCst);
        (tallies, collector.join().expect("the collector found nothing wrong"))
    });
    let took = begun.elapsed().as_secs();
    let all = tallies.into_iter().fold(Tally::default(), |mut all, one| {
        all.add(&one.expect("a pusher found nothing wrong"));
        all
    });
    note(&format!("{took} s, {runs} runs took {blobs} blobs; {all:?}"));
    assert!(all.pushes == wanted && all.skipped > 0 && all.mounted > 0 && all.restored > 0 && blobs > 0);
    server.stop();
    assert_whole(&data);
    pass_time(&data, REST_S);
    let server = Stowage::start_with(&data, SETTINGS);
    for _ in 0..2 {
        run_job(&data.join("admin.sock"), "gc", &everything()).expect("everything is collected");
    }
    server.stop();
    let Contents { files, rows, .. } = Contents::of(&data);
    assert!(files.is_empty() && rows.values().all(|rows| *rows == 0), "at rest: {files:?} {rows:?}");
}

impl Tally {
    const fn add(&mut self, more: &Self) {
        self.pushes += more.pushes;
        self.skipped += more.skipped;
        self.mounted += more.mounted;
        self.uploaded += more.uploaded;
        self.late += more.late;
        self.pulls += more.pulls;
        self.deleted += more.deleted;
        self.restored += more.restored;
    }
}

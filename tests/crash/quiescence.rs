//! What is left when everything that was deleted is emptied and collected: the disk holds exactly what tags
//! lead to, and the database has no other rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use stowage::wire::{Job, JobState};

use crate::exchange::exchange;
use crate::held::References;
use crate::image::count;
use crate::ledger::{Key, Ledger};
use crate::pieces::LIVE;
use crate::process::{Stowage, fsck};
use crate::store::{Contents, SETTINGS, pass_time};
use crate::support::content::sha256;
use crate::tokens::ask;

/// Running seconds after which every grace and the time in quarantine are over.
pub(crate) const REST_S: u64 = 25 * 3600;

/// Scrubs, empties the trash, collects everything, stops the server, and compares the store with the ledger.
/// Returns the problems, and how many files of pushes that were cut off are left.
pub(crate) fn judge(server: Stowage, data: &Path, ledger: &mut Ledger) -> (Vec<String>, u64) {
    let mut wrong = Vec::new();
    for (location, _) in std::mem::take(&mut ledger.uploads) {
        let ended = exchange(server.address, "DELETE", &location, &[], b"");
        if !ended.as_ref().is_ok_and(|answer| matches!(answer.status, 204 | 404)) {
            wrong.push(format!("DELETE {location}: {ended:?}"));
        }
    }
    let socket = data.join("admin.sock");
    match run_job(&socket, "scrub", &json!({ "full": true })) {
        Ok(job) => ledger.done.note(&job),
        Err(error) => wrong.push(error),
    }
    server.stop();
    pass_time(data, REST_S);
    ledger.age();
    let server = Stowage::start_with(data, SETTINGS);
    match run_job(&socket, "gc", &everything()) {
        Ok(job) => ledger.done.note(&job),
        Err(error) => wrong.push(error),
    }
    server.stop();
    let (_, found) = fsck(data);
    wrong.extend(found.map(|found| format!("at rest: {found}")));
    let contents = Contents::of(data);
    wrong.extend(strays(&contents, ledger));
    wrong.extend(Kept::of(ledger).compare(&contents, ledger));
    for directory in ["quarantine", "uploads"] {
        let files = count(&data.join(directory));
        if files > 0 {
            wrong.push(format!("{files} files in {directory} at rest"));
        }
    }
    (wrong, contents.strays().len() as u64)
}

/// A run that empties the trash and frees everything that can be freed.
pub(crate) fn everything() -> Value {
    json!({ "empty_trash": true, "untagged": "0s" })
}

/// Runs garbage collection or a scrub to its end, which must find nothing wrong.
pub(crate) fn run_job(socket: &Path, what: &str, run: &Value) -> Result<Job, String> {
    let sent = |method: &str, path: &str, body: &str| {
        let answer = ask(socket, method, path, body).map_err(|error| format!("{method} {path}: {error}"))?;
        serde_json::from_slice::<Job>(&answer.body).map_err(|_| format!("{method} {path}: {answer:?}"))
    };
    let mut job = sent("POST", &format!("/api/v1/{what}/runs"), &run.to_string())?;
    while job.is_under_way() {
        job = sent("GET", &format!("/api/v1/jobs/{}?wait=1m", job.id), "")?;
    }
    if job.state == JobState::Done && job.problems == 0 { Ok(job) } else { Err(format!("{job:?}")) }
}

/// Files without a row, unless a push was cut off between its file and its row.
pub(crate) fn strays(contents: &Contents, ledger: &Ledger) -> Vec<String> {
    let strays = contents.strays().into_iter().filter(|(digest, _)| !ledger.unfinished.contains(digest));
    strays.map(|(digest, size)| format!("the file of {digest} ({size} bytes) has no row")).collect()
}

/// What tags lead to.
#[derive(Default)]
struct Kept {
    /// (repository, digest)
    manifests: BTreeSet<(String, String)>,
    links: BTreeSet<(String, String)>,
    tags: u64,
    /// Manifests that indexes list, and those with a subject.
    parents: u64,
    referrers: u64,
}

impl Kept {
    fn of(ledger: &Ledger) -> Self {
        let mut kept = Self::default();
        let live: Vec<_> = ledger.pieces.values().filter(|piece| ledger.is_at(piece, LIVE)).collect();
        let repositories: BTreeSet<&String> = ledger.registers.keys().map(|(name, _)| name).collect();
        for name in repositories {
            let tags = ledger.of(name).filter(|(key, _)| matches!(key, Key::Tag(_)));
            kept.tags += tags.filter(|(_, register)| register.left().flatten().is_some()).count() as u64;
            ledger.held(name, None).into_iter().for_each(|digest| kept.add(ledger, name, digest));
        }
        for piece in live {
            kept.tags += 1;
            for digest in piece.below.iter().chain([&piece.root]) {
                kept.add(ledger, &piece.repository, digest.clone());
            }
        }
        kept
    }

    fn add(&mut self, ledger: &Ledger, repository: &str, digest: String) {
        let manifest = &ledger.manifests[&digest];
        let References { blobs, children } = manifest.references.clone();
        if self.manifests.insert((repository.to_owned(), digest)) {
            self.links.extend(blobs.into_iter().map(|blob| (repository.to_owned(), blob)));
            self.parents += children.into_iter().collect::<BTreeSet<_>>().len() as u64;
            self.referrers += u64::from(manifest.subject.is_some());
        }
    }

    fn compare(&self, contents: &Contents, ledger: &Ledger) -> Vec<String> {
        let mut wrong = Vec::new();
        let config = (sha256(b"{}"), 2);
        let size = |digest: &String| match ledger.blobs.get(digest) {
            Some(recipe) => recipe.size as u64,
            None => config.1,
        };
        let blobs: BTreeMap<String, u64> =
            self.links.iter().map(|(_, digest)| (digest.clone(), size(digest))).collect();
        let strays = contents.strays();
        let mut files = contents.files.clone();
        files.retain(|digest, _| !strays.contains_key(digest));
        if files != blobs {
            let more: Vec<_> = files.iter().filter(|(digest, _)| !blobs.contains_key(*digest)).collect();
            let less: Vec<_> = blobs.iter().filter(|(digest, _)| !files.contains_key(*digest)).collect();
            wrong.push(format!("at rest the disk has also {more:?}, and has not {less:?}"));
        }
        let distinct = |pairs: &BTreeSet<(String, String)>, part: fn(&(String, String)) -> &String| {
            pairs.iter().map(part).collect::<BTreeSet<_>>().len() as u64
        };
        let (manifests, links) = (self.manifests.len() as u64, self.links.len() as u64);
        let repositories = distinct(&self.manifests, |(name, _)| name);
        let expected = BTreeMap::from([
            ("blob", blobs.len() as u64),
            ("blob_link", links),
            ("catalog", repositories),
            ("link", links),
            ("manifest", manifests),
            ("manifest_body", distinct(&self.manifests, |(_, digest)| digest)),
            ("manifest_repo", manifests),
            ("parent", self.parents),
            ("referrer", self.referrers),
            ("repository", repositories),
            ("repository_name", repositories),
            ("tag", self.tags),
            ("tag_by_digest", self.tags),
            ("tag_by_sequence", self.tags),
            ("usage_repository", repositories),
        ]);
        for (table, rows) in &contents.rows {
            let expected = expected.get(table).copied().unwrap_or(0);
            if *rows != expected {
                wrong.push(format!("at rest the table {table} has {rows} rows, not {expected}"));
            }
        }
        wrong
    }
}

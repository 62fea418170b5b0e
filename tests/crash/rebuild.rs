//! A rebuild that is killed at any call that changes something: its leftovers are never mistaken for a store,
//! the next command says what to do, and the old store is unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stowage::store::meta::dump;
use tempfile::TempDir;

use crate::dumps::OFTEN;
use crate::process::{Stowage, assert_whole, command, directory_in_memory, note, refused_or_started, run};
use crate::support::content::{bytes, push_image, touch};
use crate::support::eventually;
use crate::trace::{self, Traced};

/// The calls of a rebuild that change something, and how many of each are tried: most directories are created
/// alike.
const CALLS: [(&str, usize); 11] = [
    ("mkdir", 250),
    ("openat", 200),
    ("flock", 2),
    ("write", 1),
    ("pwrite64", 50),
    ("ftruncate", 3),
    ("linkat", 2),
    ("fdatasync", 12),
    ("fsync", 15),
    ("rename", 1),
    ("rmdir", 1),
];
/// More calls than any rebuild makes.
const ENDLESS: u64 = 5_000;

/// A store whose database is lost.
struct Lost {
    parent: TempDir,
    manifest: Vec<u8>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Lost {
    fn new() -> Self {
        let parent = directory_in_memory();
        let data = parent.path().join("data");
        let server = Stowage::start_with(&data, OFTEN);
        let mut manifest = Vec::new();
        for number in 0..4 {
            manifest = push_image(&server.client(), "team/app", "latest", &bytes(number, 10_000));
        }
        let newest = || dump::list(&data.join(dump::DIR_NAME)).ok()?.first().map(|dump| dump.number);
        // The second from now began after the last push; a dump follows a change alone.
        for _ in 0..2 {
            let before = newest();
            touch(&server.client(), "team/app");
            eventually("another dump", || newest() > before);
        }
        server.stop();
        fs::remove_file(data.join("stowage.redb")).expect("it is there");
        let files = files(&data);
        Self { parent, manifest, files }
    }

    fn data(&self) -> PathBuf {
        self.parent.path().join("data")
    }

    /// Kills a rebuild at the `n`-th `call`; returns whether it was killed.
    fn killed_at(&self, call: &str, n: u64) -> bool {
        let case = format!("{call} {n}");
        let into = self.parent.path().join(format!("{call}-{n}"));
        let mut rebuild = command("rebuild");
        rebuild.args(["--json", "--into"]).arg(&into).arg("--data-dir").arg(self.data());
        let mut rebuild = Traced::start(&rebuild, call, n);
        let killed = rebuild.is_killed(&case, |ended| ended.is_some_and(|status| status.success()));
        assert!(files(&self.data()) == self.files, "{case}: the old directory was changed");
        let entries = fs::read_dir(&into).map_or(0, Iterator::count);
        if into.join("stowage.redb").exists() {
            self.assert_is_the_store(&into, &case);
        } else if entries > 0 {
            self.assert_is_no_store(&into, &case);
        }
        if into.exists() {
            fs::remove_dir_all(&into).expect("it can be removed");
        }
        killed
    }

    fn assert_is_no_store(&self, into: &Path, case: &str) {
        let Some(refused) = refused_or_started(into) else { panic!("{case}: a server has started on it") };
        assert_eq!(refused.code, Some(7), "{case}: {refused:?}");
        for words in ["was interrupted", "rm -r", "stowage rebuild --into"] {
            assert!(refused.stderr.contains(words), "{case}: {words}: {refused:?}");
        }
        let path = into.display().to_string();
        let again = run("rebuild", &["--json", "--into", &path], &self.data());
        let document: Value = serde_json::from_str(&again.stdout).unwrap_or_default();
        let said = (again.code, document["error"]["code"].as_str());
        assert_eq!(said, (Some(6), Some("REBUILD_CUT_OFF")), "{case}: {again:?}");
        assert!(again.stdout.contains(&format!("rm -r {path}")), "{case}: {again:?}");
        assert_eq!(run("fsck", &["--json"], into).code, Some(7), "{case}");
        // Following the advice in the message must work.
        if case.ends_with(" 1") {
            fs::remove_dir_all(into).expect("it can be removed");
            let made = run("rebuild", &["--json", "--into", &path], &self.data());
            assert_eq!(made.code, Some(0), "{case}: {made:?}");
            self.assert_is_the_store(into, case);
        }
    }

    fn assert_is_the_store(&self, into: &Path, case: &str) {
        let server = Stowage::start(into);
        let pulled = server.client().get("/v2/team/app/manifests/latest").expect(200);
        assert!(pulled.body == self.manifest, "{case}");
        server.stop();
        assert!(!into.join("rebuild.new").exists(), "{case}");
        assert_whole(into);
    }
}

/// Every file below a directory with its content. The process in LOCK is left out, because it changes with
/// each process.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("LOCK") {
            found.push((path.clone(), fs::read(&path).expect("it can be read")));
        }
    }
    found.sort();
    found
}

#[test]
fn a_rebuild_may_be_killed_at_any_call_that_changes_something() {
    if !trace::available() {
        return;
    }
    let lost = Lost::new();
    for (call, every) in CALLS {
        let ns = (1..ENDLESS).step_by(every);
        let kills = ns.take_while(|n| lost.killed_at(call, *n)).count();
        note(&format!("killed at {kills} calls of {call}"));
        assert!(kills > 0, "{call} is not called");
    }
}

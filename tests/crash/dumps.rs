//! Dumps of the metadata under the cuts: the newest one is complete, and the store can be rebuilt from it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use stowage::store::meta::dump;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::process::run;

/// The settings of dumps.
pub(crate) const OFTEN: &[(&str, &str)] =
    &[("STOWAGE__STORAGE__DUMPS__EVERY", "1s"), ("STOWAGE__STORAGE__DUMPS__KEEP", "2")];
/// How long to wait for a dump.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The approximate duration of a dump, in microseconds.
const TAKES_US: u64 = 40_000;

/// Waits until a server writes a dump, and a little longer: until its end, or later while old ones are
/// removed. Returns whether a dump was seen.
pub(crate) fn wait_for_one(data: &Path, dice: &mut Dice) -> bool {
    let begun = Instant::now();
    let begins = until(|| is_being_written(data), begun);
    if dice.below(3) == 0 {
        let written = until(|| !is_being_written(data), begun);
        std::thread::sleep(Duration::from_micros(dice.below(5_000)));
        return begins && written;
    }
    std::thread::sleep(Duration::from_micros(dice.below(TAKES_US)));
    begins
}

fn until(holds: impl Fn() -> bool, begun: Instant) -> bool {
    while begun.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

fn is_being_written(data: &Path) -> bool {
    let entries = fs::read_dir(data.join(dump::DIR_NAME)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|end| end == "new"))
}

/// The findings about the dumps of one store so far.
#[derive(Default)]
pub(crate) struct Dumps {
    newest: u64,
    /// Stores that were rebuilt.
    pub(crate) rebuilt: u64,
}

impl Dumps {
    /// What is wrong with the dumps of a store that no server has open. With a directory `into`, the store is
    /// also rebuilt there.
    pub(crate) fn judge(&mut self, data: &Path, into: Option<&Path>, ledger: &Ledger) -> Vec<String> {
        let found = match dump::list(&data.join(dump::DIR_NAME)) {
            Ok(found) => found,
            Err(error) => return vec![format!("the dumps: {error}")],
        };
        let newest = found.first().map_or(0, |dump| dump.number);
        let mut wrong = Vec::new();
        // The server removes a dump only when there is a newer one.
        if newest < self.newest {
            wrong.push(format!("the newest dump was {} and is {newest}", self.newest));
        }
        self.newest = newest;
        for dump in &found {
            if let Err(error) = dump::check(&dump.path) {
                wrong.push(format!("a dump has its name and is no good: {error}"));
            }
        }
        if let (Some(into), Some(newest)) = (into, found.first()) {
            // The removal is not synced, so a cut right after it may bring back the previous rebuild.
            remove(into);
            wrong.extend(rebuild(data, &newest.path, into, ledger));
            self.rebuilt += 1;
            remove(into);
        }
        wrong
    }
}

fn remove(store: &Path) {
    match fs::remove_dir_all(store) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", store.display()),
        _ => {}
    }
}

/// Garbage collection may have taken blobs since the dump was made, which are missing then. Nothing else may
/// be wrong.
fn rebuild(data: &Path, newest: &Path, into: &Path, ledger: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    let path = into.display().to_string();
    let ended = run("rebuild", &["--json", "--into", &path], data);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let data = &document["data"];
    let listed = data["missing"]["blobs"].as_array().into_iter().flatten();
    let missing: BTreeSet<&str> = listed.filter_map(|blob| blob["digest"].as_str()).collect();
    wrong.extend(
        missing.iter().filter(|digest| ledger.is_needed(digest)).map(|digest| format!("{digest} is missing")),
    );
    let is_right = data["dump"]["path"].as_str() == newest.to_str()
        && data["missing"]["count"] == missing.len()
        && is_only(&missing, (ended.code, &document), &data["check"]);
    if !is_right {
        wrong.push(format!("rebuild: {ended:?}"));
    }
    let ended = run("fsck", &["--deep", "--json"], into);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    if !is_only(&missing, (ended.code, &document), &document["data"]) {
        wrong.push(format!("fsck of the store that was made again: {ended:?}"));
    }
    wrong
}

/// Whether a check has found only that these blobs are missing.
fn is_only(missing: &BTreeSet<&str>, (code, document): (Option<i32>, &Value), report: &Value) -> bool {
    let Some(problems) = report["problems"].as_array() else { return false };
    let is_missing = |problem: &Value| {
        problem["kind"] == "blob_corrupt"
            && problem["digest"].as_str().is_some_and(|digest| missing.contains(digest))
    };
    let ended = if problems.is_empty() { (Some(0), true) } else { (Some(7), false) };
    (code, document["ok"] == true) == ended && problems.iter().all(is_missing)
}

//! The directory of dumps: its files, and which of them can be removed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::{DumpError, at};
use super::read;
use crate::config::has_own_directory;
use crate::store::durable::sync_dir;

/// The name of the directory of dumps in the data directory.
pub const DIR_NAME: &str = "dumps";

const ROWS: (&str, &str) = ("rows-", ".dump");
const BODIES: (&str, &str) = ("bodies-", ".seg");
/// The suffix of a file that is being written.
const NEW: &str = ".new";

/// A file of rows, complete or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpFile {
    /// Its number; later dumps have higher ones.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The dumps in a directory, the newest first; empty if the directory does not exist.
pub fn list(dir: &Path) -> Result<Vec<DumpFile>, DumpError> {
    let mut found: Vec<DumpFile> =
        numbers(dir, ROWS)?.into_iter().map(|number| DumpFile { number, path: rows(dir, number) }).collect();
    found.reverse();
    Ok(found)
}

/// When the newest dump was made, in Unix milliseconds, if its header is readable. Its checksum is not
/// verified.
pub fn newest(dir: &Path) -> Option<u64> {
    let newest = list(dir).ok()?.into_iter().next()?;
    Some(read::header(&newest.path).ok()?.wall_ms)
}

pub(super) fn rows(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(ROWS, number))
}

pub(super) fn new_rows(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{}{NEW}", name(ROWS, number)))
}

pub(super) fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(BODIES, number))
}

/// A number that no segment has.
pub(super) fn next_segment(dir: &Path) -> Result<u64, DumpError> {
    Ok(numbers(dir, BODIES)?.last().map_or(1, |last| last + 1))
}

fn name((before, after): (&str, &str), number: u64) -> String {
    format!("{before}{number:08}{after}")
}

fn numbers(dir: &Path, (before, after): (&str, &str)) -> Result<BTreeSet<u64>, DumpError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(at(dir))?,
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(at(dir))?.file_name();
        let digits = entry.to_str().and_then(|entry| entry.strip_prefix(before)?.strip_suffix(after));
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    Ok(found)
}

/// Creates the directory if necessary, and removes leftovers of an interrupted dump.
pub(super) fn prepare(dir: &Path) -> Result<(), DumpError> {
    if !has_own_directory(dir).map_err(at(dir))? {
        DirBuilder::new().mode(0o700).create(dir).map_err(at(dir))?;
        let parent = dir.parent().unwrap_or(dir);
        sync_dir(parent).map_err(at(parent))?;
    }
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(ROWS.0) && name.ends_with(NEW)) {
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

/// How files of dumps are created: readable by the owner only, because they contain hashes of passwords and
/// tokens.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Removes all but the newest `keep` dumps, and the segments that the remaining dumps do not need. If the
/// database is damaged, the last dump without damage is kept, too.
pub(super) fn prune(dir: &Path, keep: usize) -> Result<(), DumpError> {
    let mut dumps = list(dir)?;
    let mut old = dumps.split_off(keep.clamp(1, dumps.len()));
    let is_sound = |dump: &DumpFile| read::totals(&dump.path).is_ok_and(|totals| totals.damaged == 0);
    if !dumps.iter().any(is_sound)
        && let Some(sound) = old.iter().position(is_sound)
    {
        dumps.push(old.remove(sound));
    }
    for old in old {
        fs::remove_file(&old.path).map_err(at(&old.path))?;
    }
    let mut needed = BTreeSet::new();
    for dump in &dumps {
        // The segments that a damaged dump needs are not known, so no segment is removed while it is kept.
        let Ok(totals) = read::totals(&dump.path) else { return Ok(()) };
        needed.extend(totals.segments.iter().map(|segment| segment.number));
    }
    for number in numbers(dir, BODIES)?.difference(&needed) {
        let path = segment(dir, *number);
        fs::remove_file(&path).map_err(at(&path))?;
    }
    sync_dir(dir).map_err(at(dir))
}

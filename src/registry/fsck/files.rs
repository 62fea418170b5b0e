//! The files in the directories: blob files without a row, and uploads without a file.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use super::check::Check;
use super::place::Place;
use crate::model::names::UploadId;
use crate::model::units::{counted, exact_size, human_size};
use crate::store::blob::Entry;
use crate::store::meta::{StoreError, Tx as _, schema};

/// A file without a row belongs to no running push if it is older than this: twice the time for which a
/// promise holds.
const YOUNG: Duration = Duration::from_hours(12);
/// The most names in a note.
const NAMED: usize = 5;

/// A group of files of one kind.
#[derive(Default)]
struct Sort {
    files: u64,
    bytes: u64,
    names: Vec<String>,
}

impl Sort {
    fn add(&mut self, bytes: u64, name: impl FnOnce() -> String) {
        self.files += 1;
        self.bytes += bytes;
        if self.names.len() < NAMED {
            self.names.push(name());
        }
    }

    fn note(&self, check: &mut Check<'_>, one: &str, many: &str) {
        if self.files > 0 {
            let more = if self.files > self.names.len() as u64 { ", ..." } else { "" };
            let files = counted(self.files, one, many);
            // The sizes of foreign files are not read.
            let size = if self.bytes > 0 { format!(" ({})", human_size(self.bytes)) } else { String::new() };
            check.note(format!("{files}{size}: {}{more}", self.names.join(", ")));
        }
    }
}

fn is_young(check: &Check<'_>, modified: SystemTime) -> bool {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(check.meta.meta().clock().now().wall_ms);
    // A file with a time in the future counts as young, so that it is not reported by mistake.
    now.duration_since(modified).map_or(true, |age| age < YOUNG)
}

/// Blob files without a row: left by a push that did not commit, or created by another program.
pub(super) fn blobs(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::BLOB)?;
    let (mut young, mut old, mut strangers) = (Sort::default(), Sort::default(), Sort::default());
    let mut failure = None;
    let (staging, blobs) = (check.staging, check.blobs);
    let listed = blobs.list(&mut |entry| {
        check.tick();
        if check.is_ended() {
            return ControlFlow::Break(());
        }
        match entry {
            Entry::Stranger(name) => strangers.add(0, || name),
            Entry::Blob { digest, size, modified } => {
                check.report.checked.files += 1;
                match check.meta.read(|tx| tx.has(&schema::BLOB, &digest)) {
                    Ok(true) => {}
                    Ok(false) if is_young(check, modified) => young.add(size, || digest.to_string()),
                    Ok(false) => old.add(size, || digest.to_string()),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
        }
        ControlFlow::Continue(())
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let listed = listed.and_then(|()| {
        staging.strangers(&mut |name| {
            check.tick();
            strangers.add(0, || name);
            if check.is_ended() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    if let Err(error) = listed {
        check.damage("tree_unreadable", Place::STORE, "directories with blobs", error);
    }
    check.report.checked.orphans += old.files;
    young.note(check, "young blob file has no row", "young blob files have no row");
    old.note(check, "old blob file has no row", "old blob files have no row");
    strangers.note(
        check,
        "file among the blobs does not belong there",
        "files among the blobs do not belong there",
    );
    Ok(())
}

/// Checks that every upload has its repository, and the bytes that its row says are durable.
pub(super) fn uploads(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::UPLOAD)?;
    check.expect(&schema::UPLOAD_BY_REPOSITORY)?;
    let mut staged = HashMap::new();
    let mut gone = 0_u64;
    match check.staging.list() {
        Ok(entries) => staged.extend(entries.into_iter().map(|entry| (entry.id, entry))),
        Err(error) => check.damage("tree_unreadable", Place::STORE, "the directory with uploads", error),
    }
    check.rows(&schema::UPLOAD, |check, tx, key, row| {
        check.report.checked.uploads += 1;
        let repository = row.repository.0;
        let Ok(id) = key.try_into().map(UploadId::from_bytes) else {
            check.damage("key", Place::repository(repository), "an upload id", format!("{key:02x?}"));
            return Ok(());
        };
        if !tx.has(&schema::REPOSITORY.raw_keys(), repository)? {
            check.inconsistency(
                "upload_repository",
                Place::repository(repository),
                "the repository of an upload",
                "none",
            );
        }
        if !tx.has(&schema::UPLOAD_BY_REPOSITORY.raw_keys(), (repository, key))? {
            let place = Place::repository(repository);
            check.inconsistency("upload_index", place, "a row for an upload", "no row");
        }
        match staged.remove(&id) {
            // Finishing an upload renames its file before the commit that removes its row, so the file may be
            // gone.
            None => gone += 1,
            Some(found) if found.size < row.offset => {
                let expected = format!("an upload with {}", exact_size(row.offset));
                check.inconsistency(
                    "upload_file",
                    Place::repository(repository),
                    expected,
                    exact_size(found.size),
                );
            }
            Some(_) => {}
        }
        Ok(())
    })?;
    check.rows(&schema::UPLOAD_BY_REPOSITORY, |check, tx, (repository, id), ()| {
        if tx.get(&schema::UPLOAD.raw_keys(), id)?.is_none_or(|row| row.repository.0 != repository) {
            // Upload ids are secrets and are not printed: see below.
            check.inconsistency(
                "upload_index",
                Place::repository(repository),
                "no row",
                "a row for an upload",
            );
        }
        Ok(())
    })?;
    if gone > 0 {
        check.note(format!(
            "{} no file: interrupted at the very end, and removed automatically",
            counted(gone, "upload has", "uploads have")
        ));
    }
    let (mut young, mut old) = (Sort::default(), Sort::default());
    for entry in staged.into_values() {
        // The client that knows an upload's id may continue the upload, so ids are not printed.
        let sort = if is_young(check, entry.modified) { &mut young } else { &mut old };
        sort.files += 1;
        sort.bytes += entry.size;
    }
    check.report.checked.orphans += old.files;
    for (sort, age) in [(young, "young"), (old, "old")] {
        if sort.files > 0 {
            let uploads = counted(sort.files, &format!("{age} upload has"), &format!("{age} uploads have"));
            check.note(format!("{uploads} no row ({})", human_size(sort.bytes)));
        }
    }
    Ok(())
}

//! A running check: its steps, and the state that they share.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::ControlFlow;

use super::place::{self, Located, Place};
use super::report::{CheckError, Finding, Mode, Progress, Report};
use super::{
    audit, blobs, collection, counters, files, images, jobs, links, manifests, repositories, tags, totals,
    trash,
};
use crate::model::units::counted;
use crate::store::blob::{BlobStore, Staging};
use crate::store::meta::{Key, Meta, Pages, ReadTx, Reader, Row, StoreError, Stored, Table};
use crate::wire::{Checked, Severity};

/// The most problems that are listed. A store that lost its blobs has millions of them.
const MAX_PROBLEMS: usize = 10_000;
/// Rows between two reports of progress.
const SPEAK_EVERY: u64 = 1_000;

/// A step of the check.
type Step = fn(&mut Check<'_>) -> Result<(), StoreError>;

/// Checks everything in the store and reports problems. It changes nothing: what it has proven about blobs is
/// in [`Report::verdicts`]. It calls `progress` several times a second during long work, and ends when that
/// returns a break.
///
/// # Errors
/// [`CheckError::Ended`] when `progress` ended it, [`CheckError::Store`] when the store cannot be read at
/// all.
pub fn check(
    meta: &Meta,
    staging: &Staging,
    blobs: &dyn BlobStore,
    mode: Mode,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, CheckError> {
    let mut check = Check {
        meta: meta.reader(),
        staging,
        blobs,
        mode,
        repositories: BTreeMap::new(),
        last_sequence: 0,
        last_id: 0,
        report: Report::default(),
        unlisted: 0,
        progress,
        now: Progress { stage: "", done: 0, total: 0, bytes: 0 },
        ended: false,
    };
    let result = check.all();
    if check.ended {
        return Err(CheckError::Ended);
    }
    result?;
    if check.unlisted > 0 {
        let unlisted = counted(check.unlisted, "more problem is", "more problems are");
        check.note(format!("{unlisted} not listed"));
    }
    Ok(check.report)
}

/// The state that the steps share.
pub(super) struct Check<'a> {
    pub(super) meta: Reader<'a>,
    pub(super) staging: &'a Staging,
    pub(super) blobs: &'a dyn BlobStore,
    pub(super) mode: Mode,
    /// The name of every repository; `None` for a number that occurs only in other rows.
    pub(super) repositories: BTreeMap<u64, Option<String>>,
    /// The highest sequence number found.
    pub(super) last_sequence: u64,
    /// The highest id found.
    pub(super) last_id: u64,
    pub(super) report: Report,
    unlisted: u64,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    now: Progress,
    ended: bool,
}

/// The length of the report at the start of a step.
struct Mark {
    checked: Checked,
    problems: usize,
    notes: usize,
    unlisted: u64,
}

impl Check<'_> {
    fn all(&mut self) -> Result<(), StoreError> {
        self.run("projects", repositories::projects)?;
        self.gather("repositories", repositories::repositories)?;
        self.run("manifests", manifests::bodies)?;
        self.run("manifests", manifests::rows)?;
        self.run("manifests", manifests::indexes)?;
        self.run("tags", tags::tags)?;
        self.run("trash", trash::rows)?;
        self.gather("links", links::links)?;
        self.run("links", links::indexes)?;
        self.run("blobs", blobs::blobs)?;
        self.run("files", files::blobs)?;
        self.gather("uploads", files::uploads)?;
        self.gather("usage", totals::usage)?;
        self.gather("audit", audit::log)?;
        self.run("jobs", jobs::jobs)?;
        self.gather("collection", collection::rows)?;
        self.run("counters", counters::counters)?;
        self.run("images", images::images)
    }

    /// Runs a step whose findings each compare rows of one snapshot, so that they are right whatever is
    /// written meanwhile.
    fn run(&mut self, stage: &'static str, step: Step) -> Result<(), StoreError> {
        self.now = Progress { stage, done: 0, total: 0, bytes: 0 };
        self.speak();
        match step(self) {
            Err(StoreError::Corrupt { table }) => {
                self.damage("table_unreadable", Place::STORE, format!("the table {table}"), "damaged pages");
                Ok(())
            }
            other => other,
        }
    }

    /// Runs a step that compares rows which it read at different times. While others write, its findings may
    /// be caused by their changes; then it runs again over one snapshot, and only the findings of that run
    /// count.
    fn gather(&mut self, stage: &'static str, step: Step) -> Result<(), StoreError> {
        let mark = Mark {
            checked: self.report.checked,
            problems: self.report.problems.len(),
            notes: self.report.notes.len(),
            unlisted: self.unlisted,
        };
        self.run(stage, step)?;
        let quiet = self.report.problems.len() == mark.problems && self.unlisted == mark.unlisted;
        if quiet || !self.mode.others_write || self.ended {
            return Ok(());
        }
        self.report.checked = mark.checked;
        self.report.problems.truncate(mark.problems);
        self.report.notes.truncate(mark.notes);
        self.unlisted = mark.unlisted;
        self.meta.meta().hold(|meta| {
            let mut held = Check {
                meta,
                staging: self.staging,
                blobs: self.blobs,
                mode: self.mode,
                repositories: std::mem::take(&mut self.repositories),
                last_sequence: self.last_sequence,
                last_id: self.last_id,
                report: std::mem::take(&mut self.report),
                unlisted: self.unlisted,
                progress: &mut *self.progress,
                now: self.now,
                ended: false,
            };
            let result = held.run(stage, step);
            let Check { repositories, last_sequence, last_id, report, unlisted, ended, .. } = held;
            (self.repositories, self.report) = (repositories, report);
            (self.last_sequence, self.last_id) = (last_sequence, last_id);
            (self.unlisted, self.ended) = (unlisted, ended);
            result
        })
    }

    /// Whether the caller has ended the check; later findings are discarded.
    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Adds the rows of a table to the total of this stage.
    pub(super) fn expect<K: Key, R: Row>(&mut self, table: &Table<K, R>) -> Result<(), StoreError> {
        self.now.total += self.meta.read(|tx| tx.count(table))?;
        Ok(())
    }

    /// Counts one more row or file as done.
    pub(super) fn tick(&mut self) {
        self.now.done += 1;
        if self.now.done.is_multiple_of(SPEAK_EVERY) {
            self.speak();
        }
    }

    /// Reports the progress again, during long work on one thing.
    pub(super) fn speak(&mut self) {
        self.now.bytes = self.report.checked.bytes_hashed;
        self.ended |= (self.progress)(self.now).is_break();
    }

    /// Calls `visit` with each row of a page, as [`Reader::page`] does, and reports rows that cannot be read.
    /// A visit that meets a damaged row of another table ends; that row is reported with its own table.
    pub(super) fn page<K, R>(
        &mut self,
        table: &Table<K, R>,
        pages: &mut Pages,
        mut visit: impl FnMut(&mut Self, &ReadTx, Stored<'_, K>, R) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError>
    where
        K: Key,
        R: Row,
        for<'k> Stored<'k, K>: Located,
    {
        if self.ended {
            return Ok(false);
        }
        let meta = self.meta;
        meta.page(table, pages, |tx, key, row| {
            self.tick();
            let Some(row) = row else {
                let place = place::of_row(table, &key);
                let found = match place.digest {
                    Some(_) => "other bytes".to_owned(),
                    None => format!("other bytes at {key:?}"),
                };
                self.damage("row_unreadable", place, format!("a row of the table {}", table.name()), found);
                return Ok(());
            };
            match visit(self, tx, key, row) {
                Err(StoreError::Corrupt { .. }) => Ok(()),
                other => other,
            }
        })
    }

    /// Calls `visit` with each row of a table: see [`Check::page`].
    pub(super) fn rows<K, R>(
        &mut self,
        table: &Table<K, R>,
        mut visit: impl FnMut(&mut Self, &ReadTx, Stored<'_, K>, R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>
    where
        K: Key,
        R: Row,
        for<'k> Stored<'k, K>: Located,
    {
        let mut pages = Pages::all();
        while self.page(table, &mut pages, &mut visit)? {}
        Ok(())
    }

    /// Reports that content which was pushed is lost or cannot be read.
    pub(super) fn damage(
        &mut self,
        kind: &'static str,
        place: Place<'_>,
        expected: impl Display,
        found: impl Display,
    ) {
        self.problem(kind, Severity::Damage, place, &expected, &found);
    }

    /// Reports that rows contradict each other.
    pub(super) fn inconsistency(
        &mut self,
        kind: &'static str,
        place: Place<'_>,
        expected: impl Display,
        found: impl Display,
    ) {
        self.problem(kind, Severity::Inconsistency, place, &expected, &found);
    }

    fn problem(
        &mut self,
        kind: &'static str,
        severity: Severity,
        place: Place<'_>,
        expected: &dyn Display,
        found: &dyn Display,
    ) {
        if self.report.problems.len() == MAX_PROBLEMS {
            self.unlisted += 1;
            return;
        }
        let name = |id: u64| match self.repositories.get(&id) {
            Some(Some(name)) => name.clone(),
            _ => format!("number {id}"),
        };
        self.report.problems.push(Finding {
            kind,
            severity,
            repository: place.repository.map(name),
            digest: place.digest.map(Place::digest_text),
            images: Vec::new(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    /// Adds a remark that is not a problem.
    pub(super) fn note(&mut self, text: String) {
        self.report.notes.push(text);
    }
}

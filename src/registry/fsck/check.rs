//! The check under way: its steps, and what they have in common.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::place::{Located, Place};
use super::report::{Problem, Progress, Report, Severity};
use super::{blobs, counters, files, links, manifests, repositories, tags, totals};
use crate::store::blob::BlobStore;
use crate::store::meta::{Key, Meta, Pages, ReadTx, Row, StoreError, Table};

/// Problems that are listed. A store that lost its blobs has millions, and nobody reads them.
const MAX_PROBLEMS: usize = 10_000;
/// Rows between two words about the progress.
const SPEAK_EVERY: u64 = 1_000;

/// Looks at everything in the store and says what is not as it should be. With `deep` every blob is read and hashed,
/// else only manifests are. It changes nothing, and expects that nobody else does meanwhile.
pub fn check(
    meta: &Meta,
    blobs: &dyn BlobStore,
    deep: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, StoreError> {
    let mut check = Check {
        meta,
        blobs,
        deep,
        repositories: BTreeMap::new(),
        last_sequence: 0,
        last_id: 0,
        report: Report::default(),
        unlisted: 0,
        progress,
        now: Progress { stage: "", done: 0, total: 0 },
    };
    check.run("projects", repositories::projects)?;
    check.run("repositories", repositories::repositories)?;
    check.run("manifests", manifests::bodies)?;
    check.run("manifests", manifests::rows)?;
    check.run("manifests", manifests::indexes)?;
    check.run("tags", tags::tags)?;
    check.run("links", links::links)?;
    check.run("links", links::indexes)?;
    check.run("blobs", blobs::blobs)?;
    check.run("files", files::blobs)?;
    check.run("uploads", files::uploads)?;
    check.run("usage", totals::usage)?;
    check.run("counters", counters::counters)?;
    if check.unlisted > 0 {
        check.note(format!("{} more problems are not listed", check.unlisted));
    }
    Ok(check.report)
}

/// What the steps share.
pub(super) struct Check<'a> {
    pub(super) meta: &'a Meta,
    pub(super) blobs: &'a dyn BlobStore,
    pub(super) deep: bool,
    /// Every repository's name, and the number of each that only other rows speak of.
    pub(super) repositories: BTreeMap<u64, Option<String>>,
    /// The highest sequence number met.
    pub(super) last_sequence: u64,
    /// The highest id met.
    pub(super) last_id: u64,
    pub(super) report: Report,
    unlisted: u64,
    progress: &'a mut dyn FnMut(Progress),
    now: Progress,
}

impl Check<'_> {
    fn run(
        &mut self,
        stage: &'static str,
        step: fn(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.now = Progress { stage, done: 0, total: 0 };
        (self.progress)(self.now);
        match step(self) {
            Err(StoreError::Corrupt { table }) => {
                self.damage("table_unreadable", Place::STORE, format!("the table {table}"), "damaged pages");
                Ok(())
            }
            other => other,
        }
    }

    /// Adds the rows of a table to what this stage has to do.
    pub(super) fn expect<K: Key, R: Row>(&mut self, table: &Table<K, R>) -> Result<(), StoreError> {
        self.now.total += self.meta.read_blocking(|tx| tx.count(table))?;
        Ok(())
    }

    /// One more row or file is done.
    pub(super) fn tick(&mut self) {
        self.now.done += 1;
        if self.now.done.is_multiple_of(SPEAK_EVERY) {
            (self.progress)(self.now);
        }
    }

    /// Says again how far the check is: during long work on one thing.
    pub(super) fn speak(&mut self) {
        (self.progress)(self.now);
    }

    /// Calls `visit` with each row of a page, as [`Meta::page`] does, and reports those that cannot be read. A visit
    /// that meets a damaged row of another table ends: that row is reported with its own table.
    pub(super) fn page<K, R>(
        &mut self,
        table: &Table<K, R>,
        pages: &mut Pages,
        mut visit: impl FnMut(&mut Self, &ReadTx, K::SelfType<'_>, R) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError>
    where
        K: Key,
        R: Row,
        for<'k> K::SelfType<'k>: Located,
    {
        let meta = self.meta;
        meta.page(table, pages, |tx, key, row| {
            self.tick();
            let Some(row) = row else {
                let place = key.place();
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
        mut visit: impl FnMut(&mut Self, &ReadTx, K::SelfType<'_>, R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>
    where
        K: Key,
        R: Row,
        for<'k> K::SelfType<'k>: Located,
    {
        let mut pages = Pages::all();
        while self.page(table, &mut pages, &mut visit)? {}
        Ok(())
    }

    /// Reports that something which was pushed is lost or cannot be read.
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
        self.report.problems.push(Problem {
            kind,
            severity,
            repository: place.repository.map(name),
            digest: place.digest.map(Place::digest_text),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    /// Says something that is worth knowing and not wrong.
    pub(super) fn note(&mut self, text: String) {
        self.report.notes.push(text);
    }
}

//! The report of a check, by a server or by this process, and what to do about it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::finding::{Remedy, ShownFinding};
use crate::cli::errors::{Exit, Failure};
use crate::cli::output::size;
use crate::cli::terminal;
use crate::cli::visible::one_line;
use crate::cli::words::counted;
use crate::wire::{self, Checked, Finding, Severity};

/// The most images that the error in JSON output names; its problems name all of them.
const IN_ERROR: usize = 20;

/// A report.
pub(in crate::cli) struct Report {
    /// `None` if the database cannot be read at all.
    checked: Option<Checked>,
    problems: Vec<Finding>,
    notes: Vec<String>,
    /// The whole report for programs, with fields that a later server has added.
    document: Value,
}

/// How a report is shown as text.
#[derive(Clone, Copy, Default)]
pub(in crate::cli) struct View {
    /// The columns of the terminal, if it is one.
    pub(in crate::cli) width: Option<usize>,
    /// Whether to show every field of every problem.
    pub(in crate::cli) in_full: bool,
}

impl From<wire::Report> for Report {
    fn from(report: wire::Report) -> Self {
        let document = json!(report);
        Self::new(report, document)
    }
}

impl Report {
    /// A report, and the document that contained it.
    pub(in crate::cli) fn new(report: wire::Report, document: Value) -> Self {
        let wire::Report { checked, problems, notes } = report;
        Self { checked: Some(checked), problems, notes, document }
    }

    /// The report for a database that cannot be read at all.
    pub(super) fn of_damaged_database(found: &str) -> Self {
        let problem = Finding {
            kind: "database".to_owned(),
            severity: Severity::Damage.to_string(),
            expected: "an intact database".to_owned(),
            found: found.to_owned(),
            ..Finding::default()
        };
        let document = json!({"checked": {}, "problems": [problem], "notes": []});
        Self { checked: None, problems: vec![problem], notes: Vec::new(), document }
    }

    /// Whether it has no problem.
    pub(in crate::cli) const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The report in JSON.
    pub(in crate::cli) const fn data(&self) -> &Value {
        &self.document
    }

    /// The problems as the error in JSON output; `None` if there are none.
    pub(in crate::cli) fn failure(&self) -> Option<Failure> {
        if self.is_clean() {
            return None;
        }
        let what = format!("the check found {}", self.total());
        let kinds: BTreeSet<&str> = self.problems().map(ShownFinding::kind).collect();
        let failure = Failure::new(Exit::Integrity, "PROBLEMS_FOUND", what)
            .line("kinds", kinds.into_iter().collect::<Vec<_>>().join(", "));
        let images = self.images();
        let shown: Vec<&str> = images.iter().take(IN_ERROR).copied().collect();
        let failure = match images.len().saturating_sub(IN_ERROR) {
            _ if images.is_empty() => failure,
            0 => failure.fix(format!("push these images again: {}", shown.join(", "))),
            more => failure.fix(format!("push these images again: {} and {more} more", shown.join(", "))),
        };
        Some(self.remedies().into_iter().fold(failure, |failure, remedy| failure.fix(remedy.text())))
    }

    /// The report as text; `complete` adds to a command the flags that select this store.
    pub(in crate::cli) fn text(&self, view: View, complete: &dyn Fn(&str) -> String) -> String {
        let mut lines = Vec::new();
        lines.extend(self.checked.as_ref().map(|checked| format!("checked: {}", looked_at(checked))));
        lines.extend(self.notes.iter().map(|note| format!("note: {}", one_line(note))));
        if self.is_clean() {
            lines.push("no problem found".to_owned());
            return lines.join("\n");
        }
        lines.extend(self.problem_lines(view, complete));
        lines.push(self.total());
        lines.join("\n")
    }

    /// The problems as a table, the images to push again, and what else to do.
    fn problem_lines(&self, view: View, complete: &dyn Fn(&str) -> String) -> Vec<String> {
        let mut lines = vec![self.table(view)];
        let images = self.images();
        if !images.is_empty() {
            lines.push("push these images again:".to_owned());
            lines.extend(images.into_iter().map(|image| format!("  {}", one_line(image))));
        }
        lines.extend(self.remedies().into_iter().map(|remedy| format!("next: {}", complete(remedy.text()))));
        lines
    }

    fn problems(&self) -> impl Iterator<Item = ShownFinding<'_>> {
        self.problems.iter().map(ShownFinding)
    }

    fn total(&self) -> String {
        counted(self.problems.len() as u64, "problem", "problems")
    }

    fn table(&self, view: View) -> String {
        if view.in_full {
            let headings = ["SEVERITY", "KIND", "REPOSITORY", "IMAGES", "DIGEST", "EXPECTED", "FOUND"];
            let rows: Vec<Vec<String>> = self.problems().map(ShownFinding::in_full).collect();
            return terminal::table(&headings, &rows, None);
        }
        let short = view.width.is_some();
        let rows: Vec<Vec<String>> = self.problems().map(|problem| problem.row(short)).collect();
        if rows.iter().all(|row| row.iter().take(2).all(String::is_empty)) {
            let problems: Vec<Vec<String>> = rows.into_iter().map(|mut row| row.split_off(2)).collect();
            return terminal::table(&["PROBLEM"], &problems, view.width);
        }
        terminal::table(&["IMAGE", "DIGEST", "PROBLEM"], &rows, view.width)
    }

    /// Every image that needs damaged content.
    fn images(&self) -> BTreeSet<&str> {
        self.problems.iter().flat_map(|problem| ShownFinding(problem).images()).collect()
    }

    /// What else to do, each remedy once.
    fn remedies(&self) -> BTreeSet<Remedy> {
        self.problems().filter_map(ShownFinding::remedy).collect()
    }
}

/// Damage that a scrub has found, in lines: see [`Report::text`].
pub(in crate::cli) fn damage(
    problems: Vec<Finding>,
    view: View,
    complete: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let report = Report { checked: None, problems, notes: Vec::new(), document: Value::Null };
    report.problem_lines(view, complete)
}

/// What was checked: `2 repositories, 10 blobs, 1.2 GiB read`.
fn looked_at(checked: &Checked) -> String {
    let mut parts = vec![
        counted(checked.repositories, "repository", "repositories"),
        counted(checked.tags, "tag", "tags"),
        counted(checked.manifests, "manifest", "manifests"),
        counted(checked.blobs, "blob", "blobs"),
        counted(checked.uploads, "unfinished upload", "unfinished uploads"),
        format!("{} read", size(checked.bytes_hashed)),
    ];
    if checked.unused_blobs > 0 {
        let (blobs, bytes) = (counted(checked.unused_blobs, "blob", "blobs"), size(checked.unused_bytes));
        parts.push(format!("{blobs} without a manifest ({bytes})"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(problems: Vec<Finding>) -> Report {
        let checked = Checked {
            blobs: 10,
            repositories: 1,
            bytes_hashed: 1536,
            unused_blobs: 1,
            unused_bytes: 1024,
            ..Checked::default()
        };
        let notes = vec!["1 deleted repository still has tag history".to_owned()];
        Report::from(wire::Report { checked, problems, notes })
    }

    const CHECKED: &str = "checked: 1 repository, 0 tags, 0 manifests, 10 blobs, 0 unfinished uploads, 1.5 KiB read, \
                           1 blob without a manifest (1 KiB)\n\
                           note: 1 deleted repository still has tag history\n";

    #[test]
    fn a_clean_store_has_no_problem() {
        assert_eq!(
            report(Vec::new()).text(View::default(), &str::to_owned),
            format!("{CHECKED}no problem found")
        );
        assert_eq!(report(Vec::new()).failure(), None);
    }

    #[test]
    fn problems_name_the_image_and_what_to_do() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let problems = json!([
            {"severity": "damage", "kind": "blob_file_missing", "repository": null, "digest": digest,
             "images": ["team/app:1", "team/app:2", "team/other:1"], "expected": "7 bytes", "found": "no file"},
            {"severity": "inconsistency", "kind": "tag_row", "repository": "team/app", "digest": null,
             "images": [], "expected": "a row", "found": "none"},
        ]);
        let report = report(serde_json::from_value(problems.clone()).unwrap());
        let view = View { width: Some(70), in_full: false };
        let (blank, more) = (" ".repeat(28), " ".repeat(37));
        assert_eq!(
            report.text(view, &str::to_owned),
            format!(
                "{CHECKED}\
                 IMAGE                  DIGEST        PROBLEM\n\
                 team/app:1 and 2 more  abababababab  the file of the blob is missing\n\
                 team/app {blank}tag row: expected a row, found\n{more}none\n\
                 push these images again:\n  team/app:1\n  team/app:2\n  team/other:1\n\
                 next: recover the metadata from a dump: stowage rebuild --into NEW-DIR\n\
                 2 problems"
            )
        );
        assert!(report.text(View::default(), &str::to_owned).contains(&digest), "a pipe gets everything");
        let text = Report::of_damaged_database("the file is empty").text(view, &str::to_owned);
        assert!(text.starts_with("PROBLEM\nthe database cannot be used: the file is empty\n"), "{text}");
        let in_full = report.text(View { width: None, in_full: true }, &str::to_owned);
        assert!(in_full.contains("damage         blob_file_missing"), "{in_full}");
        let failure = report.failure().unwrap();
        assert_eq!(
            (failure.what.as_str(), failure.code.as_str()),
            ("the check found 2 problems", "PROBLEMS_FOUND")
        );
        assert_eq!(failure.reasons(), "kinds: blob_file_missing, tag_row");
        assert_eq!(
            failure.fixes().collect::<Vec<_>>(),
            [
                "push these images again: team/app:1, team/app:2, team/other:1",
                "recover the metadata from a dump: stowage rebuild --into NEW-DIR"
            ]
        );
        assert_eq!(report.data()["problems"], problems);
    }
}

//! Failures of commands: what, where, why, and what to do; and the exit code.

mod complete;
mod config;
mod listen;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(super) use self::complete::Typed;
pub(super) use self::store::refuse_stranger;

use super::visible::one_line;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Exit {
    /// Success, or nothing to do.
    Done,
    /// A failure without a code of its own.
    Failed,
    /// Wrong usage; clap uses the same code.
    Usage,
    /// The configuration or the stored data is invalid or has an unknown format.
    Configuration,
    /// The server cannot be reached, or not by this user.
    Unreachable,
    /// The named thing does not exist.
    NotFound,
    /// A rule or a missing permission forbids it.
    Refused,
    /// Something stored is damaged or missing.
    Integrity,
    /// Only a part was done; the message says what is left, and running the command again continues.
    Partly,
    /// Another process has the store open.
    InUse,
    /// A dry run has found something to do, and `--exit-code` was given.
    SomethingToDo,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl Exit {
    /// The exit code for the shell.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Unreachable => 4,
            Self::NotFound => 5,
            Self::Refused => 6,
            Self::Integrity => 7,
            Self::Partly => 8,
            Self::InUse => 9,
            Self::SomethingToDo => 10,
            Self::Interrupted => 130,
        }
    }
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// A code for programs; it never changes.
    pub(super) code: String,
    /// What failed: lower case, no full stop.
    pub(super) what: String,
    /// Where, why and what to do: each line with a label of at most six letters. Lines without a label are
    /// printed unchanged.
    pub(super) lines: Vec<(String, String)>,
}

const WHY: &str = "why";
const FIX: &str = "fix";

impl Failure {
    pub(super) fn new(exit: Exit, code: &str, what: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), what: what.into(), lines: Vec::new() }
    }

    /// Adds a labelled line.
    #[must_use]
    pub(super) fn line(mut self, label: &str, text: impl Into<String>) -> Self {
        self.lines.push((label.to_owned(), text.into()));
        self
    }

    /// Adds a labelled line before the fixes, which stay last.
    #[must_use]
    pub(super) fn context(mut self, label: &str, text: impl Into<String>) -> Self {
        let at = self.lines.iter().position(|(label, _)| label == FIX).unwrap_or(self.lines.len());
        self.lines.insert(at, (label.to_owned(), text.into()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub(super) fn because(self, why: impl Into<String>) -> Self {
        self.line(WHY, why)
    }

    /// Adds a fix.
    #[must_use]
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        self.line(FIX, fix)
    }

    /// Adds a fix before the others.
    #[must_use]
    pub(super) fn first_fix(mut self, fix: impl Into<String>) -> Self {
        let at = self.lines.iter().position(|(label, _)| label == FIX).unwrap_or(self.lines.len());
        self.lines.insert(at, (FIX.to_owned(), fix.into()));
        self
    }

    /// The cause, if known.
    pub(super) fn why(&self) -> Option<&str> {
        self.lines.iter().find(|(label, _)| label == WHY).map(|(_, text)| text.as_str())
    }

    /// The fixes.
    pub(super) fn fixes(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|(label, _)| label == FIX).map(|(_, text)| text.as_str())
    }

    /// The fixes as one text.
    pub(super) fn all_fixes(&self) -> String {
        self.fixes().collect::<Vec<_>>().join("; ")
    }

    /// Everything else on one line: an excerpt that is drawn for a terminal is put into words.
    pub(super) fn reasons(&self) -> String {
        let others = self.lines.iter().filter(|(label, _)| label != FIX);
        let line = |(label, text): &(String, String)| {
            if label.is_empty() { in_words(text) } else { format!("{label}: {text}") }
        };
        others.map(line).collect::<Vec<_>>().join("; ")
    }
}

/// An excerpt of a file without its drawing: `line 12: what is wrong`.
fn in_words(picture: &str) -> String {
    let place = picture.lines().next().and_then(|line| line.trim().strip_prefix("--> ")?.split(',').next());
    let message = picture.lines().last().and_then(|line| line.rsplit_once("^ ")).map(|(_, message)| message);
    match (place, message) {
        (Some(place), Some(message)) => format!("{place}: {message}"),
        _ => picture.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", one_line(&self.what))?;
        let mut last = "";
        for (label, whole) in &self.lines {
            let text = one_line(whole);
            match label.as_str() {
                // An excerpt of a local file has several lines.
                "" => write!(f, "\n{whole}")?,
                // Further fixes are aligned below the first one.
                FIX if last == FIX => write!(f, "\n         {text}")?,
                label => write!(f, "\n  {:<7}{text}", format!("{label}:"))?,
            }
            last = label;
        }
        Ok(())
    }
}

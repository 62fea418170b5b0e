//! What every command says when it fails: what, where, why, and what to do; and the exit code that goes with
//! it.

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
    /// Done, or nothing to do.
    Done,
    /// Failed in a way that has no code of its own.
    Failed,
    /// Wrong usage; clap uses the same.
    Usage,
    /// The configuration, or what is stored, is not for this version.
    Configuration,
    /// The server cannot be reached, or not by this user.
    Unreachable,
    /// What was named is not there.
    NotFound,
    /// A rule or a right says no.
    Refused,
    /// Something stored is damaged or missing.
    Integrity,
    /// Some of it is done; what is left is said, and running it again goes on.
    Partly,
    /// Another process has the store.
    InUse,
    /// A dry run has found something to do, and `--exit-code` was given.
    SomethingToDo,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number for the shell.
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
    /// A name for programs; it never changes.
    pub(super) code: String,
    /// What failed: lower case, no full stop.
    pub(super) what: String,
    /// Where, why and what to do: a label of at most six letters, and a line. Without a label: lines as they
    /// are.
    pub(super) lines: Vec<(String, String)>,
}

const WHY: &str = "why";
const FIX: &str = "fix";

impl Failure {
    pub(super) fn new(exit: Exit, code: &str, what: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), what: what.into(), lines: Vec::new() }
    }

    /// Adds where it happened.
    #[must_use]
    pub(super) fn line(mut self, label: &str, text: impl Into<String>) -> Self {
        self.lines.push((label.to_owned(), text.into()));
        self
    }

    /// Adds where it happened to a failure that has its remedies already: they stay last.
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

    /// Adds a way to put it right.
    #[must_use]
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        self.line(FIX, fix)
    }

    /// Adds a way to put it right before the others.
    #[must_use]
    pub(super) fn first_fix(mut self, fix: impl Into<String>) -> Self {
        let at = self.lines.iter().position(|(label, _)| label == FIX).unwrap_or(self.lines.len());
        self.lines.insert(at, (FIX.to_owned(), fix.into()));
        self
    }

    /// The cause, when it is known.
    pub(super) fn why(&self) -> Option<&str> {
        self.lines.iter().find(|(label, _)| label == WHY).map(|(_, text)| text.as_str())
    }

    /// The ways to put it right.
    pub(super) fn fixes(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|(label, _)| label == FIX).map(|(_, text)| text.as_str())
    }

    /// The ways to put it right, for one text.
    pub(super) fn all_fixes(&self) -> String {
        self.fixes().collect::<Vec<_>>().join("; ")
    }

    /// Everything else, on one line: what is drawn for a terminal is told in words.
    pub(super) fn reasons(&self) -> String {
        let others = self.lines.iter().filter(|(label, _)| label != FIX);
        let line = |(label, text): &(String, String)| {
            if label.is_empty() { in_words(text) } else { format!("{label}: {text}") }
        };
        others.map(line).collect::<Vec<_>>().join("; ")
    }
}

/// A picture of a place in a file without its drawing: `line 12: what is wrong`.
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
                // The picture of a place in a file of this computer has lines of its own.
                "" => write!(f, "\n{whole}")?,
                // The second way to put something right stands below the first.
                FIX if last == FIX => write!(f, "\n         {text}")?,
                label => write!(f, "\n  {:<7}{text}", format!("{label}:"))?,
            }
            last = label;
        }
        Ok(())
    }
}

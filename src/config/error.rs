//! Errors in a configuration, each with its place and its fix.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use super::check::SettingProblem;
use super::loaded::Source;
use super::variables::VariableProblem;

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has an unknown key or a value that is not valid.
    #[error("{} is not valid", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, in the order of its lines; never empty.
        problems: Vec<FileProblem>,
    },
    /// The environment has an unknown variable or a value that is not valid.
    #[error("the environment is not valid")]
    Environment {
        /// What is wrong in it; never empty.
        problems: Vec<VariableProblem>,
    },
    /// The layers are valid one by one, but not merged. This is a defect of Stowage.
    #[error("the configuration cannot be merged: {0}")]
    Merge(Box<figment::Error>),
    /// Values are not safe.
    #[error("the configuration is not valid")]
    Values {
        /// What is wrong, and where it came from; never empty.
        problems: Vec<(SettingProblem, Source)>,
    },
}

/// What is wrong at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The line as it is in the file.
    pub text: String,
    /// How many characters are marked.
    pub length: usize,
    /// What is wrong with them.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
}

impl FileProblem {
    /// The problem at `span` of `source`.
    pub(super) fn at(source: &str, span: std::ops::Range<usize>, message: String, fix: String) -> Self {
        let start = source.floor_char_boundary(span.start);
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let text = source[line_start..].lines().next().unwrap_or("");
        let shown = without_secret(text);
        let before = start - line_start;
        let end = source.floor_char_boundary(span.end.max(start)).min(line_start + text.len());
        let column = source[line_start..start].chars().count() + 1;
        let length = text.get(before..end - line_start).map_or(1, |marked| marked.chars().count());
        Self {
            line: source[..line_start].matches('\n').count() + 1,
            column,
            // Not even the length of a secret is shown.
            length: length.min((shown.chars().count() + 1).saturating_sub(column)).max(1),
            text: shown.replace(char::is_control, " "),
            message,
            fix,
        }
    }

    /// The place, and the line with a mark under what is wrong.
    pub fn excerpt(&self) -> String {
        let mut excerpt =
            format!("  --> line {}, column {}\n{:>5} | {}\n", self.line, self.column, self.line, self.text);
        let (indent, mark) = (" ".repeat(self.column - 1), "^".repeat(self.length));
        let _ = write!(excerpt, "      | {indent}{mark} {}", self.message);
        excerpt
    }
}

/// The line, without the value if the key sounds like a secret. No setting is a secret (secrets are in
/// files); but one that was written anyway must not reach a log.
fn without_secret(line: &str) -> Cow<'_, str> {
    let Some((key, _)) = line.split_once('=') else { return Cow::Borrowed(line) };
    let name = key.trim().to_ascii_lowercase();
    let is_secret = ["password", "secret", "token"].iter().any(|word| name.contains(word));
    if is_secret && !name.ends_with("_file") && !name.ends_with("_ttl") && !name.ends_with("_tokens") {
        Cow::Owned(format!("{key}= ..."))
    } else {
        Cow::Borrowed(line)
    }
}

//! The only module of the command line that writes: results to stdout, everything else to stderr.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::{Value, json};

use super::errors::{Exit, Failure};
use super::global::GLOBAL;
use super::terminal;
use super::visible::{one_line, visible};
use crate::config::SettingProblem;
use crate::model::units::human_size;

/// The version of the documents that `--json` prints: fields may be added, and are never renamed.
const SCHEMA: &str = "stowage.cli/v1";

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Human,
    /// For people, with everything in full
    Wide,
    /// One JSON document, also on failure
    Json,
    /// A JSON object a line: progress, then the result
    Ndjson,
}

/// The flags that say how a command writes.
#[derive(Clone, Copy, Default, clap::Args)]
pub(super) struct Form {
    /// Print one JSON document: the same as `-o json`
    #[arg(long, global = true, conflicts_with = "output", help_heading = GLOBAL)]
    json: bool,
    /// Output for people (human, or wide with all details) or for programs (json: one document, also on
    /// failure; ndjson: progress and the result, one object a line)
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human",
        hide_possible_values = true,
        help_heading = GLOBAL
    )]
    output: Format,
}

impl Form {
    /// The format chosen by the flags.
    pub(super) const fn format(self) -> Format {
        match self.output {
            _ if self.json => Format::Json,
            Format::Wide => Format::Human,
            format => format,
        }
    }

    /// Whether text output has all details.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self.output, Format::Wide) && !self.json
    }
}

/// The format that an unparsable command line asks for.
pub(super) fn format_of(arguments: impl Iterator<Item = String>) -> Format {
    let arguments: Vec<String> = arguments.collect();
    let value = |name: &str| {
        let after =
            arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        let joined = arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        joined.map(str::to_owned).or_else(|| after.cloned())
    };
    let is = |wanted: &str| ["-o", "--output"].iter().any(|name| value(name).as_deref() == Some(wanted));
    if arguments.iter().any(|argument| argument == "--json") || is("json") {
        Format::Json
    } else if is("ndjson") {
        Format::Ndjson
    } else {
        Format::Human
    }
}

/// Writes the result of a command. `problem` is what it has found to be wrong, for programs; `text` includes
/// it for people.
pub(super) fn result(
    format: Format,
    command: &str,
    problem: Option<&Failure>,
    data: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    with_warnings(format, command, problem, &[], data, text)
}

/// The same with warnings, which go to stderr in text output.
pub(super) fn with_warnings(
    format: Format,
    command: &str,
    problem: Option<&Failure>,
    warnings: &[SettingProblem],
    data: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let document = || {
        let told = |SettingProblem { key, message, fix }: &SettingProblem| match fix.as_str() {
            "" => format!("{key}: {message}"),
            fix => format!("{key}: {message}; {fix}"),
        };
        let warnings: Vec<String> = warnings.iter().map(told).collect();
        let ok = problem.is_none();
        let mut document =
            json!({"schema": SCHEMA, "command": command, "ok": ok, "data": data, "warnings": warnings});
        if let Some(problem) = problem {
            document["error"] = error_object(problem);
        }
        document
    };
    match format {
        Format::Human | Format::Wide => {
            for SettingProblem { key, message, fix } in warnings {
                let fix = if fix.is_empty() { String::new() } else { format!("\n  fix:   {fix}") };
                note(&format!("warning: {key}: {message}{fix}"));
            }
            print(&text())
        }
        Format::Json | Format::Ndjson => print(&in_format(format, document()).to_string()),
    }
}

/// Writes the failure of a command.
pub(super) fn failure(format: Format, command: &str, failure: &Failure) {
    match format {
        Format::Human | Format::Wide => note(&failure.to_string()),
        // If stdout cannot be written to, only the exit code reports the failure.
        Format::Json | Format::Ndjson => {
            let _ = print(&in_format(format, failure_document(command, failure)).to_string());
        }
    }
}

/// With several objects in a row, each object has its type.
fn in_format(format: Format, mut document: Value) -> Value {
    if format == Format::Ndjson {
        document["event"] = Value::from("result");
    }
    document
}

/// Writes a result to stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", visible(text)).and_then(|()| stdout.flush()) {
        // The reader has closed its end: it has read enough, which is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(Failure::new(Exit::Failed, "OUTPUT", "cannot write to stdout").because(error.to_string()))
        }
        Ok(()) => Ok(()),
    }
}

/// Writes a note to stderr, on lines of its own.
pub(super) fn note(text: &str) {
    write_note(&format!("{}\n", visible(text)));
}

/// Writes to stderr unchanged: text from elsewhere must be escaped before. An error has no place where it
/// could be reported.
pub(super) fn write_note(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

fn failure_document(command: &str, failure: &Failure) -> Value {
    let error = error_object(failure);
    json!({"schema": SCHEMA, "command": command, "ok": false, "error": error, "warnings": []})
}

fn error_object(failure: &Failure) -> Value {
    json!({
        "type": "about:blank",
        "title": failure.what,
        "detail": failure.reasons(),
        "code": failure.code,
        "fix": failure.fixes().collect::<Vec<_>>().join("\n"),
    })
}

/// A size for people: `412 GiB`.
pub(super) fn size(bytes: u64) -> String {
    human_size(bytes)
}

/// A digest in a list: shortened, unless all details are wanted.
pub(super) fn digest(digest: &str, in_full: bool) -> String {
    match digest.split_once(':') {
        Some((_, hex)) if !in_full => hex.chars().take(12).collect(),
        _ => digest.to_owned(),
    }
}

/// A list as a table below its headings, or `none` if it is empty. Lines have at most `width` characters, if
/// given.
pub(super) fn list<T, const N: usize>(
    entries: &[T],
    headings: [&str; N],
    width: Option<usize>,
    row: impl Fn(&T) -> [String; N],
    none: &str,
) -> String {
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry).to_vec()).collect();
    if rows.is_empty() { none.to_owned() } else { terminal::table(&headings, &rows, width) }
}

/// One thing, with a line for each of its fields.
pub(super) fn card(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let line = |(label, value): &(&str, String)| format!("{label:<width$}  {}", one_line(value));
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_on_a_command_line_that_is_wrong() {
        let format = |line: &str| format_of(line.split(' ').map(str::to_owned));
        assert_eq!(format("stowage user lst --json"), Format::Json);
        assert_eq!(format("stowage -o json user lst"), Format::Json);
        assert_eq!(format("stowage --output=ndjson user lst"), Format::Ndjson);
        assert_eq!(format("stowage user lst -o"), Format::Human);
        assert_eq!(format("stowage user lst -o human"), Format::Human);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024 + 512, "10 KiB"),
            (1 << 20, "1 MiB"),
            (412 << 30, "412 GiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_failure_is_one_document() {
        let failure = Failure::new(Exit::InUse, "STORE_IN_USE", "the data is in use")
            .line("path", "/x")
            .fix("stop it")
            .fix("or move");
        assert_eq!(
            failure_document("fsck", &failure),
            json!({
                "schema": "stowage.cli/v1",
                "command": "fsck",
                "ok": false,
                "error": {
                    "type": "about:blank",
                    "title": "the data is in use",
                    "detail": "path: /x",
                    "code": "STORE_IN_USE",
                    "fix": "stop it\nor move",
                },
                "warnings": [],
            })
        );
    }
}

//! One TOML file: parsed, compared with the known settings, and refused with line and column.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use figment::value::Dict;
use toml_edit::{Document, Item, TableLike};

use super::error::{ConfigError, FileProblem};
use super::schema::{Kind, Setting};
use super::settings::Config;
use super::{suggest, wrong};

/// What one file sets.
pub(super) struct FileLayer {
    /// The values, as nested tables.
    pub(super) values: Dict,
    /// The line of each key.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Reads and checks the file at `path`.
pub(super) fn read(path: &Path, settings: &[Setting]) -> Result<FileLayer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, settings).map_err(|problems| ConfigError::File { path: path.to_owned(), problems })
}

fn parse(text: &str, settings: &[Setting]) -> Result<FileLayer, Vec<FileProblem>> {
    let document =
        Document::parse(text).map_err(|error| vec![broken(text, error.span(), error.message(), settings)])?;
    let mut walk = Walk { text, settings, spans: Vec::new(), problems: Vec::new() };
    walk.table(document.as_table(), "");
    let Walk { mut spans, mut problems, .. } = walk;
    if !problems.is_empty() {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        return Err(problems);
    }
    // Checks the types of all values. Here the position of each value is still known.
    if let Err(error) = toml_edit::de::from_str::<Config>(text) {
        return Err(vec![type_problem(text, settings, &spans, &error)]);
    }
    let values = toml_edit::de::from_str(text)
        .map_err(|error| vec![problem(text, error.span(), error.message(), String::new())])?;
    let line = |span: Range<usize>| text[..span.start].matches('\n').count() + 1;
    let lines = spans.drain(..).map(|span| (span.key, line(span.name))).collect();
    Ok(FileLayer { values, lines })
}

/// The positions of a key and its value in the file, in bytes.
struct KeySpan {
    key: String,
    name: Range<usize>,
    value: Range<usize>,
}

struct Walk<'a> {
    text: &'a str,
    settings: &'a [Setting],
    spans: Vec<KeySpan>,
    problems: Vec<FileProblem>,
}

impl Walk<'_> {
    fn table(&mut self, table: &dyn TableLike, path: &str) {
        for (name, item) in table.iter() {
            let key = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let span = table.key(name).and_then(toml_edit::Key::span);
            let is_setting = self.settings.iter().any(|setting| setting.key == key);
            let is_table = self.settings.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
            match item.as_table_like() {
                Some(inner) if is_table => self.table(inner, &key),
                _ if is_table => self.refuse(
                    span,
                    &format!("`{key}` is a table"),
                    format!("write its keys below a line [{key}]"),
                ),
                _ if is_setting => {
                    let name = span.unwrap_or(0..0);
                    let value = item.span().unwrap_or_else(|| name.clone());
                    self.spans.push(KeySpan { key, name, value });
                }
                inner => {
                    let what = if inner.is_some() { "table" } else { "key" };
                    let number = item.as_integer();
                    self.refuse(
                        span.or_else(|| Item::span(item)),
                        &format!("unknown {what} `{name}` in {}", suggest::shown(path)),
                        suggest::for_key(self.settings, path, name, number),
                    );
                }
            }
        }
    }

    fn refuse(&mut self, span: Option<Range<usize>>, message: &str, fix: String) {
        self.problems.push(problem(self.text, span, message, fix));
    }
}

fn problem(text: &str, span: Option<Range<usize>>, message: &str, fix: String) -> FileProblem {
    // The parser's message may have several lines.
    let message = message.lines().collect::<Vec<_>>().join(", ");
    FileProblem::at(text, span.unwrap_or(0..0), message, fix)
}

/// What is wrong with a file that is not TOML.
fn broken(text: &str, span: Option<Range<usize>>, message: &str, settings: &[Setting]) -> FileProblem {
    if let Some((format, start)) = wrong::other_format(text) {
        let fix = "stowage init --print shows the form of every setting".to_owned();
        let end = text[start..].find('\n').map_or(text.len(), |end| start + end);
        return problem(text, Some(start..end), &format!("this is {format}; Stowage reads TOML"), fix);
    }
    if let Some((setting, value)) = wrong::bare_word(text, span.clone().unwrap_or(0..0).start, settings) {
        let written = &text[value.clone()];
        let message = match setting.kind {
            Kind::Switch => format!("`{written}` is neither true nor false"),
            Kind::Number => format!("`{written}` is not a whole number"),
            Kind::Text | Kind::List => format!("`{written}` needs quotes"),
        };
        return problem(text, Some(value), &message, wrong::line(setting, written));
    }
    let mut problem = problem(text, span, message, String::new());
    if message == "duplicate key" {
        problem.fix = joined(text, &problem);
    }
    problem
}

/// The fix for a table or key that the file has twice.
fn joined(text: &str, again: &FileProblem) -> String {
    let line = again.text.trim();
    let mut before = text.lines().take(again.line - 1);
    match before.position(|earlier| line.starts_with('[') && earlier.trim() == line) {
        Some(first) => format!("line {} begins {line} already: write the settings there", first + 1),
        None => "a file has each table and each key once: put the two together".to_owned(),
    }
}

fn type_problem(
    text: &str,
    settings: &[Setting],
    spans: &[KeySpan],
    error: &toml_edit::de::Error,
) -> FileProblem {
    let span = error.span().unwrap_or(0..0);
    let found = spans.iter().find(|found| found.value.start <= span.start && span.end <= found.value.end);
    let setting = found.and_then(|found| settings.iter().find(|setting| setting.key == found.key));
    let Some(setting) = setting else { return problem(text, Some(span), error.message(), String::new()) };
    let said = error.message();
    let message = format!("{}: {}", setting.key, wrong::message(setting, said));
    // An error about the type already says what to write.
    let is_type = said.starts_with("invalid type") || said.starts_with("invalid value");
    let written = text.get(span.clone()).unwrap_or_default();
    let fix = if is_type { wrong::line(setting, written) } else { String::new() };
    problem(text, Some(span), &message, fix)
}

#[cfg(test)]
mod tests;

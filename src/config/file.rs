//! One TOML file: read, compared with the settings there are, and refused with line and column.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use figment::value::Dict;
use toml_edit::Document;
use toml_edit::Item;
use toml_edit::TableLike;

use super::error::{ConfigError, FileProblem};
use super::schema::Setting;
use super::settings::Config;
use super::suggest;

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
    let document = Document::parse(text)
        .map_err(|error| vec![problem(text, error.span(), error.message(), String::new())])?;
    let mut walk = Walk { text, settings, places: Vec::new(), problems: Vec::new() };
    walk.table(document.as_table(), "");
    let Walk { mut places, mut problems, .. } = walk;
    if !problems.is_empty() {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        return Err(problems);
    }
    // The types of the structs judge every value, here where the place of each is still known.
    if let Err(error) = toml_edit::de::from_str::<Config>(text) {
        return Err(vec![type_problem(text, &places, &error)]);
    }
    let values = toml_edit::de::from_str(text)
        .map_err(|error| vec![problem(text, error.span(), error.message(), String::new())])?;
    let line = |span: Range<usize>| text[..span.start].matches('\n').count() + 1;
    let lines = places.drain(..).map(|place| (place.key, line(place.name))).collect();
    Ok(FileLayer { values, lines })
}

/// Where a key of the file is.
struct Place {
    key: String,
    name: Range<usize>,
    value: Range<usize>,
}

struct Walk<'a> {
    text: &'a str,
    settings: &'a [Setting],
    places: Vec<Place>,
    problems: Vec<FileProblem>,
}

impl Walk<'_> {
    fn table(&mut self, table: &dyn TableLike, path: &str) {
        for (name, item) in table.iter() {
            let key = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let place = table.key(name).and_then(toml_edit::Key::span);
            let is_setting = self.settings.iter().any(|setting| setting.key == key);
            let is_table = self.settings.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
            match item.as_table_like() {
                Some(inner) if is_table => self.table(inner, &key),
                _ if is_table => self.refuse(
                    place,
                    &format!("`{key}` is a table"),
                    format!("write its keys below a line  [{key}]"),
                ),
                _ if is_setting => {
                    let name = place.unwrap_or(0..0);
                    let value = item.span().unwrap_or_else(|| name.clone());
                    self.places.push(Place { key, name, value });
                }
                inner => {
                    let what = if inner.is_some() { "table" } else { "key" };
                    let number = item.as_integer();
                    self.refuse(
                        place.or_else(|| Item::span(item)),
                        &format!("unknown {what} `{name}` in {}", suggest::shown(path)),
                        suggest::for_key(self.settings, path, name, number),
                    );
                }
            }
        }
    }

    fn refuse(&mut self, place: Option<Range<usize>>, message: &str, fix: String) {
        self.problems.push(problem(self.text, place, message, fix));
    }
}

fn problem(text: &str, span: Option<Range<usize>>, message: &str, fix: String) -> FileProblem {
    // What the parser says may have several lines.
    let message = message.lines().collect::<Vec<_>>().join(", ");
    FileProblem::at(text, span.unwrap_or(0..0), message, fix)
}

fn type_problem(text: &str, places: &[Place], error: &toml_edit::de::Error) -> FileProblem {
    let span = error.span().unwrap_or(0..0);
    let place = places.iter().find(|place| place.value.start <= span.start && span.end <= place.value.end);
    let message = error.message().replace("a sequence", "a list").replace("usize", "a whole number");
    let message = place.map_or(message.clone(), |place| format!("{}: {message}", place.key));
    let written = text.get(span.clone()).unwrap_or_default();
    let fix = match place {
        Some(place) if message.ends_with("expected a list") => {
            let name = place.key.rsplit('.').next().unwrap_or_default();
            format!("write {name} = [{written}]")
        }
        _ if message.ends_with("expected a boolean") => "write true or false".to_owned(),
        _ => String::new(),
    };
    problem(text, Some(span), &message, fix)
}

#[cfg(test)]
mod tests;

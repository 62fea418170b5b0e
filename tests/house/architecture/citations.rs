//! Whether the pages, sources and decisions that are cited exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{assert_none, everything};

/// The top-level folders of sources, by which a path of a source is recognised.
const FOLDERS: [&str; 4] = ["src/", "tests/", "benches/", "fuzz/"];

/// The pages and sources that a text names: words that end with `.md`, and paths that end with `.rs`.
fn files_in(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    line.split(move |c: char| !is_part(c))
        .map(|word| word.trim_end_matches('.').trim_start_matches('/'))
        .filter(|word| match word.rsplit_once('.') {
            Some((name, "md")) => !name.is_empty(),
            Some((_, "rs")) => FOLDERS.iter().any(|folder| word.starts_with(folder)),
            _ => false,
        })
}

/// Files of the repository that people read, with their text.
fn pages_and_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<(String, String)> = everything().map(|(path, source)| (path, source.text)).collect();
    let mut others =
        vec!["Cargo.toml".into(), "clippy.toml".into(), "deny.toml".into(), "fuzz/README.md".into()];
    for (directory, extension) in
        [(".", "md"), ("docs", "md"), ("tests/interop", "sh"), ("tests/hostile", "sh")]
    {
        let Ok(entries) = fs::read_dir(root.join(directory)) else { continue };
        let paths = entries.map(|entry| entry.expect("a readable entry").path());
        let wanted = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
        others.extend(wanted.map(|path| path.strip_prefix(root).expect("a path below the root").to_owned()));
    }
    for path in others {
        let text = fs::read_to_string(root.join(&path)).expect("a readable page");
        found.push((path.display().to_string(), text));
    }
    found
}

/// A file is named by its path from the root; a page also by its path from the page that names it.
#[test]
fn every_page_and_source_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for (path, text) in pages_and_sources() {
        let beside = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        let is_page = Path::new(&path).extension().is_some_and(|extension| extension == "md");
        for (number, line) in text.lines().enumerate() {
            for page in files_in(line) {
                let exists = root.join(page).is_file() || is_page && root.join(&beside).join(page).is_file();
                if !exists {
                    problems.push(format!("{path}:{}: there is no file {page}", number + 1));
                }
            }
        }
    }
    assert_none(&problems);
}

/// A section of `docs/decisions.md` is cited by its heading: `docs/decisions.md, "Two clocks"`.
#[test]
fn every_decision_that_is_cited_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions.md");
    let page = fs::read_to_string(page).expect("a readable page");
    let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut problems = Vec::new();
    for (path, source) in everything() {
        // A citation may be wrapped, so the lines of a comment are joined.
        let lines = source.text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!']).trim());
        let text = lines.collect::<Vec<_>>().join(" ");
        for (at, found) in text.match_indices("docs/decisions.md, \"") {
            let cited = text[at + found.len()..].split('"').next().unwrap_or_default();
            // This test has the beginning of a citation in its own code.
            if !headings.contains(cited) && !path.ends_with("citations.rs") {
                problems.push(format!("{path}: docs/decisions.md has no section {cited:?}"));
            }
        }
    }
    assert_none(&problems);
}

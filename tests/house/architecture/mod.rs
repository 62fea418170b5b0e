//! The rules for sources that a review cannot check reliably: which module imports which, which may name redb
//! or create grants, how long a file and a function may be, how wide a comment, which files import each other
//! in a circle, how imports are written, and whether cited files exist.

mod circles;
mod citations;
mod imports;
mod sizes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every top-level module, the lowest first, with the modules right below it. It may import from these, and
/// from everything below them.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("config", &["model"]),
    ("telemetry", &["config"]),
    ("limits", &["config"]),
    ("store", &["telemetry"]),
    ("access", &["limits", "store"]),
    ("auth", &["access"]),
    ("people", &["auth"]),
    ("registry", &["wire", "access"]),
    ("lifecycle", &["people", "registry"]),
    ("transfer", &["people", "registry"]),
    ("app", &["lifecycle", "transfer"]),
    ("http", &["wire", "app"]),
    ("server", &["http"]),
    ("cli", &["server"]),
];

/// Every module below a module; `None` for one that is not in [`FLOORS`].
fn below(module: &str) -> Option<BTreeSet<&'static str>> {
    let (_, next) = FLOORS.iter().find(|(name, _)| *name == module)?;
    let mut all: BTreeSet<&str> = next.iter().copied().collect();
    all.extend(next.iter().filter_map(|name| below(name)).flatten());
    Some(all)
}

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

/// The sources of the crate.
fn sources() -> Vec<Source> {
    sources_below("src")
}

fn sources_below(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut found = Vec::new();
    collect(&root, &mut found);
    let sources = found.into_iter().map(|path| {
        let inside = path.strip_prefix(&root).expect("a path below the root");
        let first =
            inside.components().next().expect("a file has a name").as_os_str().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a readable source");
        Source { module: first.trim_end_matches(".rs").to_owned(), path: inside.to_owned(), text }
    });
    sources.collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

/// The lines without those that are comments, with their numbers.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(number, line)| (number + 1, line))
}

/// The modules of this crate that a line names as `crate::module`.
fn imports(line: &str) -> BTreeSet<&str> {
    let word =
        |rest: &'_ str| rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    line.match_indices("crate::")
        .map(|(at, found)| &line[at + found.len()..])
        .map(|rest| &rest[..word(rest)])
        .collect()
}

/// The sources, tests and benchmarks, each with the path of its folder.
fn everything() -> impl Iterator<Item = (String, Source)> {
    ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"].into_iter().flat_map(|directory| {
        let named = move |source: Source| (format!("{directory}/{}", source.path.display()), source);
        sources_below(directory).into_iter().map(named)
    })
}

fn is_test(source: &Source) -> bool {
    source.path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn a_module_imports_only_from_the_floors_below_it() {
    let mut problems = Vec::new();
    for source in sources() {
        if source.module == "lib" || source.module == "main" {
            continue;
        }
        let Some(allowed) = below(&source.module) else {
            problems.push(format!("src/{}: a module without a floor", source.path.display()));
            continue;
        };
        for (number, line) in code(&source) {
            if line.contains("crate::{") {
                problems.push(format!("src/{}:{number}: one `use` for each module", source.path.display()));
            }
            for import in imports(line) {
                let own = import == source.module;
                if !own && !allowed.contains(import) && below(import).is_some() {
                    let path = source.path.display();
                    problems.push(format!("src/{path}:{number}: {} may not import {import}", source.module));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn only_the_metadata_store_names_redb() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("store/meta")) {
        for (number, line) in code(source) {
            if line.contains("redb::") {
                problems.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn only_access_makes_grants() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.module != "access") {
        for (number, line) in code(source) {
            if line.contains("Grant::new") || line.contains("Grant {") {
                problems.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn unsafe_code_lives_in_one_module() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path != Path::new("store/sys.rs")) {
        for (number, line) in code(source) {
            if line.contains("unsafe ") || line.contains("unsafe_code") {
                problems.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!") && !is_test(source));
    assert_none(&silent.map(|source| format!("src/{}", source.path.display())).collect::<Vec<_>>());
}

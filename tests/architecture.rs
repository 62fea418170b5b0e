//! The house rules that a glance cannot hold: who imports whom, who names redb, who makes grants, how long a file is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the top level and what it may import beside `model`, the lowest first.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("limits", &["config"]),
    ("store", &["config", "telemetry"]),
    ("access", &["config", "telemetry", "limits", "store"]),
    ("auth", &["config", "telemetry", "limits", "store", "access"]),
    ("registry", &["config", "telemetry", "limits", "store", "access"]),
    ("app", &["config", "telemetry", "limits", "store", "access", "auth", "registry"]),
    ("http", &["wire", "config", "telemetry", "limits", "store", "access", "auth", "registry", "app"]),
    (
        "server",
        &["wire", "config", "telemetry", "limits", "store", "access", "auth", "registry", "app", "http"],
    ),
    (
        "cli",
        &[
            "wire",
            "config",
            "telemetry",
            "limits",
            "store",
            "access",
            "auth",
            "registry",
            "app",
            "http",
            "server",
        ],
    ),
];

/// Lines of a source file at most; tests apart.
const LONGEST_FILE: usize = 400;

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
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

/// Code without comments, with the number of its line.
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
        let Some((_, allowed)) = FLOORS.iter().find(|(module, _)| *module == source.module) else {
            problems.push(format!("src/{}: a module without a floor", source.path.display()));
            continue;
        };
        for (number, line) in code(&source) {
            if line.contains("crate::{") {
                problems.push(format!("src/{}:{number}: one `use` for each module", source.path.display()));
            }
            for import in imports(line) {
                let own = import == source.module || import == "model";
                if !own && !allowed.contains(&import) && FLOORS.iter().any(|(module, _)| *module == import) {
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
fn no_file_is_longer_than_a_reader_can_hold() {
    let long = sources().into_iter().filter(|source| !is_test(source)).filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > LONGEST_FILE)
            .then(|| format!("src/{}: {lines} lines: split it by noun", source.path.display()))
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!") && !is_test(source));
    assert_none(&silent.map(|source| format!("src/{}", source.path.display())).collect::<Vec<_>>());
}

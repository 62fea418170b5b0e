//! The rules for sources that a review cannot check reliably: which module imports which, which may name redb
//! or create grants, how long a file and a function may be, how wide a comment, which files import each other
//! in a circle, how imports are written, and whether cited files exist.

use std::collections::{BTreeMap, BTreeSet};
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

/// The most lines of a source file, tests excluded.
const LONGEST_FILE: usize = 400;
/// The most lines of a function, from its signature to its last brace.
const LONGEST_FUNCTION: usize = 80;
/// The most characters of a line that is a comment.
const WIDEST_COMMENT: usize = 110;
/// The most groups of files that import each other, directly or indirectly. The number may only fall.
const CIRCLES: usize = 3;

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

/// The sources, tests and benchmarks, each with the path of its folder.
fn everything() -> impl Iterator<Item = (String, Source)> {
    ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"].into_iter().flat_map(|directory| {
        let named = move |source: Source| (format!("{directory}/{}", source.path.display()), source);
        sources_below(directory).into_iter().map(named)
    })
}

#[test]
fn no_function_is_longer_than_a_reader_can_hold() {
    let mut problems = Vec::new();
    for (path, source) in everything() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            if !is_function(line.trim_start()) {
                continue;
            }
            // rustfmt puts the last brace of a function below its first word.
            let last = format!("{indent}}}");
            let length = lines[start..].iter().position(|line| *line == last).map_or(1, |end| end + 1);
            if length > LONGEST_FUNCTION {
                problems.push(format!("{path}:{}: {length} lines: {}", start + 1, line.trim()));
            }
        }
    }
    assert_none(&problems);
}

/// Whether a line begins a function whose body has lines of its own.
fn is_function(line: &str) -> bool {
    let before = ["pub", "const", "async", "unsafe", "extern"];
    let mut words =
        line.split_whitespace().skip_while(|word| before.iter().any(|known| word.starts_with(known)));
    words.next() == Some("fn") && !line.ends_with(';') && !line.ends_with('}')
}

#[test]
fn no_comment_is_wider_than_a_reader_can_follow() {
    let mut problems = Vec::new();
    for (path, source) in everything() {
        for (number, line) in source.text.lines().enumerate() {
            let is_table = line.trim_start().starts_with("//! |");
            if line.trim_start().starts_with("//") && !is_table && line.chars().count() > WIDEST_COMMENT {
                problems.push(format!("{path}:{}: {} characters", number + 1, line.chars().count()));
            }
        }
    }
    assert_none(&problems);
}

/// The names of a module: `["store", "meta"]`.
type Module = Vec<String>;

/// The module of a file.
fn module_of(source: &Source) -> Module {
    let path = source.path.with_extension("");
    let mut names: Module = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| last == "mod");
    names
}

/// The modules that a line names, by paths from the root or relative to `own`.
fn modules_in(line: &str, own: &Module, all: &BTreeSet<Module>) -> Vec<Module> {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')).collect();
    let mut found = Vec::new();
    for word in words.iter().filter(|word| word.contains("::")) {
        let mut parts = word.split("::").peekable();
        let mut module = match parts.peek() {
            Some(&"crate") => Vec::new(),
            Some(&"super") => own.clone(),
            _ => continue,
        };
        for part in parts {
            match part {
                "crate" => {}
                "super" => drop(module.pop()),
                part => module.push(part.to_owned()),
            }
        }
        while !module.is_empty() && !all.contains(&module) {
            module.pop();
        }
        found.push(module);
    }
    found.retain(|module| !module.is_empty() && module != own);
    found
}

#[test]
fn few_files_import_each_other_in_a_circle() {
    let sources: Vec<Source> = sources().into_iter().filter(|source| !is_test(source)).collect();
    let all: BTreeSet<Module> = sources.iter().map(module_of).collect();
    let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for source in &sources {
        let own = module_of(source);
        let tests = source.text.lines().position(|line| line == "#[cfg(test)]").unwrap_or(usize::MAX);
        let lines = code(source).take_while(|(number, _)| *number <= tests);
        // `pub(in crate::server)` restricts the visibility of a name; it imports nothing.
        let lines = lines.map(|(_, line)| line.replace("(in crate::", "(in "));
        let named = lines.flat_map(|line| modules_in(&line, &own, &all)).collect();
        imports.insert(own, named);
    }
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reached_from(module, &imports))).collect();
    let circles: BTreeSet<Vec<String>> = reached
        .iter()
        .filter(|(module, reached)| reached.contains(*module))
        .map(|(module, there)| {
            let back = there.iter().filter(|other| reached[**other].contains(module));
            back.map(|other| other.join("::")).collect()
        })
        .collect();
    let listed: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.len() <= CIRCLES, "{} circles, {CIRCLES} at most:\n{}", circles.len(), listed.join("\n"));
}

/// Every module that a module imports, directly or indirectly.
fn reached_from<'a>(start: &Module, imports: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = imports[start].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&imports[module]);
        }
    }
    reached
}

/// A `use` statement.
struct Import<'a> {
    /// Its first line, from 1.
    line: usize,
    /// The number of the line that opens the enclosing block; 0 for the file itself.
    scope: usize,
    /// `pub`, `pub(crate)` and the like; empty for a private import.
    visibility: &'a str,
    /// The path before the last `::`, and the names that are imported from it.
    parent: String,
    names: Vec<String>,
    /// Whether it has braces within braces.
    nested: bool,
    after_blank: bool,
    /// Whether it has an attribute or a comment of its own, or stands below the macro that it names.
    alone: bool,
}

/// The `use` statements of a file. The file must be formatted by rustfmt: a statement begins its line, and
/// blocks are indented.
fn use_statements(text: &str) -> Vec<Import<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((visibility, first)) = line.trim_start().split_once("use ") else { continue };
        let is_visibility =
            visibility == "pub " || visibility.starts_with("pub(") && visibility.ends_with(") ");
        if !(visibility.is_empty() || is_visibility) || first.contains('$') {
            continue;
        }
        let mut path = first.trim().to_owned();
        for next in lines[at + 1..].iter().take_while(|_| !first.contains(';')) {
            path.push_str(next.trim());
            if next.contains(';') {
                break;
            }
        }
        let path = path.trim_end_matches(';');
        let (parent, names) = match path.split_once("::{") {
            Some((parent, names)) => (parent, names.trim_end_matches('}')),
            None => path.rsplit_once("::").unwrap_or(("", path)),
        };
        let opens = |above: &&str| !above.is_empty() && indent(above) < indent(line);
        let before = at.checked_sub(1).map_or("", |above| lines[above].trim_start());
        found.push(Import {
            line: at + 1,
            scope: lines[..at].iter().rposition(opens).map_or(0, |above| above + 1),
            visibility: visibility.trim(),
            parent: parent.to_owned(),
            names: names
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            nested: path.matches('{').count() > 1,
            after_blank: before.is_empty(),
            alone: ["#[", "//", "}"].iter().any(|start| before.starts_with(start)),
        });
    }
    found
}

/// The groups of imports, in order. A blank line separates two groups.
const GROUPS: [&str; 4] = ["std", "other crates", "names passed on by `pub use`", "this crate"];

/// The index in [`GROUPS`] of an import; `modules` are the modules that its file declares.
fn group_of(import: &Import, modules: &BTreeSet<&str>) -> usize {
    let path = if import.parent.is_empty() { &import.names[0] } else { &import.parent };
    let root = path.split("::").next().unwrap_or_default();
    match root {
        "std" | "core" | "alloc" => 0,
        _ if !import.visibility.is_empty() => 2,
        "super" | "crate" | "self" => 3,
        root if modules.contains(root) || root.starts_with(char::is_uppercase) => 3,
        _ => 1,
    }
}

/// Each module is imported from in one statement, and statements are grouped as in [`GROUPS`].
///
/// Modules of `crate` and names without a path have statements of their own, because the check of floors
/// works line by line.
#[test]
fn imports_have_one_statement_for_each_module_and_stand_in_groups() {
    let mut problems = Vec::new();
    for (path, source) in everything() {
        let modules: BTreeSet<&str> = source
            .text
            .lines()
            .filter_map(|line| line.split_once("mod ").map(|(_, name)| name))
            .filter_map(|name| name.split([';', ' ']).next())
            .collect();
        let imports = use_statements(&source.text);
        let mut seen: BTreeMap<(usize, &str, &str), usize> = BTreeMap::new();
        let mut last: Option<&Import> = None;
        for import in imports.iter().filter(|import| !import.alone) {
            let place = format!("{path}:{}", import.line);
            if import.nested {
                problems.push(format!("{place}: braces within braces: one `use` for each module"));
            }
            let key = (import.scope, import.visibility, import.parent.as_str());
            let is_root = import.parent.is_empty() || import.parent == "crate";
            let is_glob = import.names == ["*"];
            if let Some(first) =
                (!is_glob).then(|| seen.insert(key, import.line)).flatten().filter(|_| !is_root)
            {
                problems.push(format!("{place}: `{}` is imported from in line {first} too", import.parent));
            }
            let group = group_of(import, &modules);
            if let Some(last) = last.filter(|last| last.scope == import.scope) {
                let before = group_of(last, &modules);
                if before > group || (before < group) != import.after_blank {
                    let order = GROUPS.join(", then ");
                    problems.push(format!("{place}: one group each, parted by a blank line: {order}"));
                }
            }
            last = Some(import);
        }
        for import in &imports {
            for name in &import.names {
                let whole =
                    format!("{}{}{name}", import.parent, if import.parent.is_empty() { "" } else { "::" });
                if seen.contains_key(&(import.scope, import.visibility, whole.as_str())) {
                    problems.push(format!("{path}:{}: `use {whole}::{{self, ...}}`", import.line));
                }
            }
        }
    }
    assert_none(&problems);
}

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
            if !headings.contains(cited) && !path.ends_with("architecture.rs") {
                problems.push(format!("{path}: docs/decisions.md has no section {cited:?}"));
            }
        }
    }
    assert_none(&problems);
}

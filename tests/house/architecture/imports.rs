//! How imports are written.

use std::collections::{BTreeMap, BTreeSet};

use super::{assert_none, everything};

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

//! Which files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, code, is_test, sources};

/// The most groups of files that import each other, directly or indirectly. The number may only fall.
const CIRCLES: usize = 3;

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

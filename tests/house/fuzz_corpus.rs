//! The inputs in `fuzz/corpus`, checked as `fuzz/` checks them, without a fuzzer.

#[path = "../../fuzz/src/lib.rs"]
mod checks;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

fn fuzz(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(part)
}

/// The names in a directory, which must not be empty.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let names: BTreeSet<String> = entries
        .map(|entry| entry.expect("a readable entry").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    assert!(!names.is_empty(), "{} is empty", directory.display());
    names
}

/// The value of a key in a table of TOML; none contains an escape.
fn value_of<'t>(key: &str, table: &'t str) -> &'t str {
    let value = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
    value.and_then(|value| value.strip_suffix('"')).unwrap_or_else(|| panic!("no {key} in {table}"))
}

fn replay(target: &str) {
    let (_, check) = checks::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let directory = fuzz("corpus").join(target);
    let wrong = names(&directory).into_iter().filter(|name| {
        let input = fs::read(directory.join(name)).expect("a readable input");
        catch_unwind(AssertUnwindSafe(|| check(&input))).is_err()
    });
    assert_eq!(
        wrong.collect::<Vec<_>>(),
        Vec::<String>::new(),
        "inputs of {target} for which the check fails"
    );
}

#[test]
fn every_target_has_a_binary_a_corpus_and_a_test() {
    let targets: BTreeSet<String> = checks::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), checks::TARGETS.len());
    let files: BTreeSet<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz("fuzz_targets")), files);
    assert_eq!(names(&fuzz("corpus")), targets);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).expect("a readable manifest");
    let (_, binaries) = manifest.split_once("\n[[bin]]\n").expect("binaries");
    let binaries: BTreeSet<(&str, &str)> = binaries
        .split("[[bin]]\n")
        .map(|binary| (value_of("name", binary), value_of("path", binary)))
        .collect();
    let tests = include_str!("fuzz_corpus.rs");
    for target in &targets {
        let path = format!("fuzz_targets/{target}.rs");
        assert!(binaries.contains(&(target, &path)), "{target} is not built of {path}: {binaries:?}");
        let source = fs::read_to_string(fuzz(&path)).expect("a readable target");
        let check = format!("stowage_fuzz::{target}::check(input)");
        assert!(source.contains(&check), "{path} does not call {check}");
        assert!(tests.contains(&format!("replay(\"{target}\")")), "{target} is not replayed");
    }
}

#[test]
fn what_authorization_headers_and_scopes_must_be_holds_for_the_corpus() {
    replay("authorization");
}

#[test]
fn what_a_configuration_must_be_holds_for_the_corpus() {
    replay("configuration");
}

#[test]
fn what_a_dump_must_be_holds_for_the_corpus() {
    replay("dumps");
}

#[test]
fn what_a_manifest_must_be_holds_for_the_corpus() {
    replay("manifests");
}

#[test]
fn what_paths_queries_and_names_must_be_holds_for_the_corpus() {
    replay("paths");
}

#[test]
fn what_ranges_must_be_holds_for_the_corpus() {
    replay("ranges");
}

#[test]
fn what_tokens_must_be_holds_for_the_corpus() {
    replay("tokens");
}

//! `config.example.toml`, the settings of the program and `docs/configuration.md` say the same.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use stowage::config::{self, Config, ConfigError, Environment, Flags, Loaded, Request};

const START: &str = "<!-- settings: made from config.example.toml by tests/config_example.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn example() -> String {
    fs::read_to_string(root("config.example.toml")).expect("the example is there")
}

/// The example with every setting switched on. Settings are `#key = value`, prose is `# text`.
fn switched_on() -> String {
    let is_setting =
        |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic);
    let line = |line| if is_setting(line) { &line[1..] } else { line };
    example().lines().map(line).collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("stowage.toml");
    fs::write(&file, text).expect("a file");
    config::load(&Request::new(Some(file), Environment::default(), Flags::default()))
}

#[test]
fn as_shipped_it_changes_nothing() {
    let loaded = load(&example()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.sources.is_empty(), "every key is commented out");
}

#[test]
fn it_shows_every_setting_with_its_default() {
    let loaded = load(&switched_on()).unwrap();
    assert_eq!(loaded.config, Config::default());
    let shown: Vec<&String> = loaded.sources.keys().collect();
    let settings = config::settings();
    assert_eq!(shown, settings.iter().map(|setting| &setting.key).collect::<Vec<_>>());
}

#[test]
fn every_setting_is_explained() {
    for row in rows() {
        assert!(row.text.len() > 20 && row.text.ends_with('.'), "{}: {:?}", row.key, row.text);
    }
}

#[test]
fn what_a_reload_changes_is_marked() {
    for row in rows() {
        let key = format!("{}.{}", row.table, row.key);
        assert_eq!(row.text.starts_with("(reload) "), config::takes_effect_at_once(&key), "{key}");
    }
}

/// Run with `UPDATE_DOCS=1` to write the page anew.
#[test]
fn the_reference_page_follows_the_example() {
    let path = root("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).unwrap_or_else(|| panic!("no line {START}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("no line {END}"));
    let expected = format!("{before}{START}{}{END}{after}", tables());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/configuration.md is old; run: UPDATE_DOCS=1 cargo test --test config_example"
        );
    }
}

struct Row {
    table: String,
    key: String,
    default: String,
    text: String,
}

/// The settings in the order of the example, each with the prose above it.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut table, mut prose) = (String::new(), Vec::new());
    for line in example().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut table);
            prose.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            prose.push(text.to_owned());
        } else if let Some((key, default)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            let text = prose.join(" ");
            rows.push(Row { table: table.clone(), key: key.to_owned(), default: default.to_owned(), text });
            prose.clear();
        } else {
            prose.clear();
        }
    }
    rows
}

fn tables() -> String {
    let mut page = String::new();
    let mut last = String::new();
    for Row { table, key, default, text } in rows() {
        if table != last {
            let _ = write!(page, "\n### [{table}]\n\n| key | default | what it is |\n|---|---|---|\n");
            last.clone_from(&table);
        }
        let _ = writeln!(page, "| `{key}` | `{default}` | {} |", text.replace('|', "\\|"));
    }
    page.push('\n');
    page
}

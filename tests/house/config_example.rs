//! `config.example.toml`, the settings of the program and `docs/configuration.md` agree; examples of settings
//! in other pages are valid, and links lead to existing pages and headings.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use stowage::config::{self, Config, ConfigError, Environment, Flags, Loaded, Request};

const START: &str = "<!-- settings: made from config.example.toml by tests/house/config_example.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn example() -> String {
    fs::read_to_string(root("config.example.toml")).expect("the example is there")
}

/// The example with every setting enabled. Settings are `#key = value`, prose is `# text`.
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

/// Run with `UPDATE_DOCS=1` to update the page.
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
            "docs/configuration.md is old; run: UPDATE_DOCS=1 cargo test --test house config_example"
        );
    }
}

/// The pages for users, from the root of the repository.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root("docs")).expect("there are docs");
    let mut files: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    files.extend([root("README.md"), root("CHANGELOG.md")]);
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).expect("a page"))).collect()
}

#[test]
fn settings_in_the_docs_are_valid() {
    let mut found = 0;
    for (file, text) in pages() {
        let blocks = text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
        // Other blocks are for other programs.
        for block in blocks.filter(|block| block.starts_with("[server")) {
            found += 1;
            if let Err(error) = load(block) {
                panic!("{}: {error:?} in\n{block}", file.display());
            }
        }
    }
    assert!(found >= 2, "the blocks of docs/install.md were not found");
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    for (file, text) in pages() {
        let directory = file.parent().expect("a directory");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (page, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if page.is_empty() { file.clone() } else { directory.join(page) };
            let target_text = fs::read_to_string(&target)
                .unwrap_or_else(|error| panic!("{}: {link}: {error}", file.display()));
            assert!(
                anchor.is_empty() || headings(&target_text).any(|heading| heading == anchor),
                "{}: {link}: no such heading",
                file.display()
            );
        }
    }
}

/// Words that hide the actor: texts must name the client, the caller or the operator, and use the term of the
/// trade.
const UNCLEAR: [&str; 10] = [
    "nobody",
    "somebody",
    "whoever",
    "anew",
    "shall",
    "no good",
    "in force",
    "may be told",
    "let in",
    "made new",
];

/// The subset that comments must not use either.
const UNCLEAR_IN_COMMENTS: [&str; 4] = ["nobody", "somebody", "whoever", "anybody"];

/// The unclear words in a text, each with its line.
fn unclear(text: &str) -> Vec<String> {
    words_in(&UNCLEAR, text)
}

/// The occurrences of these words in a text, each with its line.
fn words_in(words: &[&str], text: &str) -> Vec<String> {
    let is_word = |line: &str, at: usize, word: &str| {
        let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        outside(line[..at].chars().next_back()) && outside(line[at + word.len()..].chars().next())
    };
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.to_ascii_lowercase()));
    lines
        .flat_map(|(number, line)| {
            let found = words
                .iter()
                .filter(|word| line.match_indices(**word).any(|(at, word)| is_word(&line, at, word)));
            found.map(|word| format!("{number}: {word:?}")).collect::<Vec<_>>()
        })
        .collect()
}

/// All files below a directory.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let (mut texts, mut directories) = (Vec::new(), vec![root(directory)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                texts.push((path.clone(), fs::read_to_string(path).expect("a source")));
            }
        }
    }
    texts
}

/// The comments of a source, at their line numbers, without the code.
fn comments(source: &str) -> String {
    let comment = |line: &str| line.find("// ").or_else(|| line.find("//! "));
    source.lines().map(|line| comment(line).map_or("", |at| &line[at..])).collect::<Vec<_>>().join("\n")
}

#[test]
fn comments_name_who_acts() {
    let text =
        "//! Whoever asks\nlet nobody = 1; // nobody else\n/// nobody_else\nlet url = \"http://anybody\";";
    assert_eq!(words_in(&UNCLEAR_IN_COMMENTS, &comments(text)), ["1: \"whoever\"", "2: \"nobody\""]);
    let all = sources("src").into_iter().filter(|(file, _)| file.extension().is_some_and(|end| end == "rs"));
    let found = all.flat_map(|(file, text)| {
        let found = words_in(&UNCLEAR_IN_COMMENTS, &comments(&text)).into_iter();
        found.map(|found| format!("{}:{found}", file.display())).collect::<Vec<_>>()
    });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "name the client, the caller, the process:\n{}", found.join("\n"));
}

#[test]
fn texts_for_users_are_in_the_words_of_the_trade() {
    assert_eq!(
        unclear("Whoever asks\nis let\ninto it, nobody_else\n(nobody)."),
        ["1: \"whoever\"", "4: \"nobody\""]
    );
    let mut texts = pages();
    texts.extend(sources("src/cli"));
    for file in ["config.example.toml", "src/http/admin/openapi.json"] {
        texts.push((root(file), fs::read_to_string(root(file)).expect("a text")));
    }
    let found = texts.iter().flat_map(|(file, text)| {
        unclear(text).into_iter().map(|found| format!("{}:{found}", file.display())).collect::<Vec<_>>()
    });
    let found: Vec<String> = found.collect();
    assert!(
        found.is_empty(),
        "say it with the name of the caller and the term of the trade:\n{}",
        found.join("\n")
    );
}

/// The anchors of a page's headings, as GitHub and GitLab make them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect()
    })
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

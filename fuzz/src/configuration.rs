//! The configuration file. The input is the file.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stowage::config::{ConfigError, Environment, Flags, Loaded, Request, Source, load, settings};

use super::gate::scratch;

/// A file that is accepted has the same meaning when it is written again; one that is refused is refused at a
/// position within it.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let directory = scratch();
    let path = directory.path().join("stowage.toml");
    match read(&path, text) {
        Ok(loaded) => accepted(&path, text, loaded),
        Err(ConfigError::File { problems, .. }) => {
            assert!(!problems.is_empty());
            let lines = text.matches('\n').count() + 1;
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "line {} of {lines}", problem.line);
                let length = problem.text.chars().count();
                assert!(problem.column >= 1 && problem.column <= length + 2, "{problem:?}");
                assert!(!problem.message.is_empty() && problem.length >= 1);
                assert!(!problem.text.chars().any(char::is_control), "{problem:?}");
                assert!(problem.excerpt().contains(&problem.message));
            }
        }
        Err(error) => panic!("a file that can be read is refused without a place in it: {error}"),
    }
}

fn read(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    fs::write(path, text).expect("room in memory");
    let environment = Environment::default();
    load(&Request::new(Some(path.to_owned()), environment, Flags::default()))
}

/// Writes every value as a line with a dotted key. JSON's strings, numbers and arrays are valid TOML, except
/// for one character.
fn write(file: &mut String, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                write(file, &key, value);
            }
        }
        value => file.extend([key, " = ", &value.to_string().replace('\u{7f}', "\\u007f"), "\n"]),
    }
}

fn accepted(path: &Path, text: &str, loaded: Loaded) {
    let known = settings();
    let lines: Vec<&str> = text.split('\n').collect();
    for (key, source) in &loaded.sources {
        assert!(known.iter().any(|setting| setting.key == *key), "{key}");
        let Source::File { line, .. } = source else { panic!("{key} is from {source}") };
        assert!((1..=lines.len()).contains(line), "{key} in line {line} of {}", lines.len());
    }
    let mut written = String::new();
    write(&mut written, "", &serde_json::to_value(&loaded.config).expect("settings are values"));
    let again = read(path, &written).expect("what was accepted is accepted again");
    assert_eq!(again.config, loaded.config, "it reads differently when written anew");
    if let Err(ConfigError::Values { problems }) = loaded.checked() {
        assert!(!problems.is_empty());
        for (problem, _) in problems {
            assert!(known.iter().any(|setting| setting.key == problem.key), "{problem:?}");
            assert!(!problem.message.is_empty());
        }
    }
}

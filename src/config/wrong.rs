//! Messages about values that a setting does not accept, with the right form for a file and for the
//! environment.

use super::schema::{Kind, Setting};

/// The error of serde, in words for the operator.
pub(super) fn message(setting: &Setting, serde: &str) -> String {
    let quoted: Vec<&str> = serde.split('`').skip(1).step_by(2).collect();
    match (quoted.split_first(), serde.split_once(", expected ")) {
        (Some((found, allowed)), _) if serde.starts_with("unknown variant") => {
            variant(setting, found, allowed)
        }
        (_, Some((found, expected))) => {
            let value = found.split_once(": ").map_or(found, |(_, value)| value);
            let found = match value.split_once(' ') {
                Some(("string", text)) => format!("{text} is text"),
                Some(("integer", number)) if found.starts_with("invalid value") => {
                    format!("{number} is out of range")
                }
                Some(("integer", number)) => format!("{number} is a number"),
                Some(("boolean", switch)) => format!("{switch} is a boolean"),
                Some(("floating", number)) => {
                    format!("{} is a fraction", number.trim_start_matches("point "))
                }
                _ if value == "sequence" => "this is a list".to_owned(),
                _ if value == "map" => "this is a table".to_owned(),
                _ => value.to_owned(),
            };
            let expected = match expected {
                "a string" => "text in quotes",
                "a boolean" => "true or false",
                "a sequence" => "a list",
                "usize" => "a whole number of 0 or more",
                other => other,
            };
            format!("{found}; expected {expected}")
        }
        _ => serde.to_owned(),
    }
}

/// The message about a word that the setting does not accept.
pub(super) fn variant(setting: &Setting, found: &str, allowed: &[&str]) -> String {
    let noun = setting.parts().1.replace('_', " ");
    let words = match allowed {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        all => all.join(", "),
    };
    format!("`{found}` is not a {noun}; use {words}")
}

/// The line to write in a file instead of `written`, which has another type.
pub(super) fn line(setting: &Setting, written: &str) -> String {
    let (name, bare) = (setting.parts().1, unquoted(written));
    match setting.kind {
        Kind::Switch => match truth(bare) {
            Some(switch) => format!("write {name} = {switch}"),
            None => format!("write {name} = true or {name} = false"),
        },
        Kind::Number if bare.parse::<u64>().is_ok() => format!("write {name} = {bare}"),
        Kind::Number => format!("write a whole number, for example {name} = {}", setting.default),
        Kind::List if bare == written => format!("write {name} = [\"{bare}\"]"),
        Kind::List => format!("write {name} = [{written}]"),
        Kind::Text if is_word(bare) => format!("write {name} = \"{bare}\""),
        Kind::Text if setting.default.is_empty() => format!("write text in quotes: {name} = \"...\""),
        Kind::Text => format!("write for example {name} = \"{}\"", setting.default),
    }
}

/// The assignment to write in the environment instead of `written`.
pub(super) fn variable(setting: &Setting, written: &str) -> String {
    let (name, bare) = (setting.variable(), unquoted(written));
    let example = |value: &str| format!("write for example {name}={value}");
    match setting.kind {
        Kind::Switch => match truth(bare) {
            Some(switch) => format!("write {name}={switch}"),
            None => format!("write {name}=true or {name}=false"),
        },
        Kind::List if written.contains(['[', '"', '\'']) => {
            let entries = written.trim().trim_start_matches('[').trim_end_matches(']').split(',');
            let entries: Vec<&str> = entries.map(unquoted).collect();
            format!("write {name}={} without brackets and quotes", entries.join(","))
        }
        Kind::List => example(&format!("{}; commas separate several", setting.default)),
        Kind::Text if bare != written.trim() => format!("write {name}={bare} without quotes"),
        Kind::Text | Kind::Number => example(&setting.default),
    }
}

/// Words for yes and no that people know from other formats.
fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "enabled" => Some(true),
        "false" | "no" | "off" | "0" | "n" | "disabled" => Some(false),
        _ => None,
    }
}

/// Whether a value without quotes was meant as text.
fn is_word(text: &str) -> bool {
    let is_value = text.parse::<f64>().is_ok() || matches!(text, "true" | "false");
    !is_value && !text.is_empty() && !text.starts_with(['[', '{'])
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

/// The format of a file that is not TOML, and its first line; `None` when it may be TOML with a mistake.
pub(super) fn other_format(text: &str) -> Option<(&'static str, usize)> {
    let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if !is_text(line) {
            start += line.len();
            continue;
        }
        let trimmed = line.trim();
        let is_key = |key: &str| {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let is_yaml = trimmed == "---"
            || trimmed.starts_with("- ")
            || trimmed
                .split_once(':')
                .is_some_and(|(key, rest)| is_key(key) && (rest.is_empty() || rest.starts_with(' ')));
        let format = match trimmed {
            _ if trimmed.starts_with('{') => "JSON",
            _ if is_yaml => "YAML",
            _ => return None,
        };
        return Some((format, start));
    }
    None
}

/// The setting and the value of a line whose value lacks quotes: `anonymous_pull = yes`.
pub(super) fn bare_word<'a>(
    text: &str,
    at: usize,
    settings: &'a [Setting],
) -> Option<(&'a Setting, std::ops::Range<usize>)> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let (name, rest) = line.split_once('=')?;
    let value = rest.split('#').next().unwrap_or_default().trim();
    let is_word = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "./~:*".contains(c));
    if !is_word || value.contains(['"', '\'']) {
        return None;
    }
    let header = |line: &str| Some(line.trim().strip_prefix('[')?.split(']').next()?.trim().to_owned());
    let table = text[..start].lines().rev().find_map(header).unwrap_or_default();
    let name = name.trim();
    let key = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
    let setting = settings.iter().find(|setting| setting.key == key)?;
    let from = start + line.len() - rest.len() + rest.find(value)?;
    Some((setting, from..from + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::settings;

    fn setting(key: &str) -> Setting {
        settings().into_iter().find(|setting| setting.key == key).unwrap()
    }

    #[test]
    fn types_have_words() {
        let workers = setting("server.workers");
        for (serde, words) in [
            (
                "invalid type: string \"4\", expected usize",
                "\"4\" is text; expected a whole number of 0 or more",
            ),
            (
                "invalid value: integer `-1`, expected usize",
                "`-1` is out of range; expected a whole number of 0 or more",
            ),
            ("invalid type: integer `5`, expected a boolean", "`5` is a number; expected true or false"),
            (
                "invalid type: floating point `1.5`, expected usize",
                "`1.5` is a fraction; expected a whole number of 0 or more",
            ),
            ("invalid type: map, expected a sequence", "this is a table; expected a list"),
            ("unknown variant `on`, expected `a` or `b`", "`on` is not a workers; use a or b"),
            ("`x` is not a size", "`x` is not a size"),
        ] {
            assert_eq!(message(&workers, serde), words);
        }
    }

    #[test]
    fn the_right_form_is_that_of_the_type() {
        for (key, written, in_file, in_environment) in [
            ("log.access", "\"yes\"", "write access = true", "write STOWAGE__LOG__ACCESS=true"),
            ("log.access", "off", "write access = false", "write STOWAGE__LOG__ACCESS=false"),
            (
                "log.access",
                "maybe",
                "write access = true or access = false",
                "write STOWAGE__LOG__ACCESS=true or STOWAGE__LOG__ACCESS=false",
            ),
            (
                "server.workers",
                "\"many\"",
                "write a whole number, for example workers = 0",
                "write for example STOWAGE__SERVER__WORKERS=0",
            ),
            (
                "server.listen",
                "\"0.0.0.0:5000\"",
                "write listen = [\"0.0.0.0:5000\"]",
                "write STOWAGE__SERVER__LISTEN=0.0.0.0:5000 without brackets and quotes",
            ),
            (
                "server.keep_alive",
                "75",
                "write for example keep_alive = \"75s\"",
                "write for example STOWAGE__SERVER__KEEP_ALIVE=75s",
            ),
            (
                "server.keep_alive",
                "'60s'",
                "write keep_alive = \"60s\"",
                "write STOWAGE__SERVER__KEEP_ALIVE=60s without quotes",
            ),
        ] {
            assert_eq!(line(&setting(key), written), in_file);
            assert_eq!(variable(&setting(key), written), in_environment);
        }
        assert_eq!(line(&setting("server.workers"), "\"4\""), "write workers = 4");
        assert_eq!(line(&setting("log.level"), "info"), "write level = \"info\"");
        assert_eq!(line(&setting("log.level"), "true"), "write for example level = \"info\"");
        assert_eq!(line(&setting("storage.data_dir"), "5"), "write text in quotes: data_dir = \"...\"");
        assert_eq!(
            variable(&setting("server.listen"), "[\"a\", \"b\"]"),
            "write STOWAGE__SERVER__LISTEN=a,b without brackets and quotes"
        );
    }

    #[test]
    fn other_formats_are_told_apart() {
        for (text, format) in [
            ("# x\n\nversion: 0.1\n", Some(("YAML", 5))),
            ("server:\n  port: 1\n", Some(("YAML", 0))),
            ("---\na: b", Some(("YAML", 0))),
            ("{\n", Some(("JSON", 0))),
            ("[server]\nlisten: 1", None),
            ("listen = \"a: b\"", None),
            ("", None),
        ] {
            assert_eq!(other_format(text), format, "{text:?}");
        }
    }
}

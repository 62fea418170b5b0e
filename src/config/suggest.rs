//! Suggestions for unknown keys and variables.

use super::schema::Setting;

/// Names that other programs use for these settings: table, name, and what to write here.
const HABITS: [(&str, &str, &str); 8] = [
    ("server", "port", "listen = [\"127.0.0.1:5000\"]"),
    ("server", "host", "listen = [\"127.0.0.1:5000\"]"),
    ("server", "addr", "listen = [\"127.0.0.1:5000\"]"),
    ("server", "address", "listen = [\"127.0.0.1:5000\"]"),
    ("server", "bind", "listen = [\"127.0.0.1:5000\"]"),
    ("storage", "path", "data_dir = \"/srv/stowage\""),
    ("storage", "directory", "data_dir = \"/srv/stowage\""),
    ("storage", "rootdirectory", "data_dir = \"/srv/stowage\""),
];

/// The largest edit distance at which a name is suggested.
const CLOSE: usize = 2;

/// The fix for the unknown name `name` in the table `table` (empty: the top level). `value` is what was
/// written, when it was a number.
pub(super) fn for_key(settings: &[Setting], table: &str, name: &str, value: Option<i64>) -> String {
    let tables = tables(settings);
    let in_table = names_in(settings, &tables, table);
    if let Some(close) = closest(name, in_table.iter().map(String::as_str)) {
        return if tables.contains(&joined(table, close)) {
            format!("did you mean [{}]?", joined(table, close))
        } else {
            format!("did you mean `{close}`?")
        };
    }
    let habits = HABITS.iter().filter(|habit| habit.0 == table);
    if let Some(close) = closest(name, habits.clone().map(|habit| habit.1)) {
        let write = habits.clone().find(|habit| habit.1 == close).map_or("", |habit| habit.2);
        let write = match value {
            Some(port @ 1..=65535) if close == "port" => write.replace("5000", &port.to_string()),
            _ => write.to_owned(),
        };
        let key = write.split(' ').next().unwrap_or_default();
        return format!("use {key} instead: {write}");
    }
    if let Some(longer) = in_table.iter().find(|key| key.starts_with(&format!("{name}_"))) {
        return format!("did you mean `{longer}`?");
    }
    if let Some(home) = settings.iter().find(|setting| setting.parts().1 == name) {
        return format!("`{name}` belongs in {}", shown(home.parts().0));
    }
    if let Some(home) = tables.iter().find(|path| path.rsplit('.').next() == Some(name)) {
        return format!("it is called [{home}]");
    }
    let what = if table.is_empty() { "the tables".to_owned() } else { format!("the keys of [{table}]") };
    format!("{what} are: {}", in_table.join(", "))
}

/// The fix for an unknown environment variable.
pub(super) fn for_variable(settings: &[Setting], variable: &str) -> String {
    let known: Vec<String> = settings.iter().map(Setting::variable).collect();
    // Two underscores separate a table, so they are not part of a name.
    let is_longer = |name: &&str| {
        name.strip_prefix(variable).is_some_and(|rest| rest.starts_with('_') && !rest.starts_with("__"))
    };
    let longer = || known.iter().map(String::as_str).find(is_longer);
    match closest(&variable.to_uppercase(), known.iter().map(String::as_str)).or_else(longer) {
        Some(close) => format!("did you mean {close}?"),
        None => format!("unset {variable}; the names are STOWAGE__<TABLE>__<KEY>, for example {}", known[0]),
    }
}

/// `[server]`, or `the top level`.
pub(super) fn shown(table: &str) -> String {
    if table.is_empty() { "the top level".to_owned() } else { format!("[{table}]") }
}

fn tables(settings: &[Setting]) -> Vec<String> {
    let mut tables: Vec<String> = settings.iter().map(|setting| setting.parts().0.to_owned()).collect();
    tables.sort();
    tables.dedup();
    tables
}

fn names_in(settings: &[Setting], tables: &[String], table: &str) -> Vec<String> {
    let keys =
        settings.iter().map(Setting::parts).filter(|parts| parts.0 == table).map(|parts| parts.1.to_owned());
    let inner = tables.iter().filter_map(|path| {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        (parent == table).then(|| name.to_owned())
    });
    keys.chain(inner).collect()
}

fn joined(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::levenshtein(name, candidate);
    // A distance of two in a word of three letters means another word.
    let close = |candidate: &&str| distance(candidate) <= CLOSE && distance(candidate) * 2 <= candidate.len();
    candidates.filter(close).min_by_key(|candidate| distance(candidate))
}

//! `stowage status`: whether the server runs, how it is, and what it holds.

use serde_json::{Value, json};

use super::client::Reach;
use super::errors::{Exit, Failure};
use super::output::{self, size};
use super::program::Global;
use super::visible::one_line;
use super::words::{counted, seconds, when};
use crate::config::Environment;

pub(super) const NAME: &str = "status";

#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 the server runs, 4 it does not run or cannot be reached, 10 with --exit-code it runs and needs \
                  attention: it refuses pushes or changes, its certificate has expired, expires soon or lacks a part of its chain, or its last check \
                  found damage\n\n\
                  Examples:\n  stowage status\n  stowage status --json\n  stowage status --exit-code"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Exit with 10 when the server runs and needs attention
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    let opened = options.reach.open(global, environment);
    let api = opened.map_err(|failure| {
        // No server runs where there is no data, nor where only its owner could look at the data.
        let is_down = failure.exit == Exit::NotFound || failure.code == "NOT_OWNER";
        if is_down { Failure { exit: Exit::Unreachable, ..failure } } else { failure }
    })?;
    let mut status = api.get("/api/v1/system")?;
    let running = api.server().is_some();
    status["running"] = Value::from(running);
    let attention = attention(&status);
    status["attention"] = json!(attention);
    let mut rows = vec![("server", server(&status, api.server().as_deref()))];
    rows.extend(about_server(&status, running));
    rows.extend(about_content(&status));
    rows.extend(attention.iter().map(|what| ("warning", what.clone())));
    let lines: Vec<String> =
        rows.iter().map(|(label, text)| format!("{label:<8} {}", one_line(text))).collect();
    let down = Failure::new(Exit::Unreachable, "SERVER_DOWN", "no server runs; its store was read instead")
        .fix("stowage serve")
        .completed(&options.reach.typed(global));
    let problem = (!running).then_some(&down);
    output::result(options.reach.format(), NAME, problem, &status, || lines.join("\n"))?;
    Ok(if !running {
        Exit::Unreachable
    } else if options.exit_code && !attention.is_empty() {
        Exit::SomethingToDo
    } else {
        Exit::Done
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value[key].as_str()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn server(status: &Value, target: Option<&str>) -> String {
    let version = text(status, "version").unwrap_or_default();
    let Some(target) = target else {
        return format!("down; version {version} reads its store");
    };
    let server = &status["server"];
    let urls: Vec<&str> = server["urls"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if urls.is_empty() {
        // The token may not see more.
        return format!("up at {target}, version {version}");
    }
    format!("up for {} at {}, version {version}", seconds(number(server, "uptime_s")), urls.join(", "))
}

fn about_server(status: &Value, running: bool) -> Vec<(&'static str, String)> {
    let server = &status["server"];
    let mut rows = Vec::new();
    if server.is_null() {
        return rows;
    }
    if running {
        let tls = text(server, "certificate_expires_at")
            .map(|end| format!("certificate valid until {}", when(end)));
        rows.push(("tls", tls.unwrap_or_else(|| "off".to_owned())));
    }
    rows.push(("data", text(server, "data_dir").unwrap_or_default().to_owned()));
    if running {
        let refused = text(status, "pushes_refused").map(|why| format!("refused: {why}"));
        rows.push(("pushes", refused.unwrap_or_else(|| "accepted".to_owned())));
        let uploads = number(server, "uploads");
        rows.push(("uploads", counted(uploads, "upload session open", "upload sessions open")));
    }
    rows.push(("dump", text(server, "last_dump_at").map_or_else(|| "none yet".to_owned(), when)));
    if running {
        let check = &server["last_check"];
        rows.push((
            "check",
            text(check, "ended_at").map_or_else(
                || "none since the start: stowage fsck".to_owned(),
                |ended| {
                    let found = match number(check, "problems") {
                        0 => "no problem".to_owned(),
                        problems => counted(problems, "problem", "problems"),
                    };
                    format!("{}, {found}", when(ended))
                },
            ),
        ));
    }
    for limit in status["limits"].as_array().into_iter().flatten() {
        let principal = text(limit, "principal").unwrap_or_default();
        let address = text(limit, "address").map(|address| format!(" ({address})")).unwrap_or_default();
        rows.push((
            "limit",
            format!(
                "{principal}{address} reached {} = {}: holds {}, {} waiting",
                text(limit, "setting").unwrap_or_default(),
                number(limit, "limit"),
                number(limit, "held"),
                counted(number(limit, "waiting"), "request", "requests"),
            ),
        ));
    }
    rows
}

fn about_content(status: &Value) -> Vec<(&'static str, String)> {
    let amount = |key: &str| size(number(status, key));
    let counts = [
        ("repositories", "repository", "repositories"),
        ("tags", "tag", "tags"),
        ("manifests", "manifest", "manifests"),
        ("blobs", "blob", "blobs"),
    ];
    let counts = counts.map(|(key, one, many)| counted(number(status, key), one, many));
    vec![
        ("content", format!("{}: {}", counts.join(", "), amount("size_bytes"))),
        (
            "blobs",
            format!("{} on disk, of it {} that nothing uses", amount("disk_bytes"), amount("unused_bytes")),
        ),
        ("disk", format!("{} of {} free", amount("free_bytes"), amount("total_bytes"))),
    ]
}

/// What should not wait.
fn attention(status: &Value) -> Vec<String> {
    let server = &status["server"];
    let mut found = Vec::new();
    found.extend(text(status, "changes_refused").map(|why| format!("changes are refused: {why}")));
    found.extend(text(status, "pushes_refused").map(|why| format!("pushes are refused: {why}")));
    let warnings = server["certificate_warnings"].as_array().into_iter().flatten();
    found.extend(warnings.filter_map(Value::as_str).map(str::to_owned));
    if number(&server["last_check"], "problems") > 0 {
        found.push("the last check found damage: stowage fsck".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_attention_is_named() {
        let well = json!({"server": {"certificate_warnings": []}, "pushes_refused": null});
        assert_eq!(attention(&well), Vec::<String>::new());
        let ill = json!({
            "changes_refused": "the database file is gone",
            "pushes_refused": "the disk is full",
            "server": {
                "certificate_warnings": ["the certificate registry.lan in tls.crt expired on 2020-01-01 00:00 UTC: renew it"],
                "last_check": {"problems": 1},
            },
        });
        assert_eq!(
            attention(&ill),
            [
                "changes are refused: the database file is gone",
                "pushes are refused: the disk is full",
                "the certificate registry.lan in tls.crt expired on 2020-01-01 00:00 UTC: renew it",
                "the last check found damage: stowage fsck",
            ]
        );
    }

    #[test]
    fn who_stands_at_a_limit_is_named() {
        let limit = json!({
            "principal": "ci", "address": "10.0.0.7", "setting": "limits.bodies", "limit": 64, "held": 64, "waiting": 1, "times": 9,
        });
        let rows = about_server(&json!({"server": {}, "limits": [limit]}), true);
        let (label, text) = rows.last().unwrap();
        assert_eq!(*label, "limit");
        assert_eq!(text, "ci (10.0.0.7) reached limits.bodies = 64: holds 64, 1 request waiting");
    }
}

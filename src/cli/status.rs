//! `stowage status`: whether the server runs, its state, and what it holds.

use serde::Serialize;

use super::client::{self, Received};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output::size;
use super::pins;
use super::server_args::ServerArgs;
use super::sizes::{self, By};
use super::visible::one_line;
use super::words::{counted, seconds, when};
use crate::wire::{LastCheck, LimitReached, Repository, Server, System};

/// Of the biggest repositories, so many are shown.
const BIGGEST: u16 = 3;
/// Pins that are shown, those that end last.
const PINS: usize = 3;
/// The server compacts a file by itself only if so much of it is free.
const WORTH_COMPACTING: u64 = 8 << 20;

/// Show whether the server runs, how it is, and what it holds
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 the server runs, 4 it does not run or cannot be reached, 10 with --exit-code it runs and needs \
                  attention: it refuses pushes or changes, less than storage.warn_free is free, its certificate has expired, \
                  expires soon or lacks a part of its chain, its last check found damage, or a scrub found damage that is not \
                  healed\n\n\
                  Examples:\n  stowage status\n  stowage status --json\n  stowage status --exit-code"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    /// Exit with 10 when the server runs and needs attention
    #[arg(long)]
    exit_code: bool,
}

/// The JSON document.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    system: Received<System>,
    /// Whether a server answered; if not, this process has read the store.
    running: bool,
    attention: Vec<String>,
    /// The biggest repositories, for admins.
    biggest: Vec<Received<Repository>>,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "status"
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let opened = client::open(&self.server, context);
        let api = opened.map_err(|failure| {
            // If there is no data, or only its owner may read it, no server of this user runs.
            let is_down = failure.exit == Exit::NotFound || failure.code == "NOT_OWNER";
            if is_down { Failure { exit: Exit::Unreachable, ..failure } } else { failure }
        })?;
        let system: Received<System> = api.get("/api/v1/system")?;
        // Not every token may see them, and without them everything else is still told.
        let biggest = sizes::biggest(&api, By::Size, BIGGEST).unwrap_or_default();
        let running = api.server().is_some();
        let attention = attention(&system);
        let mut rows = vec![("server", server(&system, api.server().as_deref()))];
        rows.extend(about_server(&system, running));
        rows.extend(about_content(&system, &biggest));
        rows.extend(attention.iter().map(|what| ("warning", what.clone())));
        let lines: Vec<String> =
            rows.iter().map(|(label, text)| format!("{label:<8} {}", one_line(text))).collect();
        let down =
            Failure::new(Exit::Unreachable, "SERVER_DOWN", "no server runs; its store was read instead")
                .fix("stowage serve")
                .completed(&context.typed);
        let problem = (!running).then_some(&down);
        let needs_attention = !attention.is_empty();
        let status = Status { system, running, attention, biggest };
        context.result(problem, &status, || lines.join("\n"))?;
        Ok(if !running {
            Exit::Unreachable
        } else if self.exit_code && needs_attention {
            Exit::SomethingToDo
        } else {
            Exit::Done
        })
    }
}

fn server(system: &System, target: Option<&str>) -> String {
    let version = &system.version;
    let Some(target) = target else {
        return format!("down; version {version} reads its store");
    };
    match &system.server {
        Some(server) if !server.urls.is_empty() => {
            let (uptime, urls) = (seconds(server.uptime_s), server.urls.join(", "));
            format!("up for {uptime} at {urls}, version {version}")
        }
        // The token does not permit more.
        _ => format!("up at {target}, version {version}"),
    }
}

fn about_server(system: &System, running: bool) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let Some(server) = &system.server else { return rows };
    if running {
        let tls = server.certificate_expires_at.as_deref();
        let tls = tls.map(|end| format!("certificate valid until {}", when(end)));
        rows.push(("tls", tls.unwrap_or_else(|| "off".to_owned())));
    }
    rows.push(("data", server.data_dir.clone()));
    if running {
        let refused = system.pushes_refused.as_ref().map(|why| format!("refused: {why}"));
        rows.push(("pushes", refused.unwrap_or_else(|| "accepted".to_owned())));
        rows.push(("uploads", counted(server.uploads, "upload session open", "upload sessions open")));
    }
    rows.extend((server.database_bytes > 0).then(|| ("database", database(server))));
    rows.extend(server.pins.iter().rev().take(PINS).map(pins::field));
    rows.push(("dump", server.last_dump_at.as_deref().map_or_else(|| "none yet".to_owned(), when)));
    if running {
        rows.push(("check", check(server.last_check.as_ref())));
        let gc = server.last_gc.as_ref();
        let gc = gc.map(|gc| format!("{}, {} freed", when(&gc.ended_at), size(gc.freed_bytes)));
        rows.push(("gc", gc.unwrap_or_else(|| "none yet: stowage gc run".to_owned())));
        let scrub = server.last_scrub.as_ref();
        let scrub = scrub.map(|scrub| {
            let ended = scrub.ended_at.as_deref().map_or_else(|| "no run has ended yet".to_owned(), when);
            format!("{ended}, {}", problems(scrub.damaged))
        });
        rows.push(("scrub", scrub.unwrap_or_else(|| "none yet: stowage scrub run".to_owned())));
    }
    rows.extend(system.limits.iter().flatten().map(|limit| ("limit", reached(limit))));
    rows
}

fn check(last: Option<&LastCheck>) -> String {
    let Some(last) = last else { return "none yet: stowage fsck".to_owned() };
    format!("{}, {}", when(&last.ended_at), problems(last.problems))
}

/// The size of the database file; what to do about free space where that is worth it.
fn database(server: &Server) -> String {
    let (file, free) = (server.database_bytes, server.database_free_bytes);
    let text = format!("{} on disk, of it about {} free", size(file), size(free));
    if free > file / 2 && free >= WORTH_COMPACTING { format!("{text}: stowage compact") } else { text }
}

fn problems(number: u64) -> String {
    if number == 0 { "no problem".to_owned() } else { counted(number, "problem", "problems") }
}

fn reached(limit: &LimitReached) -> String {
    let LimitReached { principal, address, setting, limit, held, waiting, times: _ } = limit;
    let address = address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let waiting = counted(*waiting, "request", "requests");
    format!("{principal}{address} reached {setting} = {limit}: holds {held}, {waiting} waiting")
}

fn about_content(system: &System, biggest: &[Received<Repository>]) -> Vec<(&'static str, String)> {
    let counts = [
        counted(system.repositories, "repository", "repositories"),
        counted(system.tags, "tag", "tags"),
        counted(system.manifests, "manifest", "manifests"),
        counted(system.blobs, "blob", "blobs"),
    ];
    let (disk, unused) = (size(system.disk_bytes), size(system.unused_bytes));
    let mut rows = vec![
        ("content", format!("{}: {}", counts.join(", "), size(system.size_bytes))),
        ("blobs", format!("{disk} on disk, of it {unused} that nothing uses: stowage gc status")),
        ("trash", format!("{}: stowage trash list", counted(system.trash, "deletion", "deletions"))),
        ("disk", format!("{} of {} free", size(system.free_bytes), size(system.total_bytes))),
    ];
    let named: Vec<String> = biggest
        .iter()
        .map(|repository| format!("{} ({})", repository.name, size(repository.size_bytes)))
        .collect();
    if !named.is_empty() {
        rows.push(("biggest", format!("{}: stowage repo size", named.join(", "))));
    }
    rows
}

/// What needs attention soon.
fn attention(system: &System) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(system.changes_refused.as_ref().map(|why| format!("changes are refused: {why}")));
    found.extend(system.pushes_refused.as_ref().map(|why| format!("pushes are refused: {why}")));
    found.extend(
        system.space_warning.as_ref().map(|why| format!("{why}; see what can be freed: stowage gc status")),
    );
    let Some(server) = &system.server else { return found };
    found.extend(server.certificate_warnings.iter().cloned());
    if server.last_check.as_ref().is_some_and(|check| check.problems > 0) {
        found.push("the last check found damage: stowage fsck".to_owned());
    }
    if server.last_scrub.as_ref().is_some_and(|scrub| scrub.damaged > 0) {
        found.push("a scrub found damage that is not healed: stowage scrub quarantine list".to_owned());
    }
    if server.last_gc.as_ref().is_some_and(|gc| gc.spared > 0) {
        found.push(
            "garbage collection left damaged rows or files alone: stowage gc history, stowage fsck"
                .to_owned(),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LastScrub;

    const EXPIRED: &str = "the certificate registry.lan in tls.crt expired on 2020-01-01 00:00 UTC: renew it";

    #[test]
    fn what_needs_attention_is_named() {
        let well = System { server: Some(Server::default()), ..System::default() };
        assert_eq!(attention(&well), Vec::<String>::new());
        let check = LastCheck { ended_at: "2026-11-28T12:00:00Z".to_owned(), deep: false, problems: 1 };
        let ill = System {
            changes_refused: Some("the database file is gone".to_owned()),
            pushes_refused: Some("the disk is full".to_owned()),
            space_warning: Some("little is left".to_owned()),
            server: Some(Server {
                certificate_warnings: vec![EXPIRED.to_owned()],
                last_check: Some(check),
                last_scrub: Some(LastScrub { ended_at: Some("2026-11-29T04:30:00Z".to_owned()), damaged: 2 }),
                ..Server::default()
            }),
            ..System::default()
        };
        assert_eq!(
            attention(&ill),
            [
                "changes are refused: the database file is gone",
                "pushes are refused: the disk is full",
                "little is left; see what can be freed: stowage gc status",
                EXPIRED,
                "the last check found damage: stowage fsck",
                "a scrub found damage that is not healed: stowage scrub quarantine list",
            ]
        );
    }

    #[test]
    fn who_stands_at_a_limit_is_named() {
        let limit = LimitReached {
            principal: "ci".to_owned(),
            address: Some("10.0.0.7".to_owned()),
            setting: "limits.bodies".to_owned(),
            limit: 64,
            held: 64,
            waiting: 1,
            times: 9,
        };
        let (server, limits) = (Some(Server::default()), Some(vec![limit]));
        let rows = about_server(&System { server, limits, ..System::default() }, true);
        let (label, text) = rows.last().unwrap();
        assert_eq!(*label, "limit");
        assert_eq!(text, "ci (10.0.0.7) reached limits.bodies = 64: holds 64, 1 request waiting");
    }
}

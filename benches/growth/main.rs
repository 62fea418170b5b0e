//! Measures whether Stowage stays fast as its store grows. `cargo bench --bench growth -- --help` says how.

mod arguments;
mod collection;
mod compaction;
mod dumps;
mod layout;
mod meanwhile;
mod report;
mod requests;
mod seed;
mod server;
mod starts;

#[path = "../registry/connection.rs"]
mod connection;
#[allow(dead_code, reason = "the other load command pushes large blobs, too")]
#[path = "../registry/content.rs"]
mod content;
#[path = "../registry/failure.rs"]
mod failure;
#[allow(dead_code, unused_imports, reason = "the other load command pushes blobs, too")]
#[path = "../registry/operation/mod.rs"]
mod operation;
#[path = "../registry/process.rs"]
mod process;
#[allow(dead_code, reason = "the other load command draws the same numbers again")]
#[path = "../registry/random.rs"]
mod random;
#[path = "../registry/request.rs"]
mod request;
#[allow(dead_code, reason = "the other load command tells more of a round")]
#[path = "../registry/round.rs"]
mod round;
#[path = "../registry/target.rs"]
mod target;
#[path = "../registry/token.rs"]
mod token;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::arguments::{Arguments, BASE, Stage};
use crate::failure::Failure;
use crate::layout::{Layout, Sizes};
use crate::report::{Report, Row};
use crate::requests::{Prepared, Request, SETTINGS};
use crate::server::Server;
use crate::starts::Before;

/// The version of the content; a store with another version is seeded again.
const FORM: u32 = 1;

/// A seeded store.
struct Store {
    data_dir: PathBuf,
    layout: Arc<Layout>,
}

fn main() -> ExitCode {
    // `cargo bench` alone would run every benchmark; this one takes half an hour and gigabytes, so it needs
    // an argument.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        say(&Arguments::command().render_long_help().to_string());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(report) => {
            let text = if arguments.json { format!("{:#}\n", report.json()) } else { report.text() };
            let written = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(!report.missed().is_empty() || written.is_err()))
        }
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report, Failure> {
    let temporary = tempfile::Builder::new().prefix("stowage-growth-").tempdir()?;
    let dir = arguments.dir.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(dir)?;
    let stores = [seeded(&dir.join("small"), BASE)?, seeded(&dir.join("grown"), arguments.scale.grown())?];
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut report = Report { setting: setting(arguments), ..Report::default() };
    if arguments.runs(Stage::Requests) {
        requests(arguments, &runtime, &stores, &mut report)?;
    }
    if arguments.runs(Stage::Starts) {
        for before in Before::ALL {
            let mut starts = [Vec::new(), Vec::new()];
            for number in 0..arguments.rounds() {
                for turn in 0..2 {
                    let store = (number + turn) % 2;
                    let Store { data_dir, layout } = &stores[store];
                    let start = starts::start(data_dir, layout, before)?;
                    let names = ["small", "grown"];
                    say(&format!("start-up {}: {}: {:.0?}", before.name(), names[store], start.took));
                    starts[store].push(start);
                }
            }
            report.starts.push((before, starts));
        }
    }
    let Store { data_dir, layout } = &stores[1];
    if arguments.runs(Stage::Dumps) {
        let dumps = dumps::measure(&runtime, data_dir, layout, arguments.connections)?;
        say(&format!("dumps: {:.1?} and {:.1?}", dumps[0].took, dumps[1].took));
        report.dumps = Some(dumps);
    }
    if arguments.runs(Stage::Compaction) {
        let copy = tempfile::Builder::new().prefix("compacted-").tempdir_in(dir)?;
        let (paths, rows) = ((data_dir.as_path(), copy.path()), arguments.scale.deleted());
        let compacted = compaction::measure(&runtime, paths, layout, rows, arguments.connections)?;
        say(&format!("compactions: {:.1?} and {:.1?}", compacted[0].took, compacted[1].took));
        report.compactions = Some(compacted);
    }
    if arguments.runs(Stage::Collection) {
        let copy = tempfile::Builder::new().prefix("collected-").tempdir_in(dir)?;
        let (paths, blobs) = ((data_dir.as_path(), copy.path()), arguments.scale.garbage());
        let collected = collection::measure(&runtime, paths, layout, blobs, arguments.connections)?;
        say(&format!("garbage collection: {:.1?}", collected.took));
        report.collection = Some(collected);
    }
    if arguments.runs(Stage::Rebuild) && data_dir.join("dumps").exists() {
        let into = tempfile::Builder::new().prefix("rebuilt-").tempdir_in(dir)?;
        let paths = [("--data-dir", data_dir.as_path()), ("--into", into.path())];
        let ran = server::run("rebuild", &["--no-progress", "--json"], &paths)?;
        say(&format!("rebuild: {:.1?}", ran.took));
        report.rebuild = Some(ran);
    }
    if arguments.runs(Stage::Fsck) {
        let ran = server::run("fsck", &["--no-progress", "--json"], &[("--data-dir", data_dir.as_path())])?;
        say(&format!("fsck: {:.1?}", ran.took));
        report.fsck = Some(ran);
    }
    Ok(report)
}

/// The store in a directory, which is filled unless it was before.
fn seeded(data_dir: &Path, sizes: Sizes) -> Result<Store, Failure> {
    let layout = Arc::new(Layout::new(sizes));
    let mark = data_dir.with_extension("seeded");
    let wanted = format!("{FORM} {sizes:?}\n");
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(Store { data_dir: data_dir.to_owned(), layout });
    }
    if data_dir.exists() {
        return Err(Failure(format!(
            "{} holds something else than is to be measured: remove it",
            data_dir.display()
        )));
    }
    let begun = Instant::now();
    let on_progress = |done: usize| {
        say(&format!("{done} of {} manifests after {:.0?}", sizes.manifests, begun.elapsed()));
    };
    seed::fill(data_dir, &layout, &on_progress)?;
    say(&format!("{}: seeded in {:.1?}", data_dir.display(), begun.elapsed()));
    fs::write(mark, wanted)?;
    Ok(Store { data_dir: data_dir.to_owned(), layout })
}

/// Measures every request: in each round on both stores, beginning with the other one each time.
fn requests(
    arguments: &Arguments,
    runtime: &Runtime,
    stores: &[Store; 2],
    report: &mut Report,
) -> Result<(), Failure> {
    let servers =
        [Server::start(&stores[0].data_dir, SETTINGS)?, Server::start(&stores[1].data_dir, SETTINGS)?];
    let targets =
        [runtime.block_on(servers[0].target("small"))?, runtime.block_on(servers[1].target("grown"))?];
    let mut peaks = [0, 0];
    for request in Request::ALL {
        let mut row = Row { request, rounds: [Vec::new(), Vec::new()], failure: None };
        for number in 0..arguments.rounds() {
            for turn in 0..2 {
                let store = (number + turn) % 2;
                let (layout, target) = (&stores[store].layout, &targets[store]);
                if row.failure.is_some() || !request.suits(layout) {
                    continue;
                }
                peaks[store] = peaks[store].max(servers[store].peak());
                let lanes = runtime.block_on(async {
                    Prepared::new(request, layout, target)
                        .await?
                        .lanes(layout, target, arguments.connections)
                        .await
                });
                match lanes.and_then(|lanes| round::run(target, lanes, arguments.length())) {
                    Ok(round) => {
                        say(&format!(
                            "{} {}: {}: {:.0}/s",
                            request.name(),
                            number + 1,
                            target.name,
                            round.rate
                        ));
                        peaks[store] = peaks[store].max(round.peak.unwrap_or(0));
                        row.rounds[store].push(round);
                    }
                    Err(failure) => row.failure = Some(failure.to_string()),
                }
            }
        }
        report.rows.push(row);
    }
    report.peaks = Some(peaks);
    let [small, grown] = servers;
    small.stop()?;
    grown.stop()
}

/// The conditions of the measurement.
fn setting(arguments: &Arguments) -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "scale": format!("{:?}", arguments.scale).to_lowercase(),
        "small": format!("{:?}", BASE),
        "grown": format!("{:?}", arguments.scale.grown()),
        "rounds": arguments.rounds(),
        "seconds": arguments.length().as_secs_f64(),
        "connections": arguments.connections,
        "cores": available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load_before": read("/proc/loadavg"),
    })
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

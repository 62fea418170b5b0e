//! Compares OCI registries with each other. `cargo bench --bench registry -- --help` says how.

mod arguments;
mod connection;
mod content;
mod failure;
mod lists;
mod operation;
mod plan;
mod process;
mod random;
mod report;
mod request;
mod round;
mod scale;
mod seed;
mod target;
mod token;
mod workload;

use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;
use std::time::Instant;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::lists::{List, Pages};
use crate::plan::Bench;
use crate::report::{Outcome, Report, Row};
use crate::round::Round;
use crate::target::Target;
use crate::workload::{Unit, Workload};

fn main() -> ExitCode {
    // `cargo bench` alone runs every benchmark; without a target there is nothing to measure.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        say(&Arguments::command().render_long_help().to_string());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(report) => {
            let text = if arguments.json {
                format!("{:#}\n", report::json(&report))
            } else {
                report::table(&report)
            };
            let written = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(report.is_void() || written.is_err()))
        }
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report, Failure> {
    let baseline = arguments.baseline()?;
    let workloads = arguments.workloads();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut targets = Vec::new();
    for spec in &arguments.targets {
        let target = runtime.block_on(Target::connect(spec));
        targets.push(target.map_err(|failure| failure.during(&spec.name))?);
    }
    let setting = setting(arguments);
    let bench = Bench::new(arguments.scale.sizes(), arguments.connections, &workloads);
    for target in &targets {
        let begun = Instant::now();
        let seeded = runtime.block_on(seed::seed(&bench, target, &workloads));
        seeded.map_err(|failure| failure.during(&format!("seeding {}", target.name)))?;
        say(&format!("{}: seeded in {:.1} s", target.name, begun.elapsed().as_secs_f64()));
    }
    let rows =
        workloads.iter().map(|workload| row(&runtime, arguments, &bench, &targets, *workload)).collect();
    Ok(Report { names: targets.into_iter().map(|target| target.name).collect(), baseline, rows, setting })
}

/// Measures a workload: in each round every target, beginning with another one each time.
fn row(
    runtime: &Runtime,
    arguments: &Arguments,
    bench: &Bench,
    targets: &[Target],
    workload: Workload,
) -> Row {
    let mut outcomes = Vec::new();
    let mut pages = Vec::new();
    for target in targets {
        let learned = match List::of(bench, workload) {
            Some(list) => runtime.block_on(list.learn(target)),
            None => Ok(Pages::default()),
        };
        let (learned, failure) =
            learned.map_or_else(|failure| (Pages::default(), Some(failure)), |ok| (ok, None));
        outcomes.push(Outcome { rounds: Vec::new(), failure, note: learned.note.clone() });
        pages.push(learned);
    }
    for number in 0..arguments.rounds() {
        for turn in 0..targets.len() {
            let index = (number + turn) % targets.len();
            if outcomes[index].failure.is_some() {
                continue;
            }
            if workload.writes() {
                // Syncs first, so that the last target's dirty pages are not written at the expense of this
                // one.
                let _ = Command::new("sync").status();
            }
            let lanes = runtime.block_on(bench.lanes(workload, &targets[index], &pages[index]));
            let round = lanes.and_then(|lanes| round::run(&targets[index], lanes, arguments.length()));
            tell(workload, number, &targets[index].name, &round);
            match round {
                Ok(round) => outcomes[index].rounds.push(round),
                Err(failure) => outcomes[index].failure = Some(failure),
            }
        }
    }
    Row { workload, outcomes }
}

fn tell(workload: Workload, number: usize, name: &str, round: &Result<Round, Failure>) {
    let figure = match round {
        Ok(round) => match workload.unit() {
            Unit::Operations => format!("{:.0}/s", round.rate),
            Unit::Megabytes => format!("{:.0} MB/s", round.megabytes),
            Unit::Milliseconds => format!("p99 {:.1} ms", round.p99.as_secs_f64() * 1e3),
        },
        Err(failure) => format!("VOID: {failure}"),
    };
    say(&format!("{} {}: {name}: {figure}", workload.name(), number + 1));
}

/// The conditions of the measurement.
fn setting(arguments: &Arguments) -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    json!({
        "scale": format!("{:?}", arguments.scale).to_lowercase(),
        "rounds": arguments.rounds(),
        "seconds": arguments.length().as_secs_f64(),
        "connections": arguments.connections,
        "cores": available_parallelism().map_or(0, usize::from),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load_before": read("/proc/loadavg"),
    })
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

//! Clients that read and push while a job of the server works: how late they are before it and meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::layout::Layout;
use crate::requests::{Prepared, Request, Spread};
use crate::round::{self, Driver, Pace, Round};
use crate::server::Server;
use crate::target::Target;

/// The length of a slice of time in which clients are measured.
const SLICE: Duration = Duration::from_millis(500);
/// Slices before the job begins.
const BEFORE: usize = 10;
/// The time between two requests of a connection.
const PACE: Duration = Duration::from_millis(10);
/// Connections that push tags, besides those that read manifests.
const PUSHERS: usize = 2;
const PATIENCE: Duration = Duration::from_mins(20);

/// The latencies of one kind of request: medians of the 99th percentiles of slices of time, and the longest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) before: Duration,
    pub(crate) during: Duration,
    pub(crate) longest_before: Duration,
    pub(crate) longest: Duration,
}

/// A job that clients met.
pub(crate) struct Met {
    /// The job at its end, as the API shows it.
    pub(crate) job: Value,
    /// The peak memory of the server meanwhile, in bytes.
    pub(crate) peak: u64,
    pub(crate) reads: Latency,
    pub(crate) pushes: Latency,
}

/// Starts a job while clients read any manifest and push tags, and waits for its end.
pub(crate) fn run(
    runtime: &Runtime,
    server: &Server,
    layout: &Layout,
    connections: usize,
    (path, body): (&str, &str),
) -> Result<Met, Failure> {
    let targets = [runtime.block_on(server.target("reads"))?, runtime.block_on(server.target("pushes"))?];
    let slice = || slice(runtime, layout, connections, &targets);
    let mut slices = [Vec::new(), Vec::new()];
    for _ in 0..BEFORE {
        slices[0].push(slice()?);
    }
    let id = server.json("POST", path, body)?["id"].as_str().unwrap_or_default().to_owned();
    let begun = Instant::now();
    let job = loop {
        slices[1].push(slice()?);
        let job = server.json("GET", &format!("/api/v1/jobs/{id}"), "")?;
        if job["state"] != "running" {
            break job;
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure(format!("the job does not end:\n{}", server.log())));
        }
    };
    let peaks = slices[1].iter().flatten().filter_map(|round| round.peak);
    let peak = peaks.max().unwrap_or(0).max(server.peak());
    Ok(Met { job, peak, reads: latency(&slices, 0), pushes: latency(&slices, 1) })
}

/// A slice of time: reads and pushes at the same time.
fn slice(
    runtime: &Runtime,
    layout: &Layout,
    connections: usize,
    targets: &[Target; 2],
) -> Result<[Round; 2], Failure> {
    let kinds = [(Request::ManifestByTag(Spread::Any), connections), (Request::PushTag, PUSHERS)];
    let mut works = Vec::new();
    for ((request, connections), target) in kinds.into_iter().zip(targets) {
        let lanes = runtime.block_on(async {
            Prepared::new(request, layout, target).await?.lanes(layout, target, connections).await
        })?;
        works.push((target, paced(lanes)));
    }
    let rounds: Vec<Result<Round, Failure>> = thread::scope(|scope| {
        let threads: Vec<_> = works
            .into_iter()
            .map(|(target, lanes)| scope.spawn(move || round::run(target, lanes, SLICE)))
            .collect();
        let panicked = || Failure("a thread of the load command panicked".into());
        threads.into_iter().map(|thread| thread.join().map_err(|_| panicked())?).collect()
    });
    let rounds: Vec<Round> = rounds.into_iter().collect::<Result<_, _>>()?;
    rounds.try_into().map_err(|_| Failure("a kind of request was not measured".into()))
}

fn paced(mut lanes: Vec<Vec<Driver>>) -> Vec<Vec<Driver>> {
    for driver in lanes.iter_mut().flatten() {
        driver.pace = Some(Pace { first: Duration::ZERO, every: PACE });
    }
    lanes
}

fn latency(slices: &[Vec<[Round; 2]>; 2], kind: usize) -> Latency {
    let late = |when: usize, figure: fn(&Round) -> Duration| {
        let mut times: Vec<Duration> = slices[when].iter().map(|rounds| figure(&rounds[kind])).collect();
        times.sort_unstable();
        times
    };
    let median = |times: Vec<Duration>| times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = |times: Vec<Duration>| times.last().copied().unwrap_or_default();
    Latency {
        before: median(late(0, |round| round.p99)),
        during: median(late(1, |round| round.p99)),
        longest_before: longest(late(0, |round| round.longest)),
        longest: longest(late(1, |round| round.longest)),
    }
}

/// How long a job worked.
pub(crate) fn took(job: &Value) -> Result<Duration, Failure> {
    let time = |name: &str| job[name].as_str()?.parse::<jiff::Timestamp>().ok();
    let milliseconds = || {
        let (began, ended) = (time("started_at")?, time("ended_at")?);
        u64::try_from(ended.as_millisecond() - began.as_millisecond()).ok()
    };
    let milliseconds = milliseconds().ok_or_else(|| Failure(format!("the job has no times: {job}")))?;
    Ok(Duration::from_millis(milliseconds))
}

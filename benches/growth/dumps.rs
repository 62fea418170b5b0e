//! Dumps of a store while it is read: their duration, their memory, and their effect on readers.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::layout::Layout;
use crate::requests::{Prepared, Request, Spread};
use crate::round::{self, Pace};
use crate::server::Server;

/// The interval of dumps, from the start on.
const EVERY: &str = "8s";
/// The length of a slice of time in which readers are measured.
const SLICE: Duration = Duration::from_millis(500);
/// The time between two reads of a connection.
const PACE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(20);

/// A dump that was made.
#[derive(Clone, Debug)]
pub(crate) struct Dumped {
    pub(crate) took: Duration,
    /// The bytes written.
    pub(crate) bytes: u64,
    /// The peak memory of the server meanwhile, in bytes.
    pub(crate) peak: u64,
    /// The 99th percentile of manifest GETs in slices of time: the median of the slices before the dump, the
    /// median of those during it, and the worst of these.
    pub(crate) before: Duration,
    pub(crate) during: Duration,
    pub(crate) worst: Duration,
}

/// Lets a server make two dumps: the first with all bodies of manifests, the second with the bodies already
/// in segments.
pub(crate) fn measure(
    runtime: &Runtime,
    data_dir: &Path,
    layout: &Layout,
    connections: usize,
) -> Result<[Dumped; 2], Failure> {
    let dir = data_dir.join("dumps");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let server = Server::start(data_dir, &[("STOWAGE__STORAGE__DUMPS__EVERY", EVERY)])?;
    let target = runtime.block_on(server.target("dumps"))?;
    let prepared = runtime.block_on(Prepared::new(Request::ManifestByTag(Spread::Any), layout, &target))?;
    let begun = Instant::now();
    let mut made = Vec::new();
    let (mut before, mut during, mut peak) = (Vec::new(), Vec::new(), 0);
    while made.len() < 2 {
        if begun.elapsed() > PATIENCE {
            return Err(Failure(format!("no dump was made:\n{}", server.log())));
        }
        let busy = under_way(&dir);
        let mut lanes = runtime.block_on(prepared.lanes(layout, &target, connections))?;
        for driver in lanes.iter_mut().flatten() {
            driver.pace = Some(Pace { first: Duration::ZERO, every: PACE });
        }
        let between = server.peak();
        let slice = round::run(&target, lanes, SLICE)?;
        let logged = dumps_in(&server.log());
        if busy || under_way(&dir) || logged.len() > made.len() {
            during.push(slice.p99);
            peak = peak.max(slice.peak.unwrap_or(0)).max(between);
        } else {
            before.push(slice.p99);
        }
        if let Some((took, bytes)) = logged.get(made.len()).copied() {
            let worst = during.iter().max().copied().unwrap_or_default();
            let (before, during) =
                (median(&std::mem::take(&mut before)), median(&std::mem::take(&mut during)));
            made.push(Dumped { took, bytes, peak, before, during, worst });
            peak = 0;
        }
    }
    server.stop()?;
    made.try_into().map_err(|_| Failure("more dumps than were waited for".into()))
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Whether a dump is being written.
fn under_way(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "new"))
}

/// The duration and the bytes of each dump in a log.
fn dumps_in(log: &str) -> Vec<(Duration, u64)> {
    let field = |line: &str, name: &str| -> Option<u64> {
        let rest = line.split_once(&format!(" {name}="))?.1;
        rest.split_whitespace().next()?.parse().ok()
    };
    let lines = log.lines().filter(|line| line.contains("dumped the metadata"));
    lines
        .filter_map(|line| Some((Duration::from_millis(field(line, "ms")?), field(line, "bytes")?)))
        .collect()
}

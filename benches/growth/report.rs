//! The results, their bounds, and their output.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::collection::Collected;
use crate::compaction::Compacted;
use crate::dumps::Dumped;
use crate::meanwhile::Latency;
use crate::requests::Request;
use crate::round::Round;
use crate::server::Ran;
use crate::starts::{Before, StartUp};

/// The factor by which a request may be slower in the large store.
const SLOWER: f64 = 1.5;
/// The longest permitted start.
const START: Duration = Duration::from_secs(1);
/// The most memory that the server may use.
const MEMORY: u64 = 150 << 20;

/// A request, measured on both stores alternately.
pub(crate) struct Row {
    pub(crate) request: Request,
    /// The rounds on the small store and on the large one; only the large one if the small store has too
    /// little content.
    pub(crate) rounds: [Vec<Round>; 2],
    pub(crate) failure: Option<String>,
}

/// All results.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) setting: Value,
    pub(crate) rows: Vec<Row>,
    /// For each kind of start, the starts of the small store and of the large one.
    pub(crate) starts: Vec<(Before, [Vec<StartUp>; 2])>,
    /// The peak memory of both servers under load, in bytes.
    pub(crate) peaks: Option<[u64; 2]>,
    pub(crate) dumps: Option<[Dumped; 2]>,
    pub(crate) compactions: Option<[Compacted; 2]>,
    pub(crate) collection: Option<Collected>,
    pub(crate) rebuild: Option<Ran>,
    pub(crate) fsck: Option<Ran>,
}

impl Row {
    fn median(&self, store: usize, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        median(self.rounds[store].iter().filter_map(figure).collect())
    }

    /// The factor by which the large store is slower: the median over the rounds, each compared within
    /// itself.
    fn slower(&self) -> Option<f64> {
        let [small, grown] = &self.rounds;
        median(small.iter().zip(grown).map(|(small, grown)| small.rate / grown.rate).collect())
    }

    fn dearer(&self) -> Option<f64> {
        let cpu = |store| self.median(store, |round| round.cpu_per_operation);
        Some(cpu(1)? / cpu(0)?)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn took(starts: &[StartUp]) -> Duration {
    let mut times: Vec<_> = starts.iter().map(|start| start.took).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn peak(starts: &[StartUp]) -> u64 {
    starts.iter().map(|start| start.peak).max().unwrap_or(0)
}

impl Report {
    /// The bounds that were missed.
    pub(crate) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for row in &self.rows {
            if let Some(failure) = &row.failure {
                missed.push(format!("VOID {}: {failure}", row.request.name()));
            } else if let Some(slower) =
                row.slower().filter(|slower| row.request.is_judged() && *slower > SLOWER)
            {
                missed.push(format!("{}: {slower:.2} times slower, more than {SLOWER}", row.request.name()));
            }
        }
        for (before, [_, grown]) in &self.starts {
            let took = took(grown);
            if took > START {
                missed.push(format!("start-up {}: {took:.2?}, more than {START:?}", before.name()));
            }
        }
        for (when, bytes) in self.memory() {
            if bytes > MEMORY {
                missed.push(format!("memory {when}: {} MiB, more than {} MiB", bytes >> 20, MEMORY >> 20));
            }
        }
        missed
    }

    /// The peaks of the server's memory on the large store, and when they occurred.
    fn memory(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for (before, [_, grown]) in &self.starts {
            all.push((format!("at the start {}", before.name()), peak(grown)));
        }
        all.extend(self.peaks.map(|[_, grown]| ("under load".to_owned(), grown)));
        for (name, dump) in
            ["in the first dump", "in the next dump"].into_iter().zip(self.dumps.iter().flatten())
        {
            all.push((name.to_owned(), dump.peak));
        }
        all.extend(self.collection.iter().map(|done| ("in a garbage collection".to_owned(), done.peak)));
        all.extend(self.compactions.iter().flatten().map(|done| ("in a compaction".to_owned(), done.peak)));
        all
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            text += "| request | small | grown | slower | server CPU | CPU | p99 ms |\n|---|--:|--:|--:|--:|--:|--:|\n";
        }
        for row in &self.rows {
            let rate =
                |store| figure(row.median(store, |round| Some(round.rate)), |rate| format!("{rate:.0}/s"));
            let cpu = |store| {
                figure(row.median(store, |round| round.cpu_per_operation), |cpu| format!("{:.0}", cpu * 1e6))
            };
            let p99 = |store| {
                let late = row.median(store, |round| Some(round.p99.as_secs_f64()));
                figure(late, |late| format!("{:.1}", late * 1e3))
            };
            let times = |ratio: Option<f64>| figure(ratio, |ratio| format!("{ratio:.2}x"));
            let _ = writeln!(
                text,
                "| {} | {} | {} | **{}** | {} / {} µs | {} | {} / {} |",
                row.request.name(),
                rate(0),
                rate(1),
                times(row.slower()),
                cpu(0),
                cpu(1),
                times(row.dearer()),
                p99(0),
                p99(1),
            );
        }
        if !self.starts.is_empty() {
            text += "\n| start-up | small | grown | memory MiB |\n|---|--:|--:|--:|\n";
        }
        for (before, [small, grown]) in &self.starts {
            let _ = writeln!(
                text,
                "| {} | {} ms | {} ms | {} / {} |",
                before.name(),
                took(small).as_millis(),
                took(grown).as_millis(),
                peak(small) >> 20,
                peak(grown) >> 20
            );
        }
        if let Some([small, grown]) = self.peaks {
            let _ = writeln!(text, "\nmemory under load: {} / {} MiB", small >> 20, grown >> 20);
        }
        for (name, dump) in ["first dump", "next dump"].into_iter().zip(self.dumps.iter().flatten()) {
            let _ = writeln!(
                text,
                "{name}: {:.1} s, {} MB written, {} MiB of memory; p99 of manifest GETs {:.1} ms before, {:.1} ms meanwhile, {:.1} ms at its worst",
                dump.took.as_secs_f64(),
                dump.bytes / 1_000_000,
                dump.peak >> 20,
                dump.before.as_secs_f64() * 1e3,
                dump.during.as_secs_f64() * 1e3,
                dump.worst.as_secs_f64() * 1e3,
            );
        }
        for done in self.compactions.iter().flatten() {
            let _ = writeln!(text, "{}", compaction(done));
        }
        if let Some(done) = &self.collection {
            let _ = writeln!(text, "{}", collection(done));
        }
        if let Some(ran) = &self.rebuild {
            let (seconds, peak) = (ran.took.as_secs_f64(), ran.peak >> 20);
            let _ = writeln!(text, "rebuild: {seconds:.1} s, {peak} MiB of memory");
        }
        // A child process examines the store, and its memory is not measured.
        if let Some(ran) = &self.fsck {
            let _ = writeln!(text, "fsck: {:.1} s", ran.took.as_secs_f64());
        }
        for missed in self.missed() {
            let _ = writeln!(text, "\nMISSED {missed}");
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let store = |row: &Row, store: usize| {
            json!({
                "rates": row.rounds[store].iter().map(|round| round.rate).collect::<Vec<_>>(),
                "rate": row.median(store, |round| Some(round.rate)),
                "cpu_us": row.median(store, |round| Some(round.cpu_per_operation? * 1e6)),
                "p50_ms": row.median(store, |round| Some(round.p50.as_secs_f64() * 1e3)),
                "p99_ms": row.median(store, |round| Some(round.p99.as_secs_f64() * 1e3)),
            })
        };
        let starts = |starts: &[StartUp]| {
            json!({
                "ms": starts.iter().map(|start| start.took.as_millis()).collect::<Vec<_>>(),
                "peak_bytes": peak(starts),
            })
        };
        let ran = |ran: &Option<Ran>| {
            ran.as_ref().map(|ran| json!({ "seconds": ran.took.as_secs_f64(), "peak_bytes": ran.peak }))
        };
        json!({
            "setting": self.setting,
            "requests": self.rows.iter().map(|row| json!({
                "request": row.request.name(),
                "small": store(row, 0),
                "grown": store(row, 1),
                "slower": row.slower(),
                "cpu_ratio": row.dearer(),
                "failure": row.failure,
            })).collect::<Vec<_>>(),
            "starts": self.starts.iter().map(|(before, [small, grown])| json!({
                "before": before.name(),
                "small": starts(small),
                "grown": starts(grown),
            })).collect::<Vec<_>>(),
            "peaks_under_load": self.peaks,
            "dumps": self.dumps.iter().flatten().map(|dump| json!({
                "seconds": dump.took.as_secs_f64(),
                "bytes": dump.bytes,
                "peak_bytes": dump.peak,
                "p99_before_ms": dump.before.as_secs_f64() * 1e3,
                "p99_during_ms": dump.during.as_secs_f64() * 1e3,
                "p99_worst_ms": dump.worst.as_secs_f64() * 1e3,
            })).collect::<Vec<_>>(),
            "compactions": self.compactions.iter().flatten().map(compaction_json).collect::<Vec<_>>(),
            "collection": self.collection.as_ref().map(collection_json),
            "rebuild": ran(&self.rebuild),
            "fsck_seconds": self.fsck.as_ref().map(|ran| ran.took.as_secs_f64()),
            "missed": self.missed(),
        })
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

fn late(late: &Latency) -> String {
    let (before, during) = (ms(late.before), ms(late.during));
    let (longest_before, longest) = (ms(late.longest_before), ms(late.longest));
    format!("p99 {before} ms before, {during} ms meanwhile, longest {longest_before} and {longest} ms")
}

fn late_json(late: &Latency) -> Value {
    json!({
        "p99_before_ms": late.before.as_secs_f64() * 1e3,
        "p99_during_ms": late.during.as_secs_f64() * 1e3,
        "longest_before_ms": late.longest_before.as_secs_f64() * 1e3,
        "longest_ms": late.longest.as_secs_f64() * 1e3,
    })
}

fn collection(done: &Collected) -> String {
    format!(
        "garbage collection of {} blobs: {:.1} s, {} KB freed, {} MiB of memory; manifest GETs {}; pushes of tags {}; idle afterwards: {:.2} % of a core",
        done.blobs,
        done.took.as_secs_f64(),
        done.freed / 1_000,
        done.peak >> 20,
        late(&done.reads),
        late(&done.pushes),
        done.idle * 100.0,
    )
}

fn collection_json(done: &Collected) -> Value {
    json!({
        "blobs": done.blobs,
        "freed_bytes": done.freed,
        "seconds": done.took.as_secs_f64(),
        "peak_bytes": done.peak,
        "reads": late_json(&done.reads),
        "pushes": late_json(&done.pushes),
        "idle": done.idle,
    })
}

fn compaction(done: &Compacted) -> String {
    format!(
        "compaction after {} deleted rows: {:.1} s, from {} to {} MB (estimated {} MB), {} rows copied, changes waited {} ms, {} MiB of memory; \
         manifest GETs {}; pushes of tags {}",
        done.deleted,
        done.took.as_secs_f64(),
        done.before / 1_000_000,
        done.after / 1_000_000,
        done.estimated / 1_000_000,
        done.rows,
        ms(done.paused),
        done.peak >> 20,
        late(&done.reads),
        late(&done.pushes),
    )
}

fn compaction_json(done: &Compacted) -> Value {
    json!({
        "deleted_rows": done.deleted,
        "before_bytes": done.before,
        "after_bytes": done.after,
        "estimated_bytes": done.estimated,
        "rows": done.rows,
        "seconds": done.took.as_secs_f64(),
        "paused_ms": done.paused.as_secs_f64() * 1e3,
        "peak_bytes": done.peak,
        "reads": late_json(&done.reads),
        "pushes": late_json(&done.pushes),
    })
}

fn figure(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

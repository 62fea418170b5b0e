//! The results for programs: every round, the medians, the ratios.

use serde_json::{Value, json};

use super::{Outcome, Report, Row, figure, ratio};
use crate::round::Round;
use crate::workload::Unit;

/// Everything as one JSON object.
pub(crate) fn json(report: &Report) -> Value {
    json!({
        "setting": report.setting,
        "targets": report.names,
        "baseline": report.names[report.baseline],
        "void": report.is_void(),
        "workloads": report.rows.iter().map(|row| workload(report, row)).collect::<Vec<_>>(),
    })
}

fn workload(report: &Report, row: &Row) -> Value {
    let unit = row.workload.unit();
    let baseline = &row.outcomes[report.baseline];
    let results = report.names.iter().zip(&row.outcomes).map(|(name, outcome)| {
        let mut result = outcome_json(outcome, unit);
        result["target"] = name.as_str().into();
        result["ratio"] = json!(ratio(unit, outcome.figure(unit), baseline.figure(unit)));
        result["cpu_ratio"] =
            json!(outcome.cpu(unit).zip(baseline.cpu(unit)).map(|(own, other)| own / other));
        let peaks = outcome.peak().zip(baseline.peak());
        result["peak_ratio"] = json!(peaks.map(|(own, other)| ratio_of(own, other)));
        result
    });
    json!({
        "workload": row.workload.name(),
        "unit": match unit {
            Unit::Operations => "operations_per_second",
            Unit::Megabytes => "megabytes_per_second",
            Unit::Milliseconds => "p99_milliseconds",
        },
        "results": results.collect::<Vec<_>>(),
    })
}

fn outcome_json(outcome: &Outcome, unit: Unit) -> Value {
    json!({
        "void": outcome.failure.as_ref().map(ToString::to_string),
        "note": outcome.note,
        "median": outcome.figure(unit),
        "operations_per_second": outcome.median(|round| Some(round.rate)),
        "megabytes_per_second": outcome.median(|round| Some(round.megabytes)),
        "p50_ms": outcome.median(|round| Some(round.p50.as_secs_f64() * 1e3)),
        "p99_ms": outcome.median(|round| Some(round.p99.as_secs_f64() * 1e3)),
        "server_cpu_us_per_operation": outcome.median(|round| Some(round.cpu_per_operation? * 1e6)),
        "server_cpu_ms_per_megabyte": outcome.median(|round| Some(round.cpu_per_megabyte? * 1e3)),
        "client_cpu_us_per_operation": outcome.median(|round| Some(round.client_per_operation? * 1e6)),
        "peak_bytes": outcome.peak(),
        "rounds": outcome.rounds.iter().map(|round| round_json(round, unit)).collect::<Vec<_>>(),
    })
}

fn round_json(round: &Round, unit: Unit) -> Value {
    json!({
        "figure": figure(round, unit),
        "operations": round.operations,
        "p99_ms": round.p99.as_secs_f64() * 1e3,
        "longest_ms": round.longest.as_secs_f64() * 1e3,
        "server_cpu_us_per_operation": round.cpu_per_operation.map(|seconds| seconds * 1e6),
        "peak_bytes": round.peak,
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
fn ratio_of(own: u64, other: u64) -> f64 {
    own as f64 / other as f64
}

//! The results: medians, ratios, a table, JSON.

mod json;
mod table;

pub(crate) use json::json;
pub(crate) use table::table;

use crate::failure::Failure;
use crate::round::Round;
use crate::workload::{Unit, Workload};

/// The result of a target in a workload.
pub(crate) struct Outcome {
    pub(crate) rounds: Vec<Round>,
    /// The failure that makes the result void.
    pub(crate) failure: Option<Failure>,
    /// A deviation of the target from the requests.
    pub(crate) note: Option<String>,
}

/// A workload with the outcome of each target.
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) outcomes: Vec<Outcome>,
}

/// All results.
pub(crate) struct Report {
    pub(crate) names: Vec<String>,
    pub(crate) baseline: usize,
    pub(crate) rows: Vec<Row>,
    /// The conditions of the measurement.
    pub(crate) setting: serde_json::Value,
}

impl Report {
    /// Whether any result is void.
    pub(crate) fn is_void(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.outcomes).any(|outcome| outcome.failure.is_some())
    }
}

impl Outcome {
    /// The median of a figure over the rounds; `None` if the result is void.
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        if self.failure.is_some() {
            return None;
        }
        median(self.rounds.iter().map(figure).collect::<Option<Vec<_>>>()?)
    }

    /// The main figure of this workload.
    pub(crate) fn figure(&self, unit: Unit) -> Option<f64> {
        self.median(|round| Some(figure(round, unit)))
    }

    /// The difference between the best and the worst round, relative to the median.
    pub(crate) fn spread(&self, unit: Unit) -> Option<f64> {
        let figures = self.rounds.iter().map(|round| figure(round, unit));
        let (least, most) = (figures.clone().reduce(f64::min)?, figures.reduce(f64::max)?);
        Some((most - least) / self.figure(unit)?)
    }

    /// Seconds of server CPU for an operation or a megabyte. `None` if other work runs at the same time,
    /// which makes it meaningless.
    pub(crate) fn cpu(&self, unit: Unit) -> Option<f64> {
        match unit {
            Unit::Operations => self.median(|round| round.cpu_per_operation),
            Unit::Megabytes => self.median(|round| round.cpu_per_megabyte),
            Unit::Milliseconds => None,
        }
    }

    /// The highest memory of all rounds, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        self.rounds.iter().filter_map(|round| round.peak).max().filter(|_| self.failure.is_none())
    }
}

/// The main figure of a round.
pub(crate) fn figure(round: &Round, unit: Unit) -> f64 {
    match unit {
        Unit::Operations => round.rate,
        Unit::Megabytes => round.megabytes,
        Unit::Milliseconds => round.p99.as_secs_f64() * 1e3,
    }
}

/// The factor by which a figure is better than the baseline's.
pub(crate) fn ratio(unit: Unit, figure: Option<f64>, baseline: Option<f64>) -> Option<f64> {
    match unit {
        Unit::Operations | Unit::Megabytes => Some(figure? / baseline?),
        Unit::Milliseconds => Some(baseline? / figure?),
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(figures[middle]),
        _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
    }
}

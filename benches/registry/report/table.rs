//! The results as a Markdown table that is also readable as text.

use super::{Outcome, Report, Row, ratio};
use crate::workload::Unit;

const HEADINGS: [&str; 9] =
    ["workload", "target", "rate", "ratio", "spread", "server CPU", "CPU ratio", "p99 ms", "peak MiB"];

/// The table, then failures and deviations.
pub(crate) fn table(report: &Report) -> String {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    let mut remarks = Vec::new();
    for row in &report.rows {
        for (index, (name, outcome)) in report.names.iter().zip(&row.outcomes).enumerate() {
            lines.push(line(report, row, index));
            let subject = format!("{} {name}", row.workload.name());
            remarks.extend(outcome.failure.iter().map(|failure| format!("VOID {subject}: {failure}")));
            remarks.extend(outcome.note.iter().map(|note| format!("note {subject}: {note}")));
        }
    }
    let widths: Vec<_> = (0..HEADINGS.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += "| ";
        text += &cells.collect::<Vec<_>>().join(" | ");
        text += " |\n";
        if index == 0 {
            let rules = widths.iter().enumerate().map(|(column, width)| match column {
                0 | 1 => "-".repeat(width + 2),
                _ => "-".repeat(width + 1) + ":",
            });
            text += "|";
            text += &rules.collect::<Vec<_>>().join("|");
            text += "|\n";
        }
    }
    for remark in remarks {
        text += "\n";
        text += &remark;
        text += "\n";
    }
    text
}

fn line(report: &Report, row: &Row, index: usize) -> [String; 9] {
    let unit = row.workload.unit();
    let (outcome, baseline) = (&row.outcomes[index], &row.outcomes[report.baseline]);
    let times = |ratio: Option<f64>| match ratio {
        Some(_) if index == report.baseline => "1".to_owned(),
        Some(ratio) if ratio < 10.0 => format!("{ratio:.2}x"),
        Some(ratio) => format!("{ratio:.1}x"),
        None => "-".to_owned(),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        row.workload.name(),
        report.names[index].clone(),
        rate(outcome, unit),
        times(ratio(unit, outcome.figure(unit), baseline.figure(unit))),
        or_dash(outcome.spread(unit).map(|spread| format!("{:.0}%", spread * 100.0))),
        or_dash(outcome.cpu(unit).map(|seconds| cpu(seconds, unit))),
        times(outcome.cpu(unit).zip(baseline.cpu(unit)).map(|(own, other)| own / other)),
        or_dash(outcome.median(|round| Some(round.p99.as_secs_f64() * 1e3)).map(milliseconds)),
        or_dash(outcome.peak().map(|bytes| (bytes >> 20).to_string())),
    ]
}

fn rate(outcome: &Outcome, unit: Unit) -> String {
    let (figure, unit) = match unit {
        Unit::Operations | Unit::Milliseconds => (outcome.median(|round| Some(round.rate)), "/s"),
        Unit::Megabytes => (outcome.median(|round| Some(round.megabytes)), " MB/s"),
    };
    figure.map_or_else(|| "VOID".to_owned(), |figure| grouped(figure) + unit)
}

fn cpu(seconds: f64, unit: Unit) -> String {
    match unit {
        Unit::Megabytes => format!("{:.2} ms/MB", seconds * 1e3),
        _ if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        _ => format!("{:.2} ms", seconds * 1e3),
    }
}

fn milliseconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// A number with separators between thousands.
fn grouped(value: f64) -> String {
    let digits = if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && index < whole && (whole - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

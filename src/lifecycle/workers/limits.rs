//! Logs which principals reached which limits.

use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::worker::Worker;
use crate::limits::{Ledger, Standing};

/// The most lines about limits in one report; the rest is counted.
const LIMITS_TOLD: usize = 10;

pub(super) struct ReportLimits {
    pub(super) ledger: Arc<Ledger>,
}

impl Worker for ReportLimits {
    fn pause(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn step(&self) {
        report(&self.ledger.report());
    }
}

/// Logs which principals reached which limits since the last report.
pub fn report(standings: &[Standing]) {
    for standing in standings.iter().take(LIMITS_TOLD) {
        tracing::warn!(
            principal = standing.principal,
            address = standing.address.map(tracing::field::display),
            setting = standing.setting,
            limit = standing.limit,
            times = standing.times,
            waiting = standing.waiting,
            "a limit was reached: too many {}",
            standing.resource.words(),
        );
    }
    if standings.len() > LIMITS_TOLD {
        tracing::warn!(principals = standings.len() - LIMITS_TOLD, "more principals reached a limit");
    }
}

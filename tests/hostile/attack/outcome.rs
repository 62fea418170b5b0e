//! The outcome of a load: its row in the table, and whether the server held.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{HONEST_P99, HONEST_PATIENCE, proof};
use crate::process::{MEMORY_MIB, note};

/// The outcome of a load.
pub(crate) struct Outcome {
    pub(super) name: String,
    pub(super) connections: usize,
    pub(super) wanted: usize,
    /// Connections whose load the server accepted.
    pub(crate) accepted: usize,
    /// Connections that met a limit: 429 or 503.
    pub(crate) limited: usize,
    pub(super) refused: BTreeMap<u16, usize>,
    pub(super) replies: usize,
    /// The number of connections that got each status at least once; of a flood, requests.
    pub(super) answered: BTreeMap<u16, usize>,
    /// The duration of each request of the honest client, sorted.
    pub(super) waits: Vec<Duration>,
    /// The peak memory of the server.
    pub(crate) peak_mib: u64,
}

impl Outcome {
    fn p99(&self) -> Duration {
        self.waits[(self.waits.len() * 99).div_ceil(100) - 1]
    }

    pub(super) fn tell(&self) {
        let row = json!({
            "attack": self.name, "connections": self.connections, "accepted": self.accepted,
            "limited": self.limited, "honest_p99_ms": self.p99().as_millis(),
            "honest_max_ms": self.waits.last().map(Duration::as_millis), "requests": self.waits.len(),
            "peak_mib": self.peak_mib,
        });
        note(&format!("row {row}"));
    }

    /// How often the server sent anything to connections that only replay.
    pub(crate) fn replies(&self) -> usize {
        self.replies
    }

    /// How many connections got this status before the load ended; of a flood, requests.
    pub(crate) fn answered(&self, status: u16) -> usize {
        self.answered.get(&status).copied().unwrap_or_default()
    }

    /// Asserts that the server accepted the load, stayed small, and served the honest client.
    #[track_caller]
    pub(crate) fn assert_held(&self) -> &Self {
        assert!(self.refused.is_empty(), "{}: refused with {:?}: no load at all", self.name, self.refused);
        assert!(
            self.accepted >= self.wanted,
            "{}: {} of {} connections were accepted, {} met a limit; at least {} are the load",
            self.name,
            self.accepted,
            self.connections,
            self.limited,
            self.wanted
        );
        assert!(self.peak_mib < MEMORY_MIB, "{}: {} MiB", self.name, self.peak_mib);
        let slowest = self.waits.last().expect("requests of the honest client");
        assert!(*slowest < HONEST_PATIENCE, "{}: an honest request took {slowest:?}", self.name);
        let p99 = self.p99();
        assert!(!proof() || p99 <= HONEST_P99, "{}: p99 of honest requests is {p99:?}", self.name);
        self
    }
}

/// The number of occurrences of each status.
pub(super) fn count(statuses: impl Iterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for status in statuses {
        *found.entry(status).or_default() += 1;
    }
    found
}

pub(super) fn sorted(mut waits: Vec<Duration>) -> Vec<Duration> {
    waits.sort_unstable();
    waits
}

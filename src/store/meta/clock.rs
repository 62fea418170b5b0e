//! The clock of the store: wall time for people, running time for everything that ages.

use std::time::Instant;

use super::marks::Marks;
use crate::model::time::Now;

/// Returns the wall time in Unix milliseconds: of the machine in a server, of a test in a test.
pub type WallClock = fn() -> u64;

/// The clock. Running seconds continue where the last server on this store stopped.
#[derive(Clone, Copy, Debug)]
pub struct StoreClock {
    wall: WallClock,
    started: Instant,
    running_base_s: u64,
}

impl StoreClock {
    pub(super) fn start(wall: WallClock, running_base_s: u64) -> Self {
        Self { wall, started: Instant::now(), running_base_s }
    }

    /// The time now.
    pub fn now(&self) -> Now {
        Now { wall_ms: (self.wall)(), running_s: self.running_base_s + self.started.elapsed().as_secs() }
    }

    /// The latest time that is known to have passed, in Unix milliseconds, even if the wall clock was set
    /// back.
    pub(super) fn latest_ms(&self, marks: &Marks) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        marks.latest_ms(elapsed, (self.wall)())
    }
}

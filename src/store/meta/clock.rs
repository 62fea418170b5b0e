//! The clock of the store: wall time for people, running time for everything that ages.

#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Running seconds that a test has let pass; shared by all copies of the clock.
    #[cfg(test)]
    skipped_s: &'static AtomicU64,
}

impl StoreClock {
    pub(super) fn start(wall: WallClock, running_base_s: u64) -> Self {
        Self {
            wall,
            started: Instant::now(),
            running_base_s,
            #[cfg(test)]
            skipped_s: Box::leak(Box::default()),
        }
    }

    /// Lets running time pass.
    #[cfg(test)]
    pub(crate) fn skip(&self, seconds: u64) {
        self.skipped_s.fetch_add(seconds, Ordering::SeqCst);
    }

    fn running_s(&self) -> u64 {
        let running_s = self.running_base_s + self.started.elapsed().as_secs();
        #[cfg(test)]
        let running_s = running_s + self.skipped_s.load(Ordering::SeqCst);
        running_s
    }

    /// The time now.
    pub fn now(&self) -> Now {
        Now { wall_ms: (self.wall)(), running_s: self.running_s() }
    }

    /// The latest time that is known to have passed, in Unix milliseconds, even if the wall clock was set
    /// back.
    pub(super) fn latest_ms(&self, marks: &Marks) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        marks.latest_ms(elapsed, (self.wall)())
    }
}

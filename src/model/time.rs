//! The time as a value: only the clock of `app` and the command line read it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One reading of the clock (decisions.md 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 in UTC: what people see; it may jump.
    pub wall_ms: u64,
    /// Seconds that the registry has been running in all its life: what grace periods count; it never jumps.
    pub running_s: u64,
}

impl Now {
    /// The moment in the registry's own life.
    pub const fn running_second(self) -> RunningSecond {
        RunningSecond(self.running_s)
    }
}

/// A moment in the life of the registry, counted in seconds that it has been running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunningSecond(pub u64);

impl fmt::Display for RunningSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

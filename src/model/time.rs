//! The time as a value: only the clock of `app` and the command line read the system's clock.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One reading of the clock (docs/decisions.md, "Two clocks").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 in UTC: what people see; it may jump.
    pub wall_ms: u64,
    /// Seconds that the server has been running since the store was created, over all restarts. Grace periods
    /// count these, because this clock never jumps.
    pub running_s: u64,
}

impl Now {
    /// The running seconds alone.
    pub const fn running_second(self) -> RunningSecond {
        RunningSecond(self.running_s)
    }
}

/// Unix milliseconds as RFC 3339.
pub fn rfc3339(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or_default().to_string()
}

/// A moment, counted in seconds that the server has been running since the store was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunningSecond(pub u64);

impl fmt::Display for RunningSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

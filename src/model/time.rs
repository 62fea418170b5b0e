//! The time as a value: only the clock of `app` and the command line read it.

/// One reading of the clock (decisions.md 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 in UTC: what people see; it may jump.
    pub wall_ms: u64,
    /// Seconds that the registry has been running in all its life: what grace periods count; it never jumps.
    pub running_s: u64,
}

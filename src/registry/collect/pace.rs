//! How fast a run may go: a part of the writer's time.

use std::time::{Duration, Instant};

/// A run rests for so many times as long as its last slice took.
const REST: u32 = 4;
/// No rest is longer: a slice that waited for a slow disk says nothing of the writer.
const LONGEST_REST: Duration = Duration::from_millis(400);

/// Measures slices and rests between them, so that a push never waits for more than one slice, and pushes
/// have most of the writer's time.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Pace {
    /// Rests after a slice; the next one begins when it returns.
    pub(super) async fn pause(&mut self) {
        let rest = self.begun.elapsed().saturating_mul(REST).min(LONGEST_REST);
        tokio::time::sleep(rest).await;
        self.begun = Instant::now();
    }
}

//! Numbers that only rise, shared by the writer and all readers. In memory, because a point read for each
//! request would cost too much.

use std::sync::atomic::{AtomicU64, Ordering};

/// The marks of an open store.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The `auth_epoch` of the last commit.
    epoch: AtomicU64,
    /// The difference between the latest wall time seen and the monotonic time since the start, in
    /// milliseconds.
    ahead_ms: AtomicU64,
    /// Commits since the store was opened that may have changed what a dump has.
    changes: AtomicU64,
}

impl Marks {
    /// The marks of a store whose latest wall time is `wall_high_ms`.
    pub(super) fn new(wall_high_ms: u64) -> Self {
        Self { ahead_ms: AtomicU64::new(wall_high_ms), ..Self::default() }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes a committed epoch. It never falls: if two commits publish out of order, the later one stays.
    pub(super) fn raise_epoch(&self, committed: u64) {
        self.epoch.fetch_max(committed, Ordering::AcqRel);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Counts a commit.
    pub(super) fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The latest time that is known to have passed, `elapsed_ms` after the start, when the wall clock shows
    /// `wall_ms`: the wall time, unless it was set back; then the highest wall time seen plus the time since.
    pub(super) fn latest_ms(&self, elapsed_ms: u64, wall_ms: u64) -> u64 {
        let ahead = wall_ms.saturating_sub(elapsed_ms);
        let known = self.ahead_ms.load(Ordering::Relaxed);
        // Written seldom, so that the cache line stays shared among the cores.
        let highest =
            if ahead > known { self.ahead_ms.fetch_max(ahead, Ordering::Relaxed).max(ahead) } else { known };
        highest.saturating_add(elapsed_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_follows_the_wall_and_does_not_go_back_with_it() {
        let marks = Marks::new(1_000_000);
        assert_eq!(marks.latest_ms(0, 900_000), 1_000_000, "the wall is behind what the store has seen");
        assert_eq!(marks.latest_ms(500, 900_500), 1_000_500, "time goes on all the same");
        assert_eq!(marks.latest_ms(1_000, 2_000_000), 2_000_000, "the wall leads again");
        assert_eq!(marks.latest_ms(6_000, 0), 2_005_000, "set back, what passed since counts");
    }

    #[test]
    fn an_epoch_never_falls() {
        let marks = Marks::default();
        marks.raise_epoch(7);
        marks.raise_epoch(5);
        assert_eq!(marks.epoch(), 7);
    }
}

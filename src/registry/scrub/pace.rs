//! How fast a scrub reads: no faster than the settings permit, and slower while clients read or send.

use std::time::{Duration, Instant};

/// What a manifest or a small blob costs, in bytes: to open it takes as long as to read so many.
const LEAST: u64 = 16 << 10;
/// While clients are busy, a run rests for so many times as long as it has just read.
const REST: u32 = 4;
/// No such rest is longer: one slow read says nothing of the next.
const LONGEST_REST: Duration = Duration::from_millis(400);
/// How far a run may be behind its rate, and catch up.
const CREDIT: Duration = Duration::from_millis(200);

/// Says how long to rest after each read.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next read is due at the rate of the settings.
    due: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { due: Instant::now() }
    }
}

impl Pace {
    /// The rest after so many bytes were read in `took`. `rate`: bytes a second; 0: no limit.
    pub(super) fn rest(&mut self, bytes: u64, took: Duration, rate: u64, is_busy: bool) -> Duration {
        self.rest_at(Instant::now(), bytes, took, rate, is_busy)
    }

    fn rest_at(&mut self, now: Instant, bytes: u64, took: Duration, rate: u64, is_busy: bool) -> Duration {
        let give_way = if is_busy { took.saturating_mul(REST).min(LONGEST_REST) } else { Duration::ZERO };
        if rate == 0 {
            return give_way;
        }
        let nanoseconds = u128::from(bytes.max(LEAST)) * 1_000_000_000 / u128::from(rate);
        let share = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        // A time that cannot be reckoned with is as good as now.
        self.due = self.due.max(earliest).checked_add(share).unwrap_or(now);
        self.due.saturating_duration_since(now).max(give_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_run_keeps_to_its_rate_whatever_the_reads_take() {
        let begun = Instant::now();
        let (mut pace, mut now) = (Pace { due: begun }, begun);
        for read in 1..=100_u64 {
            // Each read takes half of its share.
            let took = Duration::from_millis(50);
            now += took;
            now += pace.rest_at(now, MIB, took, 10 * MIB, false);
            assert_eq!(now - begun, Duration::from_millis(100 * read));
        }
        // What was missed while the disk was slow is made up for, but only in part.
        now += Duration::from_mins(1);
        assert_eq!(pace.rest_at(now, MIB, Duration::from_mins(1), 10 * MIB, false), Duration::ZERO);
        assert_eq!(pace.rest_at(now, MIB, Duration::ZERO, 10 * MIB, false), Duration::ZERO);
        assert_eq!(pace.rest_at(now, MIB, Duration::ZERO, 10 * MIB, false), Duration::from_millis(100));
    }

    #[test]
    fn small_things_cost_more_than_their_bytes() {
        let mut pace = Pace::default();
        let now = pace.due;
        assert_eq!(pace.rest_at(now, 2, Duration::ZERO, LEAST, false), Duration::from_secs(1));
    }

    #[test]
    fn a_run_without_a_rate_still_gives_way() {
        let mut pace = Pace::default();
        let (now, took) = (pace.due, Duration::from_millis(3));
        assert_eq!(pace.rest_at(now, MIB, took, 0, false), Duration::ZERO);
        assert_eq!(pace.rest_at(now, MIB, took, 0, true), Duration::from_millis(12));
        assert_eq!(pace.rest_at(now, MIB, Duration::from_secs(9), 0, true), LONGEST_REST);
    }
}

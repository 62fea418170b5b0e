//! When one job is due: its schedule, and the times that are over.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::when::When;
use crate::store::meta::schema::{Schedule, ScheduleRun};

/// A run that begins so long after its time was missed: no server ran then, or the clock has jumped.
const LATE_MS: u64 = 2 * 60 * 1000;
/// A clock that is set back by less is waited for, so that the times of the last hours do not come again.
/// What lies further in the future was noted while the clock was wrong.
const FAR_MS: u64 = 25 * 60 * 60 * 1000;
/// Times of the last runs that are remembered, for a clock that jumps to and fro.
const REMEMBERED: usize = 8;

/// The plan of one job.
pub(super) struct Plan {
    configured: When,
    set: Option<Set>,
    /// No run is due for this time or an earlier one, in Unix milliseconds.
    over_ms: u64,
    /// The times for which the last runs were due.
    ran: VecDeque<u64>,
}

/// A schedule that an admin has set.
struct Set {
    row: Schedule,
    /// `None` if a later version has written it in a form of its own: then the settings apply.
    when: Option<When>,
}

/// A run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Its time, in Unix milliseconds.
    pub(super) at_ms: u64,
    /// Whether that has long passed.
    pub(super) is_missed: bool,
}

impl Plan {
    /// The plan at a start. A job that never ran by itself is due for the times after `worked_ms`, at which
    /// the last server is known to have worked.
    pub(super) fn new(
        configured: When,
        set: Option<Schedule>,
        run: Option<ScheduleRun>,
        worked_ms: u64,
    ) -> Self {
        let ran = run.map(|run| run.due_ms.max(run.began_ms));
        let over_ms = ran.max(set.as_ref().map(|set| set.at_ms)).unwrap_or(worked_ms);
        Self {
            configured,
            set: set.map(Set::new),
            over_ms,
            ran: run.map(|run| run.due_ms).into_iter().collect(),
        }
    }

    /// When the job runs.
    pub(super) fn when(&self) -> &When {
        self.set.as_ref().and_then(|set| set.when.as_ref()).unwrap_or(&self.configured)
    }

    /// When it runs by the settings.
    pub(super) const fn configured(&self) -> &When {
        &self.configured
    }

    /// The schedule that an admin has set.
    pub(super) fn row(&self) -> Option<&Schedule> {
        self.set.as_ref().map(|set| &set.row)
    }

    /// Follows the settings, from now on.
    pub(super) fn configure(&mut self, configured: When, is_moved: bool, now_ms: u64) {
        let before = self.when().clone();
        self.configured = configured;
        if is_moved || *self.when() != before {
            self.over_ms = self.over_at(now_ms).max(now_ms);
        }
    }

    /// Follows what an admin has set or removed, from now on.
    pub(super) fn set(&mut self, set: Option<Schedule>, now_ms: u64) {
        self.set = set.map(Set::new);
        self.over_ms = self.over_at(now_ms).max(now_ms);
    }

    /// The next time for which a run is due, in Unix milliseconds; it may have passed.
    pub(super) fn next_ms(&self, now_ms: u64, zone: &TimeZone) -> Option<u64> {
        self.when().next(instant(self.over_at(now_ms))?, zone).and_then(unix_ms)
    }

    /// The run that is due, if there is one; then its time is over. One that was missed is taken only if
    /// `missed_too`.
    pub(super) fn take_due(&mut self, now_ms: u64, zone: &TimeZone, missed_too: bool) -> Option<Due> {
        self.over_ms = self.over_at(now_ms);
        let next_ms = self.next_ms(now_ms, zone).filter(|next_ms| *next_ms <= now_ms)?;
        // Of several times that have passed, the last one stands for all.
        let latest = self.when().latest(instant(now_ms)?, zone).and_then(unix_ms);
        let at_ms = latest.map_or(next_ms, |latest| latest.max(next_ms));
        let is_missed = now_ms - at_ms > LATE_MS || at_ms - next_ms > LATE_MS;
        if is_missed && !missed_too {
            return None;
        }
        self.over_ms = now_ms;
        if self.ran.contains(&at_ms) {
            return None;
        }
        self.ran.push_back(at_ms);
        if self.ran.len() > REMEMBERED {
            self.ran.pop_front();
        }
        Some(Due { at_ms, is_missed })
    }

    /// The time up to which all times are over, by a clock that shows `now_ms`.
    fn over_at(&self, now_ms: u64) -> u64 {
        if self.over_ms > now_ms.saturating_add(FAR_MS) { now_ms } else { self.over_ms }
    }
}

impl Set {
    fn new(row: Schedule) -> Self {
        let when = row.when.parse().inspect_err(|error| {
            tracing::error!(%error, "a schedule that was set cannot be read: the one of the settings applies");
        });
        Self { when: when.ok(), row }
    }
}

fn instant(unix_ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()
}

fn unix_ms(instant: Timestamp) -> Option<u64> {
    u64::try_from(instant.as_millisecond()).ok()
}

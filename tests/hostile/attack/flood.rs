//! Loads that are requests one after the other, instead of connections that stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::honest::Honest;

/// Requests on the server, sent by several threads while the honest client works.
pub(crate) struct Flood<'a> {
    /// Its row in the table.
    pub(crate) name: &'a str,
    /// Threads that send.
    pub(crate) senders: usize,
    /// Requests that must be accepted.
    pub(crate) accepted: usize,
    /// Refusals that are right for it. Any other answer of the class 4xx but 429 says that it is not what it
    /// claims.
    pub(crate) refusals: &'a [u16],
    /// What the sender of this number does.
    pub(crate) work: &'a (dyn Fn(usize, &Tally) + Sync),
}

/// What the requests of a flood were answered.
#[derive(Default)]
pub(crate) struct Tally {
    answers: Mutex<BTreeMap<u16, usize>>,
    honest_is_done: AtomicBool,
}

impl Tally {
    /// Notes an answer.
    pub(crate) fn tell(&self, status: u16) {
        *self.answers().entry(status).or_default() += 1;
    }

    /// Whether a sender whose work has no end of its own goes on: as long as the honest client needs.
    pub(crate) fn goes_on(&self) -> bool {
        !self.honest_is_done.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.answers().values().sum()
    }

    pub(super) fn count(&self, wanted: impl Fn(u16) -> bool) -> usize {
        self.answers().iter().filter(|(status, _)| wanted(**status)).map(|(_, count)| count).sum()
    }

    /// Answers that say that this was no flood.
    pub(super) fn others(&self, right: &[u16]) -> BTreeMap<u16, usize> {
        let mut found = self.answers().clone();
        found.retain(|status, _| *status >= 400 && !matches!(status, 429 | 503) && !right.contains(status));
        found
    }

    pub(super) fn into_answers(self) -> BTreeMap<u16, usize> {
        self.answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u16, usize>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what waits for the honest client when it is dropped, so that a failed test ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flood<'_> {
    /// Floods until every sender is done; the honest client works all the time.
    pub(super) fn run(&self, honest: &Honest<'_>) -> (Tally, Vec<Duration>) {
        let tally = Tally::default();
        let waits = std::thread::scope(|scope| {
            let done = Done(&tally.honest_is_done);
            let senders: Vec<_> = (0..self.senders)
                .map(|number| {
                    let tally = &tally;
                    scope.spawn(move || (self.work)(number, tally))
                })
                .collect();
            let mut waits = honest.work();
            drop(done);
            waits.extend(honest.work_while(|| senders.iter().any(|sender| !sender.is_finished())));
            waits
        });
        (tally, waits)
    }
}

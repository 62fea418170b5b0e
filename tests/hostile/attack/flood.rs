//! Loads of many short requests, instead of connections that stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::honest::Honest;

/// Requests that several threads send while the honest client works.
pub(crate) struct Flood<'a> {
    /// The name of its row in the table.
    pub(crate) name: &'a str,
    /// Threads that send.
    pub(crate) senders: usize,
    /// The requests that must be accepted.
    pub(crate) accepted: usize,
    /// The refusals that are expected. Any other 4xx except 429 means that the load is not what it claims to
    /// be.
    pub(crate) refusals: &'a [u16],
    /// The work of the sender with this number.
    pub(crate) work: &'a (dyn Fn(usize, &Tally) + Sync),
}

/// The responses to the requests of a flood.
#[derive(Default)]
pub(crate) struct Tally {
    answers: Mutex<BTreeMap<u16, usize>>,
    honest_is_done: AtomicBool,
}

impl Tally {
    /// Counts a response.
    pub(crate) fn tell(&self, status: u16) {
        *self.answers().entry(status).or_default() += 1;
    }

    /// Whether a sender without an end of its own should continue: as long as the honest client works.
    pub(crate) fn goes_on(&self) -> bool {
        !self.honest_is_done.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.answers().values().sum()
    }

    pub(super) fn count(&self, wanted: impl Fn(u16) -> bool) -> usize {
        self.answers().iter().filter(|(status, _)| wanted(**status)).map(|(_, count)| count).sum()
    }

    /// The responses that mean that this was not the intended load.
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

/// Ends senders that wait for the honest client when it is dropped, so that a failed test ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flood<'_> {
    /// Floods until every sender is done; the honest client works meanwhile.
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

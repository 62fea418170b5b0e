//! What one principal holds, and which of its requests wait for more.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::resource::{COUNT, Resource};

/// A request that waits.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) amount: u64,
    /// Receives a message when the amount is counted.
    pub(super) granted: oneshot::Sender<()>,
}

/// The counts of one principal.
#[derive(Default)]
pub(super) struct Account {
    pub(super) held: [u64; COUNT],
    waiting: [VecDeque<Waiter>; COUNT],
}

impl Account {
    pub(super) fn queue(&mut self, resource: Resource) -> &mut VecDeque<Waiter> {
        &mut self.waiting[resource.index()]
    }

    pub(super) fn waits_for(&self, resource: Resource) -> usize {
        self.waiting[resource.index()].len()
    }

    /// Whether it holds nothing and waits for nothing, so that it can be forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.held.iter().all(|held| *held == 0) && self.waiting.iter().all(VecDeque::is_empty)
    }
}

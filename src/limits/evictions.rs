//! Amounts that can be taken away again, by principal and age. At a limit the principal that holds the most
//! of a resource loses what it has held longest, so that clients who hold many things still keep no room from
//! those who need one for a moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::holder::HolderId;

/// Those of one resource.
#[derive(Default)]
pub(super) struct Evictions(Mutex<State>);

#[derive(Default)]
struct State {
    number: u64,
    holders: HashMap<HolderId, Held>,
}

/// What one principal holds: the amounts by age.
#[derive(Default)]
struct Held {
    amount: u64,
    parts: BTreeMap<u64, (u64, oneshot::Sender<()>)>,
}

impl Evictions {
    /// Enters an amount; returns its number, and what tells that it was taken away.
    pub(super) fn enter(&self, holder: HolderId, amount: u64) -> (u64, oneshot::Receiver<()>) {
        let (sender, evicted) = oneshot::channel();
        let mut state = self.lock();
        state.number += 1;
        let number = state.number;
        let held = state.holders.entry(holder).or_default();
        held.amount += amount;
        held.parts.insert(number, (amount, sender));
        (number, evicted)
    }

    /// Forgets an amount that ended by itself.
    pub(super) fn leave(&self, holder: HolderId, number: u64) {
        self.lock().take(holder, number);
    }

    /// Evicts until so much was taken away, or until there is nothing left to take.
    pub(super) fn evict(&self, wanted: u64) {
        let mut state = self.lock();
        let mut taken = 0;
        while taken < wanted {
            let largest = state.holders.iter().max_by_key(|(_, held)| held.amount).map(|(id, _)| *id);
            let Some(holder) = largest else { return };
            let oldest = state.holders.get(&holder).and_then(|held| held.parts.keys().next().copied());
            let Some((amount, sender)) = oldest.and_then(|number| state.take(holder, number)) else { return };
            // One that ends at this moment gives its amount back as well.
            let _ = sender.send(());
            taken += amount;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, holder: HolderId, number: u64) -> Option<(u64, oneshot::Sender<()>)> {
        let held = self.holders.get_mut(&holder)?;
        let part = held.parts.remove(&number)?;
        held.amount -= part.0;
        if held.parts.is_empty() {
            self.holders.remove(&holder);
        }
        Some(part)
    }
}

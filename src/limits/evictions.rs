//! Evictable amounts by principal and age. At a limit, the principal that holds the most of a resource loses
//! what it has held longest. So clients that hold many things cannot keep out those that need one for a
//! moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::holder::HolderId;

/// The evictable amounts of one resource.
#[derive(Default)]
pub(super) struct Evictions(Mutex<State>);

#[derive(Default)]
struct State {
    number: u64,
    holders: HashMap<HolderId, Held>,
}

/// The amounts of one principal, by age.
#[derive(Default)]
struct Held {
    amount: u64,
    parts: BTreeMap<u64, (u64, oneshot::Sender<()>)>,
}

impl Evictions {
    /// Adds an amount; returns its number, and a receiver that tells when it is evicted.
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

    /// Removes an amount that was released by its holder.
    pub(super) fn leave(&self, holder: HolderId, number: u64) {
        self.lock().take(holder, number);
    }

    /// Evicts until this much was evicted or there is nothing left.
    pub(super) fn evict(&self, wanted: u64) {
        let mut state = self.lock();
        let mut taken = 0;
        while taken < wanted {
            let largest = state.holders.iter().max_by_key(|(_, held)| held.amount).map(|(id, _)| *id);
            let Some(holder) = largest else { return };
            let oldest = state.holders.get(&holder).and_then(|held| held.parts.keys().next().copied());
            let Some((amount, sender)) = oldest.and_then(|number| state.take(holder, number)) else { return };
            // The receiver is gone when the holder is releasing the amount at this moment; it counts as
            // evicted.
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

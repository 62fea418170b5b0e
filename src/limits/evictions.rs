//! Amounts that can be taken away again. At a limit the principal that holds the most of a resource loses what it has held
//! longest, so that clients who hold many things still keep no room from those who need one for a moment.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::holder::{Holder, HolderId};
use super::ledger::{Charge, Ledger, LimitReached};
use super::resource::Resource;

/// How long a request waits for what it has had evicted, until it has more evicted.
const EVICT_AGAIN: Duration = Duration::from_secs(1);

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

/// An amount that is counted until it is dropped, and can be taken away before.
pub struct Evictable {
    charge: Option<Charge>,
    evictions: Arc<Evictions>,
    holder: HolderId,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Evictions {
    fn join(self: &Arc<Self>, charge: Charge) -> Evictable {
        let (holder, amount) = (charge.holder(), charge.amount());
        let (sender, evicted) = oneshot::channel();
        let mut state = self.lock();
        state.number += 1;
        let number = state.number;
        let held = state.holders.entry(holder).or_default();
        held.amount += amount;
        held.parts.insert(number, (amount, sender));
        Evictable { charge: Some(charge), evictions: Arc::clone(self), holder, number, evicted }
    }

    /// Evicts until so much was taken away, or until there is nothing left to take.
    fn evict(&self, wanted: u64) {
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

impl Ledger {
    /// Counts an amount that can be taken away again. At a limit others lose theirs, and this waits until they have.
    pub async fn wait_evicting(
        self: &Arc<Self>,
        holder: &Holder,
        resource: Resource,
        amount: u64,
        patience: Duration,
    ) -> Result<Evictable, LimitReached> {
        let evictions = self.evictions(resource);
        let until = Instant::now() + patience;
        let mut charged = self.charge(holder, resource, amount);
        while let Err(reached) = charged {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(reached);
            }
            evictions.evict(amount);
            charged = self.wait(holder, resource, amount, left.min(EVICT_AGAIN)).await;
        }
        charged.map(|charge| evictions.join(charge))
    }

    /// Counts an amount that is there already and can be taken away again. At a limit others lose theirs.
    pub fn count_evicting(self: &Arc<Self>, holder: &Holder, resource: Resource, amount: u64) -> Evictable {
        let evictions = self.evictions(resource);
        let charge = self.charge(holder, resource, amount).unwrap_or_else(|_| {
            evictions.evict(amount);
            self.count(holder, resource, amount)
        });
        evictions.join(charge)
    }
}

impl Evictable {
    /// Whether it was taken away; if not, this task is woken when it is. What was counted must end then.
    pub fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.evicted.poll_unpin(context).map(|_| ())
    }

    /// Ends when it is taken away.
    pub async fn evicted(&mut self) {
        poll_fn(|context| self.poll_evicted(context)).await;
    }

    /// The same amount, which nothing takes away from now on.
    pub fn keep(mut self) -> Option<Charge> {
        self.charge.take()
    }
}

impl fmt::Debug for Evictable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evictable").field("charge", &self.charge).finish_non_exhaustive()
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.evictions.lock().take(self.holder, self.number);
    }
}

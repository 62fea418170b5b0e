//! The ledger: charges amounts, refuses them, and queues requests that wait for them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::evictions::Evictions;
use super::holder::{Holder, HolderId};
use super::reached::{LimitReached, Standing};
use super::resource::{COUNT, Resource};
use super::settings::{Limit, Limits};
use super::state::State;

/// Counts and limits per principal, in memory.
pub struct Ledger {
    limits: ArcSwap<Limits>,
    /// The most connections that this process can have.
    connections: AtomicUsize,
    state: Mutex<State>,
    evictions: [Arc<Evictions>; COUNT],
}

/// An amount of a resource that is counted for a principal until it is dropped.
#[must_use]
pub struct Charge {
    ledger: Arc<Ledger>,
    holder: HolderId,
    resource: Resource,
    amount: u64,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(limits: Limits) -> Arc<Self> {
        let (limits, connections) = (ArcSwap::from_pointee(limits), AtomicUsize::new(usize::MAX));
        Arc::new(Self { limits, connections, state: Mutex::default(), evictions: Default::default() })
    }

    /// Changes the limits. Charges that exist stay, and waiting requests are evaluated again.
    pub fn reconfigure(&self, limits: Limits) {
        self.limits.store(Arc::new(limits.within(self.connections.load(Ordering::Relaxed))));
        for resource in Resource::ALL {
            let limit = self.limit(resource);
            self.lock().serve_waiting(resource, limit);
        }
    }

    /// The most connections that this process can have, whatever the settings say. Shares of principals are
    /// computed from it.
    pub fn set_connections(&self, connections: usize) {
        self.connections.store(connections, Ordering::Relaxed);
        self.reconfigure(**self.limits.load());
    }

    /// The limit of a resource.
    pub fn limit(&self, resource: Resource) -> Limit {
        self.limits.load().get(resource)
    }

    /// The error for a request at the limit over all principals.
    pub fn total_reached(&self, resource: Resource) -> LimitReached {
        LimitReached::of_all(resource, self.limit(resource))
    }

    /// What a principal holds of a resource.
    pub fn held(&self, holder: &Holder, resource: Resource) -> u64 {
        self.lock().accounts.get(&holder.id()).map_or(0, |account| account.held[resource.index()])
    }

    /// What all principals hold of a resource.
    pub fn total(&self, resource: Resource) -> u64 {
        self.lock().totals[resource.index()]
    }

    /// Counts an amount if the limits permit it. A failure is not reported as a [`Standing`], because the
    /// caller makes room and tries again.
    pub fn try_charge(self: &Arc<Self>, holder: &Holder, resource: Resource, amount: u64) -> Option<Charge> {
        let limit = self.limit(resource);
        let mut state = self.lock();
        if state.obstacle(holder.id(), resource, amount, limit).is_some() {
            return None;
        }
        state.count(holder, resource, amount);
        Some(self.hold(holder.id(), resource, amount))
    }

    /// Counts an amount, or returns the limit that refuses it.
    pub fn charge(
        self: &Arc<Self>,
        holder: &Holder,
        resource: Resource,
        amount: u64,
    ) -> Result<Charge, LimitReached> {
        let limit = self.limit(resource);
        let mut state = self.lock();
        match state.obstacle(holder.id(), resource, amount, limit) {
            None => {
                state.count(holder, resource, amount);
                Ok(self.hold(holder.id(), resource, amount))
            }
            Some(reached) => {
                state.note(holder, &reached);
                Err(reached)
            }
        }
    }

    /// Counts an amount that is held already, whatever the limits say.
    pub fn count(self: &Arc<Self>, holder: &Holder, resource: Resource, amount: u64) -> Charge {
        self.lock().count(holder, resource, amount);
        self.hold(holder.id(), resource, amount)
    }

    /// Counts an amount as soon as the limits permit it, or returns the limit that still refuses it after
    /// `patience`. An amount above the limit itself is refused at once. To avoid a deadlock, a caller must
    /// not wait here while it holds something that another waiting holder of the resource needs.
    pub async fn wait(
        self: &Arc<Self>,
        holder: &Holder,
        resource: Resource,
        amount: u64,
        patience: Duration,
    ) -> Result<Charge, LimitReached> {
        let (number, mut granted, reached) = {
            let limit = self.limit(resource);
            let mut state = self.lock();
            let Some(reached) = state.obstacle(holder.id(), resource, amount, limit) else {
                state.count(holder, resource, amount);
                return Ok(self.hold(holder.id(), resource, amount));
            };
            state.note(holder, &reached);
            if amount > limit.each.min(limit.total) {
                return Err(reached);
            }
            let (sender, receiver) = oneshot::channel();
            (state.enqueue(holder, resource, amount, sender), receiver, reached)
        };
        let queued = Queued { ledger: self, holder: holder.id(), resource, amount, number, granted: false };
        match tokio::time::timeout(patience, &mut granted).await {
            Ok(Ok(())) => Ok(queued.into_charge()),
            // Dropping `queued` removes the request from the queue, or returns an amount that was granted at
            // the last moment.
            Ok(Err(_)) | Err(_) => Err(reached),
        }
    }

    /// Principals that reached a limit since the last call of [`Ledger::report`] or the one before it.
    pub fn standings(&self) -> Vec<Standing> {
        let state = self.lock();
        state.standings(|_| true)
    }

    /// Principals that reached a limit since the last call, for the log.
    pub fn report(&self) -> Vec<Standing> {
        let mut state = self.lock();
        state.reached.retain(|_, reached| !reached.told);
        let fresh = state.standings(|reached| !reached.told);
        for reached in state.reached.values_mut() {
            reached.told = true;
        }
        fresh
    }

    pub(super) const fn evictions(&self, resource: Resource) -> &Arc<Evictions> {
        &self.evictions[resource.index()]
    }

    fn hold(self: &Arc<Self>, holder: HolderId, resource: Resource, amount: u64) -> Charge {
        Charge { ledger: Arc::clone(self), holder, resource, amount }
    }

    fn give_back(&self, holder: HolderId, resource: Resource, amount: u64) {
        if amount == 0 {
            return;
        }
        let limit = self.limit(resource);
        let mut state = self.lock();
        state.uncount(holder, resource, amount);
        state.serve_waiting(resource, limit);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holder, resource, amount, .. } = self;
        f.debug_struct("Charge")
            .field("holder", holder)
            .field("resource", resource)
            .field("amount", amount)
            .finish()
    }
}

impl Charge {
    /// The amount.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The principal that holds it.
    pub const fn holder(&self) -> HolderId {
        self.holder
    }

    /// Counts more, or returns the limit that refuses it; then the charge is unchanged.
    pub fn grow(&mut self, holder: &Holder, amount: u64) -> Result<(), LimitReached> {
        let more = self.ledger.charge(holder, self.resource, amount)?;
        self.absorb(more);
        Ok(())
    }

    /// Releases a part of it.
    pub fn shrink(&mut self, amount: u64) {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        self.ledger.give_back(self.holder, self.resource, amount);
    }

    /// Adds another charge of the same principal and resource to this one. A charge of another principal or
    /// resource is released.
    pub fn absorb(&mut self, mut other: Self) {
        if (other.holder, other.resource) == (self.holder, self.resource) {
            self.amount += std::mem::take(&mut other.amount);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.give_back(self.holder, self.resource, self.amount);
    }
}

/// A request in a queue. When it is dropped, it leaves the queue, or releases an amount that was granted and
/// not taken.
struct Queued<'l> {
    ledger: &'l Arc<Ledger>,
    holder: HolderId,
    resource: Resource,
    amount: u64,
    number: u64,
    granted: bool,
}

impl Queued<'_> {
    fn into_charge(mut self) -> Charge {
        self.granted = true;
        self.ledger.hold(self.holder, self.resource, self.amount)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.granted {
            return;
        }
        let limit = self.ledger.limit(self.resource);
        let mut state = self.ledger.lock();
        if !state.dequeue(self.holder, self.resource, self.number) {
            state.uncount(self.holder, self.resource, self.amount);
        }
        // The next request in the queue may want less and fit now.
        state.serve_waiting(self.resource, limit);
    }
}

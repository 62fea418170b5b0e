//! Charges that can be evicted: see [`Evictions`].

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::evictions::Evictions;
use super::holder::{Holder, HolderId};
use super::ledger::{Charge, Ledger};
use super::reached::LimitReached;
use super::resource::Resource;

/// How long a request waits for evicted amounts to be released, before it evicts more.
const EVICT_AGAIN: Duration = Duration::from_secs(1);

/// A charge that is counted until it is dropped, and that can be evicted before.
pub struct Evictable {
    charge: Option<Charge>,
    evictions: Arc<Evictions>,
    holder: HolderId,
    number: u64,
    evicted: oneshot::Receiver<()>,
}

impl Ledger {
    /// Counts an amount that can be evicted. At a limit, other charges are evicted, and this waits until they
    /// are released.
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
        charged.map(|charge| Evictable::new(charge, evictions))
    }

    /// Counts, without waiting, an amount that is held already and can be evicted. At a limit, other charges
    /// are evicted.
    pub fn count_evicting(self: &Arc<Self>, holder: &Holder, resource: Resource, amount: u64) -> Evictable {
        let evictions = self.evictions(resource);
        let charge = self.charge(holder, resource, amount).unwrap_or_else(|_| {
            evictions.evict(amount);
            self.count(holder, resource, amount)
        });
        Evictable::new(charge, evictions)
    }
}

impl Evictable {
    fn new(charge: Charge, evictions: &Arc<Evictions>) -> Self {
        let holder = charge.holder();
        let (number, evicted) = evictions.enter(holder, charge.amount());
        Self { charge: Some(charge), evictions: Arc::clone(evictions), holder, number, evicted }
    }

    /// Whether it was evicted; if not, the task is woken when it is. The holder must then release what was
    /// counted.
    pub fn poll_evicted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.evicted.poll_unpin(context).map(|_| ())
    }

    /// Ends when it is evicted.
    pub async fn evicted(&mut self) {
        poll_fn(|context| self.poll_evicted(context)).await;
    }

    /// The same amount as a charge that cannot be evicted.
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
        self.evictions.leave(self.holder, self.number);
    }
}

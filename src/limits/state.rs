//! The counts behind the ledger's lock, and the order in which waiting requests are served.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::account::{Account, Waiter};
use super::holder::{Holder, HolderId};
use super::reached::{LimitReached, Standing};
use super::resource::{COUNT, Resource};
use super::settings::Limit;

/// The most principals whose reached limits are kept for the next report; others are not recorded.
const REPORTS: usize = 1024;

#[derive(Default)]
pub(super) struct State {
    pub(super) accounts: HashMap<HolderId, Account>,
    pub(super) totals: [u64; COUNT],
    /// Principals with waiting requests, in the order in which they are served.
    turns: [VecDeque<HolderId>; COUNT],
    pub(super) reached: HashMap<(HolderId, usize), Reached>,
    waiters: u64,
}

pub(super) struct Reached {
    holder: Holder,
    limit: u64,
    setting: &'static str,
    times: u64,
    /// It was in one report. It stays for one more, so that `status` shows it for a minute at least.
    pub(super) told: bool,
}

impl State {
    pub(super) fn obstacle(
        &self,
        holder: HolderId,
        resource: Resource,
        amount: u64,
        limit: Limit,
    ) -> Option<LimitReached> {
        let index = resource.index();
        let held = self.accounts.get(&holder).map_or(0, |account| account.held[index]);
        // The server's own work and the admin socket are bound only by the limit over all principals.
        if holder != HolderId::Local && held.saturating_add(amount) > limit.each {
            let scope = format!("for {holder}");
            return Some(LimitReached { resource, scope, limit: limit.each, setting: limit.setting });
        }
        let is_full = self.totals[index].saturating_add(amount) > limit.total;
        is_full.then(|| LimitReached::of_all(resource, limit))
    }

    pub(super) fn count(&mut self, holder: &Holder, resource: Resource, amount: u64) {
        let account = self.accounts.entry(holder.id()).or_default();
        account.held[resource.index()] += amount;
        self.totals[resource.index()] += amount;
    }

    pub(super) fn uncount(&mut self, holder: HolderId, resource: Resource, amount: u64) {
        self.totals[resource.index()] -= amount;
        if let Some(account) = self.accounts.get_mut(&holder) {
            account.held[resource.index()] -= amount;
            if account.is_empty() {
                self.accounts.remove(&holder);
            }
        }
    }

    pub(super) fn enqueue(
        &mut self,
        holder: &Holder,
        resource: Resource,
        amount: u64,
        granted: oneshot::Sender<()>,
    ) -> u64 {
        self.waiters += 1;
        let number = self.waiters;
        let account = self.accounts.entry(holder.id()).or_default();
        account.queue(resource).push_back(Waiter { number, amount, granted });
        if account.waits_for(resource) == 1 {
            self.turns[resource.index()].push_back(holder.id());
        }
        number
    }

    /// Grants waiting requests whose amounts now fit, one principal after the other.
    pub(super) fn serve_waiting(&mut self, resource: Resource, limit: Limit) {
        let mut blocked = 0;
        while blocked < self.turns[resource.index()].len() {
            let Some(holder) = self.turns[resource.index()].pop_front() else { break };
            let Some(amount) = self.first_amount(holder, resource) else { continue };
            if self.obstacle(holder, resource, amount, limit).is_some() {
                self.turns[resource.index()].push_back(holder);
                blocked += 1;
            } else {
                self.grant_first(holder, resource);
                self.keep_turn(holder, resource);
                blocked = 0;
            }
        }
    }

    fn first_amount(&mut self, holder: HolderId, resource: Resource) -> Option<u64> {
        self.accounts.get_mut(&holder)?.queue(resource).front().map(|waiter| waiter.amount)
    }

    fn grant_first(&mut self, holder: HolderId, resource: Resource) {
        let Some(account) = self.accounts.get_mut(&holder) else { return };
        let Some(waiter) = account.queue(resource).pop_front() else { return };
        account.held[resource.index()] += waiter.amount;
        self.totals[resource.index()] += waiter.amount;
        // A request that has ended releases the amount itself: see `Queued`.
        let _ = waiter.granted.send(());
    }

    fn keep_turn(&mut self, holder: HolderId, resource: Resource) {
        if self.accounts.get(&holder).is_some_and(|account| account.waits_for(resource) > 0) {
            self.turns[resource.index()].push_back(holder);
        }
    }

    /// Removes a request from its queue; false: it was granted already.
    pub(super) fn dequeue(&mut self, holder: HolderId, resource: Resource, number: u64) -> bool {
        let Some(account) = self.accounts.get_mut(&holder) else { return false };
        let queue = account.queue(resource);
        let Some(at) = queue.iter().position(|waiter| waiter.number == number) else { return false };
        queue.remove(at);
        if queue.is_empty() {
            self.turns[resource.index()].retain(|waiting| *waiting != holder);
        }
        if account.is_empty() {
            self.accounts.remove(&holder);
        }
        true
    }

    pub(super) fn note(&mut self, holder: &Holder, reached: &LimitReached) {
        let key = (holder.id(), reached.resource.index());
        if !self.reached.contains_key(&key) && self.reached.len() >= REPORTS {
            return;
        }
        let fresh = Reached {
            holder: holder.clone(),
            limit: reached.limit,
            setting: reached.setting,
            times: 0,
            told: false,
        };
        let noted = self.reached.entry(key).or_insert(fresh);
        if std::mem::take(&mut noted.told) {
            noted.times = 0;
        }
        noted.times += 1;
        (noted.limit, noted.setting) = (reached.limit, reached.setting);
    }

    pub(super) fn standings(&self, wanted: impl Fn(&Reached) -> bool) -> Vec<Standing> {
        let reached = self.reached.iter().filter(|(_, reached)| wanted(reached));
        let mut standings: Vec<Standing> = reached
            .map(|((holder, index), reached)| {
                let account = self.accounts.get(holder);
                let resource = Resource::ALL[*index];
                Standing {
                    principal: reached.holder.name().to_owned(),
                    address: reached.holder.from(),
                    resource,
                    limit: reached.limit,
                    setting: reached.setting,
                    held: account.map_or(0, |account| account.held[*index]),
                    waiting: account.map_or(0, |account| account.waits_for(resource)),
                    times: reached.times,
                }
            })
            .collect();
        standings.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.principal.cmp(&b.principal)));
        standings
    }
}

//! Authorization: decides who may do what, and is the only module that creates a [`Grant`].
//!
//! This module must not log: its log target would begin like that of the access log.

mod action;
mod claims;
mod grant;
mod policy;
mod principal;
mod refusal;
mod resource;
mod role;
mod scopes;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use action::{
    Action, Catalog, Delete, Kind, ManageTokens, ManageTrash, ManageUsers, Pull, Push, ReadServer,
    ReadTokens, ReadUsers, RunJobs, System,
};
pub use claims::{AccessEntry, Claims};
pub use grant::{Grant, Withdrawn};
pub(crate) use policy::user;
pub use policy::{Policy, Rights};
pub use principal::{Caller, Credential, Principal};
pub use refusal::Refusal;
pub use resource::{Repository, Resource, Site, Target};
pub use scopes::{ScopeError, Scopes};

use crate::config::Config;
use crate::model::names::RepoName;
use crate::store::meta::{Meta, StoreError, Tx as _, schema};
use grant::Asked;
use policy::Question;

/// Evaluates the policy and creates grants.
pub struct Access {
    meta: Arc<Meta>,
    policy: Arc<ArcSwap<Policy>>,
}

impl Access {
    /// Reads rights from `meta`.
    pub fn new(meta: Arc<Meta>, policy: Policy) -> Result<Self, StoreError> {
        meta.know_epoch(meta.get(|tx| tx.get(&schema::AUTH_EPOCH, ()))?.unwrap_or(0));
        Ok(Self { meta, policy: Arc::new(ArcSwap::from_pointee(policy)) })
    }

    /// The policy for callers without a sign-in.
    pub fn policy(&self) -> Policy {
        **self.policy.load()
    }

    /// Applies other settings from the next request on. An open registry stays open.
    pub fn reconfigure(&self, config: &Config) {
        if self.policy() != Policy::Open {
            self.policy.store(Arc::new(Policy::of(config)));
        }
    }

    /// Permits `A` on the repository `name`, or returns why not.
    pub fn repository<A>(&self, caller: &Caller, name: &RepoName) -> Result<Grant<A>, Refusal>
    where
        A: Action<Target = Repository>,
    {
        let (epoch, asked) = (self.meta.auth_epoch(), Asked::now(&self.policy));
        let id = self.meta.get(|tx| {
            let id = tx.get(&schema::REPOSITORY_NAME, name.as_str())?;
            let resource = Resource::Repository { name: name.as_str(), id };
            let question = self.question(&caller.principal, A::KIND, resource);
            if policy::permits(question, tx)? { Ok(id) } else { Err(policy::refusal(question, tx)?) }
        })?;
        Ok(Grant::new(caller.clone(), Repository { name: name.clone(), id }, epoch, asked))
    }

    /// Permits `A` on the server as a whole, or returns why not.
    pub fn site<A: Action<Target = Site>>(&self, caller: &Caller) -> Result<Grant<A>, Refusal> {
        let (epoch, asked) = (self.meta.auth_epoch(), Asked::now(&self.policy));
        let question = self.question(&caller.principal, A::KIND, Resource::Site);
        self.meta.get(|tx| {
            if policy::permits(question, tx)? { Ok(()) } else { Err(policy::refusal(question, tx)?) }
        })?;
        Ok(Grant::new(caller.clone(), Site, epoch, asked))
    }

    /// Permits a background worker of the server to do its work.
    pub fn system(&self, worker: &'static str) -> Grant<System> {
        let caller = Caller { principal: Principal::Local { name: worker.into() }, address: None };
        Grant::new(caller, Site, self.meta.auth_epoch(), Asked::now(&self.policy))
    }

    /// Permits the server to do by itself what callers may do.
    pub fn by_server<A: Action<Target = Site>>(&self, grant: &Grant<System>) -> Grant<A> {
        Grant::new(grant.caller().clone(), Site, self.meta.auth_epoch(), Asked::now(&self.policy))
    }

    /// Whether the principal has the right, whatever its registry token covers. This decides what a new token
    /// may cover.
    pub(crate) fn allows(
        &self,
        principal: &Principal,
        kind: Kind,
        resource: Resource<'_>,
    ) -> Result<bool, StoreError> {
        self.meta.get(|tx| policy::allows(self.question(principal, kind, resource), tx))
    }

    fn question<'q>(&self, principal: &'q Principal, kind: Kind, resource: Resource<'q>) -> Question<'q> {
        Question { policy: self.policy(), principal, kind, resource, now_ms: self.meta.latest_ms() }
    }
}

#[cfg(test)]
pub(crate) mod tests;

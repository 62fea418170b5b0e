//! The proof of permission. Only `access` creates a [`Grant`]; every function that reads or changes something
//! for a caller demands one, and the transaction that uses it checks it again.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::action::{Action, Kind};
use super::policy::{self, Policy, Question, Rights};
use super::principal::Caller;
use super::resource::{Repository, Resource, Target};
use crate::model::names::{RepoId, RepoName};
use crate::store::meta::{StoreError, Tx, WriteTx, schema};

/// The proof that `A` was permitted when it was checked. It is not `Clone`, so it is not kept: inside a write
/// transaction [`Grant::recheck`] evaluates the policy again.
#[derive(Debug)]
pub struct Grant<A: Action> {
    caller: Caller,
    target: A::Target,
    epoch: u64,
    asked: Asked,
}

/// The policy that created a grant, and the server's present policy, which a reload may have replaced.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    at_grant: Policy,
    present: Arc<ArcSwap<Policy>>,
}

impl Asked {
    pub(super) fn now(present: &Arc<ArcSwap<Policy>>) -> Self {
        Self { at_grant: **present.load(), present: Arc::clone(present) }
    }

    fn present(&self) -> Policy {
        **self.present.load()
    }
}

/// The permission was withdrawn between the check and its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn;

impl<A: Action> Grant<A> {
    pub(super) const fn new(caller: Caller, target: A::Target, epoch: u64, asked: Asked) -> Self {
        Self { caller, target, epoch, asked }
    }

    /// The caller who has the permission.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same permission for a task that outlives the request. It is checked again when it is used, like
    /// every grant.
    #[must_use]
    pub fn carry(&self) -> Self {
        Self {
            caller: self.caller.clone(),
            target: self.target.clone(),
            epoch: self.epoch,
            asked: self.asked.clone(),
        }
    }

    /// The caller's rights by the present policy and the rows in `tx`, for lists and hints that name
    /// repositories.
    pub fn rights(&self, now_ms: u64, tx: &impl Tx) -> Result<Rights, StoreError> {
        Rights::of(self.asked.present(), &self.caller.principal, now_ms, tx)
    }
}

impl<A: Action> Grant<A> {
    /// Checks inside a transaction that the permission still holds. If no user's rights, nor the policy, nor
    /// the repository changed since the grant was created, this only compares numbers. Otherwise it evaluates
    /// the present policy, for the repository that has the name now.
    pub fn recheck(&self, tx: &WriteTx<'_>) -> Result<Result<(), Withdrawn>, StoreError> {
        if A::KIND == Kind::System {
            return Ok(Ok(()));
        }
        let policy = self.asked.present();
        let granted = self.target.resource();
        let resource = match granted {
            Resource::Site => Resource::Site,
            Resource::Repository { name, .. } => {
                Resource::Repository { name, id: tx.get(&schema::REPOSITORY_NAME, name)? }
            }
        };
        let same_epoch = tx.get(&schema::AUTH_EPOCH, ())?.unwrap_or(0) == self.epoch;
        if same_epoch && policy == self.asked.at_grant && resource == granted {
            return Ok(Ok(()));
        }
        if let (
            Kind::Delete,
            Resource::Repository { id: Some(granted), .. },
            Resource::Repository { id: Some(found), .. },
        ) = (A::KIND, granted, resource)
            && granted != found
        {
            // The repository to be deleted no longer exists, and another one was created under its name.
            return Ok(Err(Withdrawn));
        }
        let principal = &self.caller.principal;
        let question = Question { policy, principal, kind: A::KIND, resource, now_ms: tx.latest_ms() };
        Ok(if policy::permits(question, tx)? { Ok(()) } else { Err(Withdrawn) })
    }
}

impl<A: Action<Target = Repository>> Grant<A> {
    /// The repository's name.
    pub const fn name(&self) -> &RepoName {
        &self.target.name
    }

    /// The repository's number, or `None` while it does not exist.
    pub const fn repository(&self) -> Option<RepoId> {
        self.target.id
    }
}

//! The proof of permission: a [`Grant`] is made only here, demanded by every function of the registry, and
//! checked again inside the transaction that uses it.

use std::fmt;

use super::policy;
use super::policy::{No, Policy, Question};
use super::principal::Caller;
use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::model::time::Now;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::tables;

/// What a grant permits.
pub trait Action: Copy + Send + Sync + 'static {
    /// What it is permitted on.
    type Target: Target;
    /// The kind for the policy.
    const KIND: Kind;
}

/// The kinds of action that the policy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read a repository.
    Pull,
    /// Read a repository and add to it.
    Push,
    /// Remove from a repository.
    Delete,
    /// List the repositories.
    Catalog,
    /// See and change users, tokens and the server.
    Manage,
    /// What the server does by itself.
    System,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident on $target:ty;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Action for $name {
            type Target = $target;
            const KIND: Kind = Kind::$name;
        }
    )* };
}

actions! {
    /// Reading a repository.
    Pull on Repository;
    /// Adding to a repository, and reading it.
    Push on Repository;
    /// Removing from a repository.
    Delete on Repository;
    /// Listing the repositories.
    Catalog on ();
    /// Seeing and changing users, tokens and the server.
    Manage on ();
    /// What the server does by itself.
    System on &'static str;
}

/// The repository a grant is for.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name.
    pub name: RepoName,
    /// Its number, or `None` while it does not exist.
    pub id: Option<RepoId>,
}

/// The proof that `A` was permitted when it was checked. It cannot be copied or kept: inside a write transaction
/// [`Grant::recheck`] asks again.
#[derive(Debug)]
pub struct Grant<A: Action> {
    caller: Caller,
    target: A::Target,
    epoch: u64,
    policy: Policy,
}

/// The permission was withdrawn between the check and its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn;

impl<A: Action> Grant<A> {
    pub(super) const fn new(caller: Caller, target: A::Target, epoch: u64, policy: Policy) -> Self {
        Self { caller, target, epoch, policy }
    }

    /// Who was permitted.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same permission for work that outlives the request. It is checked again at its use like every other.
    #[must_use]
    pub fn carry(&self) -> Self {
        Self {
            caller: self.caller.clone(),
            target: self.target.clone(),
            epoch: self.epoch,
            policy: self.policy,
        }
    }

    /// What it was permitted on.
    pub const fn target(&self) -> &A::Target {
        &self.target
    }

    /// Whether the caller may read the repository `name`, so that an answer may speak of it. A registry token's own
    /// bounds do not count here: its bearer could ask for one that covers it.
    pub fn sees(&self, name: &str, now: Now, tx: &impl Tx) -> Result<bool, StoreError> {
        let kind = Kind::Pull;
        let answer = self.ask(kind, Some((name, None)), now, tx)?;
        Ok(answer != Err(No::Right))
    }

    fn ask(
        &self,
        kind: Kind,
        repository: Option<(&str, Option<RepoId>)>,
        now: Now,
        tx: &impl Tx,
    ) -> Result<Result<(), No>, StoreError> {
        let principal = &self.caller.principal;
        let question = Question { policy: self.policy, principal, kind, repository, wall_ms: now.wall_ms };
        policy::ask(question, tx)
    }
}

/// What a grant is checked again on.
pub trait Target: Clone + fmt::Debug + Send + Sync + 'static {
    /// The repository's name and number, where it is one.
    fn repository(&self) -> Option<(&str, Option<RepoId>)>;
}

impl Target for () {
    fn repository(&self) -> Option<(&str, Option<RepoId>)> {
        None
    }
}

impl Target for &'static str {
    fn repository(&self) -> Option<(&str, Option<RepoId>)> {
        None
    }
}

impl Target for Repository {
    fn repository(&self) -> Option<(&str, Option<RepoId>)> {
        Some((self.name.as_str(), self.id))
    }
}

impl<A: Action> Grant<A> {
    /// Checks inside a transaction that the permission still holds: at once while nothing about anybody's rights
    /// has changed, by the policy otherwise.
    pub fn recheck(&self, tx: &WriteTx<'_>) -> Result<Result<(), Withdrawn>, StoreError> {
        if A::KIND == Kind::System || tx.get(&tables::AUTH_EPOCH, ())?.unwrap_or(0) == self.epoch {
            return Ok(Ok(()));
        }
        Ok(self.ask(A::KIND, self.target.repository(), tx.now(), tx)?.map_err(|_| Withdrawn))
    }
}

impl Grant<Push> {
    /// Who may push may read.
    pub fn as_pull(&self) -> Grant<Pull> {
        Grant::new(self.caller.clone(), self.target.clone(), self.epoch, self.policy)
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

//! The proof of permission: a [`Grant`] is made only here, demanded by every function of the registry, and
//! checked again inside the transaction that uses it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::policy;
use super::policy::{Policy, Question, Standing};
use super::principal::Caller;
use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::schema;

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
    /// See users, tokens and the server.
    Inspect,
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
    /// Seeing users, tokens and the server.
    Inspect on ();
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
    asked: Asked,
}

/// The policy that a grant was made by, and the one of the server, which a reload can change meanwhile.
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

/// What the caller of a grant may see, for lists and hints that name repositories.
#[derive(Clone, Copy, Debug)]
pub struct Sight(Standing);

impl Sight {
    /// Whether the caller may read the repository `name`, so that an answer may speak of it. A registry token's own
    /// bounds do not count here: its bearer could ask for one that covers it.
    pub fn sees(self, name: &str) -> bool {
        self.0.may(Kind::Pull, Some(name))
    }
}

/// The permission was withdrawn between the check and its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn;

impl<A: Action> Grant<A> {
    pub(super) const fn new(caller: Caller, target: A::Target, epoch: u64, asked: Asked) -> Self {
        Self { caller, target, epoch, asked }
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
            asked: self.asked.clone(),
        }
    }

    /// What it was permitted on.
    pub const fn target(&self) -> &A::Target {
        &self.target
    }

    /// What the caller may see by the present policy and the rights stored in `tx`.
    pub fn sight(&self, now_ms: u64, tx: &impl Tx) -> Result<Sight, StoreError> {
        Standing::of(self.asked.present(), &self.caller.principal, now_ms, tx).map(Sight)
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
    /// Checks inside a transaction that the permission still holds: at once while no user's rights, nor the policy,
    /// nor the repository has changed, by the present policy and the repository that has the name now otherwise.
    pub fn recheck(&self, tx: &WriteTx<'_>) -> Result<Result<(), Withdrawn>, StoreError> {
        if A::KIND == Kind::System {
            return Ok(Ok(()));
        }
        let policy = self.asked.present();
        let granted = self.target.repository();
        let repository = match granted {
            Some((name, _)) => Some((name, tx.get(&schema::REPOSITORY_NAME, name)?)),
            None => None,
        };
        let same_epoch = tx.get(&schema::AUTH_EPOCH, ())?.unwrap_or(0) == self.epoch;
        if same_epoch && policy == self.asked.at_grant && repository == granted {
            return Ok(Ok(()));
        }
        if let (Kind::Delete, Some((_, Some(granted))), Some((_, Some(found)))) =
            (A::KIND, granted, repository)
            && granted != found
        {
            // What was to be deleted is gone; another repository was made under its name.
            return Ok(Err(Withdrawn));
        }
        let principal = &self.caller.principal;
        let question = Question { policy, principal, kind: A::KIND, repository, now_ms: tx.latest_ms() };
        Ok(policy::ask(question, tx)?.map_err(|_| Withdrawn))
    }
}

impl Grant<Manage> {
    /// Who may change may see.
    pub fn as_inspect(&self) -> Grant<Inspect> {
        Grant::new(self.caller.clone(), (), self.epoch, self.asked.clone())
    }
}

impl Grant<Push> {
    /// Who may push may read.
    pub fn as_pull(&self) -> Grant<Pull> {
        Grant::new(self.caller.clone(), self.target.clone(), self.epoch, self.asked.clone())
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

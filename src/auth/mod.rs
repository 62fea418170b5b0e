//! Who somebody is and what they may do. The only maker of [`Grant`]s.

mod access;
mod buckets;
mod credentials;
mod grant;
mod issue;
mod jwt;
mod password;
mod policy;
mod principal;
mod refresh;
mod scopes;
mod secret;
mod sign_in;
mod tokens;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::runtime::Handle as Runtime;

pub use access::{AccessEntry, ScopeRequest};
pub use credentials::{Basic, Header};
pub use grant::{
    Action, Catalog, Delete, Grant, Inspect, Kind, Manage, Pull, Push, Repository, System, Target, Withdrawn,
};
pub use issue::{Applicant, Issued};
pub use policy::Policy;
pub use principal::{Caller, Credential, Principal};
pub use scopes::{ScopeError, Scopes};
pub use sign_in::{Lateness, SignInError};
pub use tokens::{NewToken, TokenError, TokenView};
pub use users::{NewAdmin, UserChange, UserError, UserView};

use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::store::meta::Meta;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::tables;
use buckets::Buckets;
use credentials::Cache;
use jwt::Signer;
pub use jwt::key_file;
use password::Passwords;
use policy::{No, Question};

/// The name of this service in challenges and tokens.
pub const SERVICE: &str = "stowage";

/// Why something was not permitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A registry token is not for this; another one may be.
    #[error("this needs a sign-in or a token that covers it: docker login, as somebody who may")]
    Scope,
    /// The caller may not know of the repository.
    #[error("the repository is not known to the registry, or you may not see it")]
    Hidden,
    /// The caller may not do this, whatever it is about.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller may read it, but not do this.
    #[error("you may pull from the repository, but {0}")]
    Denied(&'static str),
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the gate is set to.
pub struct Settings {
    /// Where the key and the first admin's password are.
    pub data_dir: PathBuf,
    /// The name of the first admin.
    pub initial_admin: String,
    /// How long registry tokens are valid, in seconds.
    pub token_ttl_s: AtomicU64,
    /// How late a registry token may be on an upload that it began, in seconds.
    pub upload_idle_s: AtomicU64,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys that sign tokens cannot be read or made.
    #[error(transparent)]
    Keys(#[from] io::Error),
}

/// Recognises callers and grants what the policy permits.
pub struct Auth {
    meta: Arc<Meta>,
    policy: ArcSwap<Policy>,
    settings: Settings,
    epoch: AtomicU64,
    cache: Cache,
    passwords: Passwords,
    buckets: Buckets,
    signer: Signer,
}

impl Auth {
    /// The gate of one store.
    pub fn new(
        meta: Arc<Meta>,
        policy: Policy,
        settings: Settings,
        runtime: Runtime,
    ) -> Result<Self, GateError> {
        let epoch = meta.get(|tx| tx.get(&tables::AUTH_EPOCH, ()))?.unwrap_or(0);
        Ok(Self {
            signer: Signer::open(&settings.data_dir)?,
            meta,
            policy: ArcSwap::from_pointee(policy),
            settings,
            epoch: AtomicU64::new(epoch),
            cache: Cache::new(),
            passwords: Passwords::new(runtime),
            buckets: Buckets::default(),
        })
    }

    /// How the registry treats those who do not sign in.
    pub fn policy(&self) -> Policy {
        **self.policy.load()
    }

    /// Puts other settings into force, from the next request on. An open registry stays open.
    pub fn reconfigure(&self, anonymous_pull: bool, token_ttl_s: u64, upload_idle_s: u64) {
        if self.policy() != Policy::Open {
            self.policy.store(Arc::new(Policy::SignIn { anonymous_pull }));
        }
        self.settings.token_ttl_s.store(token_ttl_s, Ordering::Release);
        self.settings.upload_idle_s.store(upload_idle_s, Ordering::Release);
    }

    /// Permits `A` on the repository `name`, or says why not.
    pub fn repository<A>(&self, caller: &Caller, name: &RepoName) -> Result<Grant<A>, Refusal>
    where
        A: Action<Target = Repository>,
    {
        let epoch = self.epoch.load(Ordering::Acquire);
        let wall_ms = self.meta.clock().now().wall_ms;
        let (answer, sees, id) = self.meta.get(|tx| {
            let id = tx.get(&tables::REPOSITORY_NAME, name.as_str())?.map(RepoId);
            let question = Question {
                policy: self.policy(),
                principal: &caller.principal,
                kind: A::KIND,
                repository: Some((name.as_str(), id)),
                wall_ms,
            };
            let answer = policy::ask(question, tx)?;
            let sees = answer.is_ok() || policy::ask(Question { kind: Kind::Pull, ..question }, tx)?.is_ok();
            Ok::<_, StoreError>((answer, sees, id))
        })?;
        match (answer, sees) {
            (Ok(()), _) => {
                Ok(Grant::new(caller.clone(), Repository { name: name.clone(), id }, epoch, self.policy()))
            }
            // A token that covers too little and one for what does not exist are answered alike.
            (Err(_), _) if caller.principal.access().is_some() => Err(Refusal::Scope),
            (Err(No::Scope | No::Right), true) => Err(Refusal::Denied(match A::KIND {
                Kind::Delete => "deleting is for admins with a credential that may delete",
                _ => "this credential may not change it",
            })),
            (Err(No::Scope | No::Right), false) => Err(Refusal::Hidden),
        }
    }

    /// Permits the listing of repositories, or says why not.
    pub fn catalog(&self, caller: &Caller) -> Result<Grant<Catalog>, Refusal> {
        self.plain(caller)
    }

    /// Permits a look at users, tokens and the server, or says why not.
    pub fn inspect(&self, caller: &Caller) -> Result<Grant<Inspect>, Refusal> {
        self.plain(caller)
    }

    /// Permits the management of users, tokens and the server, or says why not.
    pub fn manage(&self, caller: &Caller) -> Result<Grant<Manage>, Refusal> {
        self.plain(caller)
    }

    fn plain<A: Action<Target = ()>>(&self, caller: &Caller) -> Result<Grant<A>, Refusal> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let wall_ms = self.meta.clock().now().wall_ms;
        let principal = &caller.principal;
        let question =
            Question { policy: self.policy(), principal, kind: A::KIND, repository: None, wall_ms };
        match self.meta.get(|tx| policy::ask(question, tx))? {
            Ok(()) => Ok(Grant::new(caller.clone(), (), epoch, self.policy())),
            Err(_) if principal.access().is_some() => Err(Refusal::Scope),
            Err(_) => Err(Refusal::Forbidden(policy::missing(principal, A::KIND))),
        }
    }

    /// Permits a background worker of the server to do its work.
    pub fn system(&self, worker: &'static str) -> Grant<System> {
        let caller = Caller { principal: Principal::Local { name: worker.into() }, address: None };
        Grant::new(caller, worker, self.epoch.load(Ordering::Acquire), self.policy())
    }

    /// Takes over the epoch after a change, so that it counts from the next request on.
    fn done<T, E: From<StoreError>>(&self, result: Result<T, E>) -> Result<T, E> {
        let epoch = self.meta.get(|tx| tx.get(&tables::AUTH_EPOCH, ()).map_err(E::from))?.unwrap_or(0);
        self.epoch.store(epoch, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests;

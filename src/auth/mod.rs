//! Who somebody is and what they may do. The only maker of [`Grant`]s.

mod credentials;
mod grant;
mod password;
mod policy;
mod principal;
mod users;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle as Runtime;

pub use grant::{Action, Catalog, Delete, Grant, Kind, Pull, Push, Repository, System, Withdrawn};
pub use policy::Policy;
pub use principal::{Caller, Principal};
pub use users::{NewAdmin, UserError};

use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::model::names::UserId;
use crate::store::meta::Meta;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::tables;
use credentials::{Basic, Cache};
use password::Passwords;

/// Why somebody was not recognised.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nothing was sent.
    #[error("sign in first: docker login")]
    Missing,
    /// The header is not one that this registry understands.
    #[error("the Authorization header is not `Basic` with a base64 of name:password")]
    Malformed,
    /// The name or the password is wrong, or the user is disabled.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// Too many sign-ins wait already.
    #[error("too many sign-ins at once; try again in a few seconds")]
    Busy,
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why something was not permitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may not know of the repository.
    #[error("the repository is not known to the registry, or you may not see it")]
    Hidden,
    /// The caller may read it, but not do this.
    #[error("you may pull from the repository, but {0}")]
    Denied(&'static str),
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Recognises callers and grants what the policy permits.
pub struct Auth {
    meta: Arc<Meta>,
    policy: Policy,
    epoch: AtomicU64,
    cache: Cache,
    passwords: Passwords,
}

impl Auth {
    /// The gate of one store.
    pub fn new(meta: Arc<Meta>, policy: Policy, runtime: Runtime) -> Result<Self, StoreError> {
        let epoch = meta.get(|tx| tx.get(&tables::AUTH_EPOCH, ()))?.unwrap_or(0);
        Ok(Self {
            meta,
            policy,
            epoch: AtomicU64::new(epoch),
            cache: Cache::new(),
            passwords: Passwords::new(runtime),
        })
    }

    /// How the registry treats those who do not sign in.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Recognises the sender of an `Authorization` header.
    pub async fn authenticate(&self, header: Option<&str>) -> Result<Principal, SignInError> {
        if self.policy == Policy::Open {
            return Ok(Principal::Anonymous);
        }
        let header = header.ok_or(SignInError::Missing)?;
        let epoch = self.epoch.load(Ordering::Acquire);
        let key = self.cache.key(header, epoch);
        if let Some(principal) = self.cache.get(&key) {
            return Ok(principal);
        }
        let Basic { name, password } = Basic::parse(header).ok_or(SignInError::Malformed)?;
        let user = self.meta.get(|tx| {
            let Some(id) = tx.get(&tables::USER_NAME, name.as_str())? else { return Ok(None) };
            Ok::<_, StoreError>(tx.get(&tables::USER, id)?.map(|user| (UserId(id), user)))
        })?;
        let stored =
            user.as_ref().filter(|(_, user)| !user.disabled).map(|(_, user)| user.password_hash.clone());
        let right = self.passwords.verify(stored, password).await.map_err(|_| SignInError::Busy)?;
        let (true, Some((id, user))) = (right, user) else {
            return Err(SignInError::Wrong);
        };
        let principal = Principal::User { id, name: Arc::from(user.name) };
        self.cache.put(key, principal.clone());
        Ok(principal)
    }

    /// Permits `A` on the repository `name`, or says why not.
    pub fn repository<A>(&self, caller: &Caller, name: &RepoName) -> Result<Grant<A>, Refusal>
    where
        A: Action<Target = Repository>,
    {
        let epoch = self.epoch.load(Ordering::Acquire);
        let (permitted, sees, id) = self.meta.get(|tx| {
            let id = tx.get(&tables::REPOSITORY_NAME, name.as_str())?;
            let permitted = policy::permits(self.policy, &caller.principal, A::KIND, tx)?;
            let sees = permitted || policy::permits(self.policy, &caller.principal, Kind::Pull, tx)?;
            Ok::<_, StoreError>((permitted, sees, id))
        })?;
        match (permitted, sees) {
            (true, _) => {
                let target = Repository { name: name.clone(), id: id.map(RepoId) };
                Ok(Grant::new(caller.clone(), target, epoch, self.policy))
            }
            (false, true) => Err(Refusal::Denied(match A::KIND {
                Kind::Delete => "deleting is for admins",
                _ => "you may not change it",
            })),
            (false, false) => Err(Refusal::Hidden),
        }
    }

    /// Permits the listing of repositories, or says why not.
    pub fn catalog(&self, caller: &Caller) -> Result<Grant<Catalog>, Refusal> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let permitted =
            self.meta.get(|tx| policy::permits(self.policy, &caller.principal, Kind::Catalog, tx))?;
        if permitted { Ok(Grant::new(caller.clone(), (), epoch, self.policy)) } else { Err(Refusal::Hidden) }
    }

    /// Permits a background worker of the server to do its work.
    pub fn system(&self, worker: &'static str) -> Grant<System> {
        let caller = Caller { principal: Principal::Anonymous, address: None };
        Grant::new(caller, worker, self.epoch.load(Ordering::Acquire), self.policy)
    }
}

//! Who a caller is and what that caller may do. The only maker of [`Grant`]s.

mod access;
mod attempt;
mod buckets;
mod credentials;
mod failures;
mod first_admin;
mod grant;
mod issue;
mod jwt;
mod password;
mod policy;
mod principal;
mod refresh;
mod refusal;
mod remembered;
mod scopes;
mod secret;
mod sign_in;
mod sign_in_error;
mod tokens;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::runtime::Handle as Runtime;

pub use access::{AccessEntry, ScopeRequest};
pub use credentials::{Basic, Header};
pub use first_admin::NewAdmin;
pub use grant::{
    Action, Catalog, Delete, Grant, Inspect, Kind, Manage, Pull, Push, Repository, Sight, System, Target,
    Withdrawn,
};
pub use issue::{Applicant, Issued, MAX_SCOPES};
pub use password::{LENGTH as PASSWORD_LENGTH, length_problem as password_length_problem};
pub use policy::Policy;
pub use principal::{Caller, Credential, Principal};
pub use refusal::Refusal;
pub use remembered::{LONGEST_REMEMBERED, MOST_REMEMBERED};
pub use scopes::{ScopeError, Scopes};
pub use sign_in::Door;
pub use sign_in_error::SignInError;
pub use tokens::{MadeToken, NewToken, TokenError, TokenView};
pub use users::{UserChange, UserError, UserView};

use crate::config::Config;
use crate::model::names::RepoName;
use crate::store::meta::Meta;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::schema;
use buckets::Buckets;
use failures::Failures;
use grant::Asked;
use jwt::Signer;
pub use jwt::key_file;
use password::Passwords;
use policy::{No, Question};
use remembered::Remembered;

/// The name of this service in challenges and tokens.
pub const SERVICE: &str = "stowage";

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
    /// Refresh tokens of one user at most.
    pub refresh_tokens: AtomicUsize,
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
    policy: Arc<ArcSwap<Policy>>,
    settings: Settings,
    remembered: Remembered,
    passwords: Passwords,
    buckets: Buckets,
    failures: Failures,
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
        meta.know_epoch(meta.get(|tx| tx.get(&schema::AUTH_EPOCH, ()))?.unwrap_or(0));
        Ok(Self {
            signer: Signer::open(&settings.data_dir)?,
            meta,
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            settings,
            remembered: Remembered::new(),
            passwords: Passwords::new(runtime),
            buckets: Buckets::default(),
            failures: Failures::default(),
        })
    }

    /// How the registry treats those who do not sign in.
    pub fn policy(&self) -> Policy {
        **self.policy.load()
    }

    /// Puts other settings into force, from the next request on. An open registry stays open.
    pub fn reconfigure(&self, config: &Config) {
        let anonymous_pull = config.auth.anonymous_pull;
        if self.policy() != Policy::Open {
            self.policy.store(Arc::new(Policy::SignIn { anonymous_pull }));
        }
        self.settings.token_ttl_s.store(config.auth.token_ttl.as_secs(), Ordering::Release);
        self.settings.upload_idle_s.store(config.storage.gc.upload_idle.as_secs(), Ordering::Release);
        self.settings.refresh_tokens.store(config.limits.refresh_tokens, Ordering::Release);
    }

    /// Permits `A` on the repository `name`, or says why not.
    pub fn repository<A>(&self, caller: &Caller, name: &RepoName) -> Result<Grant<A>, Refusal>
    where
        A: Action<Target = Repository>,
    {
        let (epoch, asked) = (self.meta.auth_epoch(), Asked::now(&self.policy));
        let now_ms = self.meta.latest_ms();
        let (answer, sees, refused, id) = self.meta.get(|tx| {
            let id = tx.get(&schema::REPOSITORY_NAME, name.as_str())?;
            let question = Question {
                policy: self.policy(),
                principal: &caller.principal,
                kind: A::KIND,
                repository: Some((name.as_str(), id)),
                now_ms,
            };
            let answer = policy::ask(question, tx)?;
            let pull = Question { kind: Kind::Pull, ..question };
            let (sees, refused) = match (&answer, caller.principal.access()) {
                (Ok(()), _) => (true, false),
                (Err(_), Some(access)) if access.was_refused(A::KIND, question.repository) => {
                    (policy::allows(pull, tx)?, true)
                }
                (Err(_), _) => (policy::ask(pull, tx)?.is_ok(), false),
            };
            Ok::<_, StoreError>((answer, sees, refused, id))
        })?;
        match (answer, sees) {
            (Ok(()), _) => {
                Ok(Grant::new(caller.clone(), Repository { name: name.clone(), id }, epoch, asked))
            }
            // A caller who asked the token endpoint for this and may pull here gains nothing from another token.
            (Err(_), _) if refused && sees => {
                Err(Refusal::Denied(policy::missing_here(&caller.principal, A::KIND)))
            }
            // A token that covers too little and one for what does not exist are answered alike.
            (Err(_), _) if caller.principal.access().is_some() => Err(Refusal::Scope(A::KIND)),
            (Err(No::Scope | No::Right), true) => {
                Err(Refusal::Denied(policy::missing_here(&caller.principal, A::KIND)))
            }
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
        let (epoch, asked) = (self.meta.auth_epoch(), Asked::now(&self.policy));
        let now_ms = self.meta.latest_ms();
        let principal = &caller.principal;
        let question = Question { policy: self.policy(), principal, kind: A::KIND, repository: None, now_ms };
        match self.meta.get(|tx| policy::ask(question, tx))? {
            Ok(()) => Ok(Grant::new(caller.clone(), (), epoch, asked)),
            Err(_) if principal.access().is_some() => Err(Refusal::Scope(A::KIND)),
            Err(_) => Err(Refusal::Forbidden(policy::missing(principal, A::KIND))),
        }
    }

    /// Permits a background worker of the server to do its work.
    pub fn system(&self, worker: &'static str) -> Grant<System> {
        let caller = Caller { principal: Principal::Local { name: worker.into() }, address: None };
        Grant::new(caller, worker, self.meta.auth_epoch(), Asked::now(&self.policy))
    }
}

#[cfg(test)]
mod tests;

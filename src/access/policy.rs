//! The policy. The stored rows give a principal its role, the table in [`Role`] says what a role may do, and
//! the scopes of the credential restrict that.
//!
//! Until projects exist, a role applies to all repositories: in an open registry every caller is a
//! maintainer; elsewhere every user is a developer, admins are admins, and a caller with an anonymous token
//! is a reporter if the settings permit it.

use super::action::Kind;
use super::principal::{Credential, Principal};
use super::refusal::Refusal;
use super::resource::Resource;
use super::role::Role;
use super::scopes::Scopes;
use crate::config::Config;
use crate::model::names::UserId;
use crate::store::meta::schema::{self, User};
use crate::store::meta::{StoreError, Tx};

/// The policy for callers without a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every caller may pull, push and delete (`serve --anonymous`).
    Open,
    /// Every caller must sign in.
    SignIn {
        /// Pulls are permitted without a sign-in.
        anonymous_pull: bool,
    },
}

impl Policy {
    /// The policy of a registry with users, from its settings.
    pub const fn of(config: &Config) -> Self {
        Self::SignIn { anonymous_pull: config.auth.anonymous_pull }
    }
}

/// A question to the policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) policy: Policy,
    pub(super) principal: &'q Principal,
    pub(super) kind: Kind,
    pub(super) resource: Resource<'q>,
    /// The time for the expiry of tokens: [`Meta::latest_ms`](crate::store::meta::Meta::latest_ms).
    pub(super) now_ms: u64,
}

/// The rights of a principal, read from the store once. A list evaluates them for each name without reading
/// rows again.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    on_site: Option<Role>,
    /// Until projects exist, the same on every repository.
    on_repositories: Option<Role>,
    scopes: Scopes,
}

impl Rights {
    const NONE: Self = Self { on_site: None, on_repositories: None, scopes: Scopes::ALL };
    const ADMIN: Self =
        Self { on_site: Some(Role::Admin), on_repositories: Some(Role::Admin), scopes: Scopes::ALL };

    /// The rights of a principal, whatever registry token it presents.
    pub(super) fn of(
        policy: Policy,
        principal: &Principal,
        now_ms: u64,
        tx: &impl Tx,
    ) -> Result<Self, StoreError> {
        Ok(match (policy, principal) {
            (_, Principal::Local { .. }) => Self::ADMIN,
            (Policy::Open, Principal::Anybody) => Self {
                on_site: Some(Role::User),
                on_repositories: Some(Role::Maintainer),
                scopes: Scopes::ALL,
            },
            (Policy::SignIn { anonymous_pull: true }, Principal::Anonymous { .. }) => {
                Self { on_repositories: Some(Role::Reporter), ..Self::NONE }
            }
            (_, Principal::User { id, credential, scopes, .. }) => {
                match user(tx, *id, *credential, now_ms)? {
                    Some(user) if user.admin => Self { scopes: *scopes, ..Self::ADMIN },
                    Some(_) => Self {
                        on_site: Some(Role::User),
                        on_repositories: Some(Role::Developer),
                        scopes: *scopes,
                    },
                    None => Self::NONE,
                }
            }
            (_, Principal::Anybody | Principal::Anonymous { .. }) => Self::NONE,
        })
    }

    const fn role(self, resource: Resource<'_>) -> Option<Role> {
        match resource {
            Resource::Site => self.on_site,
            Resource::Repository { .. } => self.on_repositories,
        }
    }

    pub(super) fn may(self, kind: Kind, resource: Resource<'_>) -> bool {
        self.role(resource).is_some_and(|role| role.may(kind)) && self.scopes.cover(kind)
    }

    /// Whether the caller may read the repository `name`, so that an answer may mention it. The bounds of a
    /// registry token do not count here: its bearer could request one that covers the repository.
    pub fn sees(self, name: &str) -> bool {
        self.may(Kind::Pull, Resource::Repository { name, id: None })
    }
}

/// Whether the stored rights permit this and the caller's registry token covers it.
pub(super) fn permits(question: Question<'_>, tx: &impl Tx) -> Result<bool, StoreError> {
    let covered =
        question.principal.claims().is_none_or(|claims| claims.covers(question.kind, question.resource));
    Ok(covered && allows(question, tx)?)
}

/// Whether the stored rights permit this, whatever registry token the principal presents.
pub(super) fn allows(question: Question<'_>, tx: &impl Tx) -> Result<bool, StoreError> {
    let Question { policy, principal, kind, resource, now_ms } = question;
    Ok(Rights::of(policy, principal, now_ms, tx)?.may(kind, resource))
}

/// Why something is not permitted, without telling the caller what it may not know.
pub(super) fn refusal(question: Question<'_>, tx: &impl Tx) -> Result<Refusal, StoreError> {
    let Question { principal, kind, resource, .. } = question;
    let denied = Refusal::Denied(missing_here(principal, kind));
    let pull = Question { kind: Kind::Pull, ..question };
    Ok(match (principal.claims(), resource) {
        // The caller requested this of the token endpoint, was refused, and may pull here: another token
        // would not help.
        (Some(claims), Resource::Repository { .. })
            if claims.was_refused(kind, resource) && allows(pull, tx)? =>
        {
            denied
        }
        // A token that covers too little and a repository that does not exist get the same answer.
        (Some(_), _) => Refusal::Scope(kind),
        (None, Resource::Site) => Refusal::Forbidden(missing(principal, kind)),
        (None, Resource::Repository { .. }) if allows(pull, tx)? => denied,
        (None, Resource::Repository { .. }) => Refusal::Hidden,
    })
}

/// The user, if the credential is still valid.
pub(crate) fn user(
    tx: &impl Tx,
    id: UserId,
    credential: Credential,
    now_ms: u64,
) -> Result<Option<User>, StoreError> {
    let Some(user) = tx.get(&schema::USER, id)?.filter(|user| !user.disabled) else { return Ok(None) };
    let good = match credential {
        Credential::Password(version) => user.password_version == version,
        Credential::Token(token) => tx
            .get(&schema::TOKEN, token)?
            .is_some_and(|token| token.user == id && token.expires_ms.is_none_or(|expires| now_ms < expires)),
    };
    Ok(good.then_some(user))
}

/// The reason for a refusal: what the caller would need to do this.
pub(super) const fn missing(principal: &Principal, kind: Kind) -> &'static str {
    match (principal, kind) {
        (
            Principal::User { scopes, .. },
            Kind::ManageUsers | Kind::ManageTokens | Kind::RunJobs | Kind::ManageTrash,
        ) if !scopes.cover(kind) => {
            "this token may not change anything through the API: that needs the scope api"
        }
        (Principal::User { scopes, .. }, Kind::ReadUsers | Kind::ReadTokens | Kind::ReadServer)
            if !scopes.cover(kind) =>
        {
            "this token is not for the API: that needs the scope read_api or api"
        }
        _ => "this is for admins",
    }
}

/// The reason for a refusal to a caller who may pull from the repository but not do this there.
pub(super) const fn missing_here(principal: &Principal, kind: Kind) -> &'static str {
    match (principal, kind) {
        (Principal::User { scopes, .. }, Kind::Push) if !scopes.cover(kind) => {
            "this token may pull, but not push: that needs the scope write_registry"
        }
        (Principal::User { scopes, .. }, Kind::Delete) if !scopes.cover(kind) => {
            "this token may pull, but not delete: that needs the scope delete_registry"
        }
        (Principal::User { .. }, Kind::Delete) => "you may pull, but only admins may delete",
        (Principal::Anonymous { .. }, Kind::Push) => {
            "you may pull without signing in; to push, sign in with docker login"
        }
        (Principal::Anonymous { .. }, Kind::Delete) => {
            "you may pull without signing in; to delete, sign in as an admin with docker login"
        }
        _ => "this credential may not change it",
    }
}

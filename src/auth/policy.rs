//! Who may do what, as one function over the stored rows.
//!
//! Until projects and roles exist: in an open registry everybody may do everything; elsewhere every user who may
//! sign in pulls and pushes within the scopes of the credential, only admins delete and manage, and somebody with an
//! anonymous token pulls if the settings say so.

use super::grant::Kind;
use super::principal::{Credential, Principal};
use super::scopes::Scopes;
use crate::model::names::RepoId;
use crate::model::names::UserId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::rows::User;
use crate::store::meta::tables;

/// How the registry treats those who do not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everybody may pull, push and delete (`serve --anonymous`).
    Open,
    /// Everybody signs in.
    SignIn {
        /// But pulls need no user.
        anonymous_pull: bool,
    },
}

/// What is asked of the policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) policy: Policy,
    pub(super) principal: &'q Principal,
    pub(super) kind: Kind,
    /// The repository's name, and its number if there is one.
    pub(super) repository: Option<(&'q str, Option<RepoId>)>,
    pub(super) wall_ms: u64,
}

/// Why the policy says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    /// A registry token is not for this, but its bearer may ask for one that is.
    Scope,
    /// Nobody with this identity may.
    Right,
}

/// Asks by what is stored now, within what the caller's token covers.
pub(super) fn ask(question: Question<'_>, tx: &impl Tx) -> Result<Result<(), No>, StoreError> {
    let covered =
        question.principal.access().is_none_or(|access| access.covers(question.kind, question.repository));
    Ok(match (covered, allows(question, tx)?) {
        (false, _) => Err(No::Scope),
        (true, true) => Ok(()),
        (true, false) => Err(No::Right),
    })
}

/// Whether the identity may do this, whatever token it comes with.
pub(super) fn allows(question: Question<'_>, tx: &impl Tx) -> Result<bool, StoreError> {
    let Question { policy, principal, kind, .. } = question;
    Ok(match (policy, principal) {
        (_, Principal::Local { .. }) => kind != Kind::System,
        (Policy::Open, Principal::Anybody) => !matches!(kind, Kind::System | Kind::Manage),
        (Policy::SignIn { anonymous_pull }, Principal::Anonymous { .. }) => {
            anonymous_pull && kind == Kind::Pull
        }
        (_, Principal::User { id, credential, scopes, .. }) => {
            let user = user(tx, *id, *credential, question.wall_ms)?;
            user.is_some_and(|user| in_scope(*scopes, kind) && may(&user, kind))
        }
        (Policy::Open, Principal::Anonymous { .. }) | (Policy::SignIn { .. }, Principal::Anybody) => false,
    })
}

/// The user, if the credential is still good.
pub(super) fn user(
    tx: &impl Tx,
    id: UserId,
    credential: Credential,
    wall_ms: u64,
) -> Result<Option<User>, StoreError> {
    let Some(user) = tx.get(&tables::USER, id.0)?.filter(|user| !user.disabled) else { return Ok(None) };
    let good = match credential {
        Credential::Password(version) => user.password_version == version,
        Credential::Token(token) => tx.get(&tables::TOKEN, token)?.is_some_and(|token| {
            token.user == id && token.expires_ms.is_none_or(|expires| wall_ms < expires)
        }),
    };
    Ok(good.then_some(user))
}

const fn may(user: &User, kind: Kind) -> bool {
    match kind {
        Kind::Pull | Kind::Push | Kind::Catalog => true,
        Kind::Delete | Kind::Manage => user.admin,
        Kind::System => false,
    }
}

const fn in_scope(scopes: Scopes, kind: Kind) -> bool {
    scopes.any(match kind {
        Kind::Pull => Scopes::READ_OR_WRITE,
        Kind::Catalog => Scopes::READ_REGISTRY,
        Kind::Push => Scopes::WRITE_REGISTRY,
        Kind::Delete => Scopes::DELETE_REGISTRY,
        Kind::Manage => Scopes::API,
        Kind::System => return false,
    })
}

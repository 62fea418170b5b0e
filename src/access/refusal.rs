//! Why a request was not permitted, in sentences that name the fix.

use super::action::Kind;
use crate::store::meta::StoreError;

/// Why a request was not permitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The registry token does not cover this; another one may.
    #[error("not allowed: sign in with docker login as a user who may {}", verb(*.0))]
    Scope(Kind),
    /// The caller may not know whether the repository exists.
    #[error("repository name not known to registry, or you may not see it")]
    Hidden,
    /// The caller may not do this on any resource.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller may read this repository, but not do this there.
    #[error("requested access to the resource is denied: {0}")]
    Denied(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Pull => "pull",
        Kind::Push => "push",
        Kind::Delete => "delete",
        Kind::Catalog => "list the repositories",
        Kind::ReadUsers
        | Kind::ManageUsers
        | Kind::ReadTokens
        | Kind::ManageTokens
        | Kind::ReadServer
        | Kind::RunJobs
        | Kind::ManageTrash
        | Kind::System => "manage the registry",
    }
}

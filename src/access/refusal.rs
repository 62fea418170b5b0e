//! Why something was not permitted, in sentences that name the fix.

use super::action::Kind;
use crate::store::meta::StoreError;

/// Why something was not permitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A registry token is not for this; another one may be.
    #[error("not allowed: sign in with docker login as a user who may {}", verb(*.0))]
    Scope(Kind),
    /// The caller may not know of the repository.
    #[error("repository name not known to registry, or you may not see it")]
    Hidden,
    /// The caller may not do this, whatever it is about.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller may read it, but not do this.
    #[error("requested access to the resource is denied: {0}")]
    Denied(&'static str),
    /// The store could not tell.
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
        | Kind::System => "manage the registry",
    }
}

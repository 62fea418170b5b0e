//! The roles, and the table of what each role may do.

use super::action::Kind;

/// The role of a principal on a resource. The names are GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// On the site: a user who is not an admin.
    User,
    /// On a repository: reads it.
    Reporter,
    /// On a repository: reads it and adds to it.
    Developer,
    /// On a repository: also removes from it.
    Maintainer,
    /// On the site and every repository: everything except background work.
    Admin,
}

impl Role {
    /// Whether the role includes this.
    pub(super) fn may(self, kind: Kind) -> bool {
        self.kinds().contains(&kind)
    }

    /// The table. No role includes [`Kind::System`], which belongs to the server itself.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::User => &[Kind::Catalog],
            Self::Reporter => &[Kind::Pull],
            Self::Developer => &[Kind::Pull, Kind::Push],
            Self::Maintainer => &[Kind::Pull, Kind::Push, Kind::Delete],
            Self::Admin => &[
                Kind::Pull,
                Kind::Push,
                Kind::Delete,
                Kind::Catalog,
                Kind::ReadUsers,
                Kind::ManageUsers,
                Kind::ReadTokens,
                Kind::ManageTokens,
                Kind::ReadServer,
                Kind::RunJobs,
                Kind::ManageTrash,
            ],
        }
    }
}

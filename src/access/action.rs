//! What can be permitted: each action as a type for grants, and as a value for the policy.

use super::resource::{Repository, Site, Target};

/// What a grant permits.
pub trait Action: Copy + Send + Sync + 'static {
    /// What it is permitted on.
    type Target: Target;
    /// The kind for the policy.
    const KIND: Kind;
}

/// The kinds of action that the policy knows. Who reads one thing need not read another, so that a role can
/// be as narrow as an auditor or one who gives out tokens.
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
    /// See the users.
    ReadUsers,
    /// Make, change and remove users.
    ManageUsers,
    /// See the personal tokens of all users.
    ReadTokens,
    /// Make and revoke personal tokens of all users.
    ManageTokens,
    /// See how the server is and what its jobs do.
    ReadServer,
    /// Start and cancel jobs.
    RunJobs,
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
    Catalog on Site;
    /// Seeing the users.
    ReadUsers on Site;
    /// Making, changing and removing users.
    ManageUsers on Site;
    /// Seeing the personal tokens of all users.
    ReadTokens on Site;
    /// Making and revoking personal tokens of all users.
    ManageTokens on Site;
    /// Seeing how the server is and what its jobs do.
    ReadServer on Site;
    /// Starting and cancelling jobs.
    RunJobs on Site;
    /// What the server does by itself.
    System on Site;
}

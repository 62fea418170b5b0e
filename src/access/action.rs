//! The actions that can be permitted: each one as a type for grants, and as a value for the policy.

use super::resource::{Repository, Site, Target};

/// An action that a grant permits.
pub trait Action: Copy + Send + Sync + 'static {
    /// The resource that it is permitted on.
    type Target: Target;
    /// The value that the policy decides on.
    const KIND: Kind;
}

/// The actions as values for the policy. Reading and managing are separate per resource, so that a role can
/// be as narrow as an auditor's or a token manager's.
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
    /// Create, change and remove users.
    ManageUsers,
    /// See the personal tokens of all users.
    ReadTokens,
    /// Create and revoke personal tokens of all users.
    ManageTokens,
    /// See the state of the server and of its jobs.
    ReadServer,
    /// Start and cancel jobs.
    RunJobs,
    /// Restore what is in the trash, and remove it for good.
    ManageTrash,
    /// Background work of the server.
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
    /// Creating, changing and removing users.
    ManageUsers on Site;
    /// Seeing the personal tokens of all users.
    ReadTokens on Site;
    /// Creating and revoking personal tokens of all users.
    ManageTokens on Site;
    /// Seeing the state of the server and of its jobs.
    ReadServer on Site;
    /// Starting and cancelling jobs.
    RunJobs on Site;
    /// Restoring what is in the trash, and removing it for good.
    ManageTrash on Site;
    /// Background work of the server.
    System on Site;
}

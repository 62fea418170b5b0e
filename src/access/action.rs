//! What can be permitted: each action as a type for grants, and as a value for the policy.

use super::resource::{Repository, Site, Target};

/// What a grant permits.
pub trait Action: Copy + Send + Sync + 'static {
    /// What it is permitted on.
    type Target: Target;
    /// The kind for the policy.
    const KIND: Kind;
}

/// The kinds of action that the policy knows.
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
    /// See users, tokens and the server.
    Inspect,
    /// See and change users, tokens and the server.
    Manage,
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
    /// Seeing users, tokens and the server.
    Inspect on Site;
    /// Seeing and changing users, tokens and the server.
    Manage on Site;
    /// What the server does by itself.
    System on Site;
}

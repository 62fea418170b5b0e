//! What an action is permitted on.

use std::fmt;

use crate::model::names::{RepoId, RepoName};

/// What the policy is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'r> {
    /// The server as a whole: the list of its repositories, its users, its state.
    Site,
    /// A repository.
    Repository {
        /// Its name.
        name: &'r str,
        /// The number of the repository that has the name; `None`: none has it.
        id: Option<RepoId>,
    },
}

/// The server as a whole, as what a grant is for.
#[derive(Clone, Copy, Debug)]
pub struct Site;

/// The repository a grant is for.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name.
    pub name: RepoName,
    /// Its number, or `None` while it does not exist.
    pub id: Option<RepoId>,
}

/// What a grant is for.
pub trait Target: Clone + fmt::Debug + Send + Sync + 'static {
    /// The same for the policy.
    fn resource(&self) -> Resource<'_>;
}

impl Target for Site {
    fn resource(&self) -> Resource<'_> {
        Resource::Site
    }
}

impl Target for Repository {
    fn resource(&self) -> Resource<'_> {
        Resource::Repository { name: self.name.as_str(), id: self.id }
    }
}

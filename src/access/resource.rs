//! The resources on which actions are permitted.

use std::fmt;

use crate::model::names::{RepoId, RepoName};

/// The resource of a question to the policy.
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

/// The server as a whole, as the target of a grant.
#[derive(Clone, Copy, Debug)]
pub struct Site;

/// The repository that a grant is for.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name.
    pub name: RepoName,
    /// Its number, or `None` while it does not exist.
    pub id: Option<RepoId>,
}

/// The resource of a grant.
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

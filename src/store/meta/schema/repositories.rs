//! Projects and repositories: their names, their place in the tree, and the catalogue.

use serde::{Deserialize, Serialize};

use crate::model::names::{ProjectId, RepoId, Sequence};
use crate::store::meta::table::{Record, Table};

/// project id -> its path and its parent.
pub const PROJECT: Table<ProjectId, Project> = Table::new("project");

/// A path prefix with members and rules of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The path; "" for the root project.
    pub path: String,
    /// The project with the longest path above it.
    pub parent: Option<ProjectId>,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
}

impl Record for Project {}

/// project path -> project id. The root project has the path "".
pub const PROJECT_PATH: Table<&'static str, ProjectId> = Table::new("project_path");

/// repository id -> its name, its project and its counts.
pub const REPOSITORY: Table<RepoId, Repository> = Table::new("repository");

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The present name.
    pub name: String,
    /// The project it belongs to.
    pub project: ProjectId,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
}

impl Record for Repository {}

/// repository name -> repository id.
pub const REPOSITORY_NAME: Table<&'static str, RepoId> = Table::new("repository_name");

/// name of a repository that holds a manifest -> (): the catalogue.
pub const CATALOG: Table<&'static str, ()> = Table::new("catalog");

/// repository -> the sequence of its last change, for the collector.
pub const DIRTY_REPOSITORY: Table<RepoId, Sequence> = Table::new("dirty_repository");

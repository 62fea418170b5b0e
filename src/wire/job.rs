//! `/api/v1/jobs`, and what starts one: `/api/v1/checks`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{OpenEnum, Report};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Looks at everything stored.
    Check,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It works.
    Running,
    /// It came to its end.
    Done,
    /// It could not go on.
    Failed,
    /// It was ended before its end.
    Cancelled,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What is looked at.
    pub stage: String,
    /// Rows or files so far, in this stage.
    pub done: u64,
    /// Rows or files in all; 0: not known.
    pub total: u64,
    /// Bytes hashed so far, in all stages.
    pub bytes: u64,
}

/// Work of the server that outlives the request for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// The job's own name.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// What it does.
    #[schema(value_type = JobKind, inline)]
    pub kind: OpenEnum<JobKind>,
    /// Whether every blob is read.
    pub deep: bool,
    /// Who asked for it.
    pub by: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended; null: it has not.
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    /// How it is.
    #[schema(value_type = JobState, inline)]
    pub state: OpenEnum<JobState>,
    /// How far it is.
    pub progress: Progress,
    /// Why it failed.
    #[schema(required = true)]
    pub error: Option<String>,
    /// What was found, once it is done. Lists leave it out.
    #[schema(required = true)]
    pub result: Option<Report>,
}

/// A check to be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheck {
    /// Also read every blob and compare it with its digest.
    #[serde(default)]
    pub deep: bool,
}

//! `/api/v1/jobs`, and what starts one: `/api/v1/checks`

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{GcMode, JobResult, OpenEnum};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Looks at everything stored.
    Check,
    /// Writes all metadata to a file of its own.
    Dump,
    /// Removes what nothing refers to.
    Gc,
    /// Reads everything stored again, and compares it with its digests.
    Scrub,
    /// Gives the free space of the database file back.
    Compact,
}

impl JobKind {
    /// Every kind that this version has.
    pub const ALL: [Self; 5] = [Self::Check, Self::Dump, Self::Gc, Self::Scrub, Self::Compact];

    /// The word for it, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Dump => "dump",
            Self::Gc => "gc",
            Self::Scrub => "scrub",
            Self::Compact => "compact",
        }
    }

    /// The kind with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// How a job is.
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
    /// Its server ended without a stop, by a crash or a kill.
    Interrupted,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What it works on.
    pub stage: String,
    /// Rows or files so far, in this stage.
    pub done: u64,
    /// Rows or files in all; 0: not known.
    pub total: u64,
    /// Bytes read so far, in all stages.
    pub bytes: u64,
}

/// What a job was asked for: the fields of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobParameters {
    /// Of a check: whether every blob is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deep: Option<bool>,
    /// Of garbage collection: how far it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = GcMode, inline)]
    pub mode: Option<OpenEnum<GcMode>>,
    /// Of garbage collection: how long a manifest stays that no tag leads to, in seconds, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub untagged_s: Option<u64>,
    /// Of a scrub: whether it begins a new cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub full: Option<bool>,
    /// Of a scrub: the repository, if only that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub repository: Option<String>,
    /// Of a scrub: the digest, if only that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub digest: Option<String>,
    /// Of a compaction: whether it is made only if more than half of the file is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub if_mostly_free: Option<bool>,
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
    /// What was asked for.
    #[serde(default)]
    #[schema(inline, required = true)]
    pub parameters: JobParameters,
    /// Who asked for it; `system`: the server itself.
    pub by: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended; null: it has not, or that is not known because it was interrupted.
    #[schema(required = true, format = DateTime)]
    pub ended_at: Option<String>,
    /// How it is.
    #[schema(value_type = JobState, inline)]
    pub state: OpenEnum<JobState>,
    /// How far it is; of one that was interrupted, how far it was at least.
    pub progress: Progress,
    /// How much of what it found needs attention; 0 while it works.
    #[serde(default)]
    #[schema(required = true)]
    pub problems: u64,
    /// Why it did not come to its end.
    #[schema(required = true)]
    pub error: Option<String>,
    /// What was found, once it is done; of a scrub, also before. Lists leave it out, and only the latest jobs
    /// of a kind have it.
    #[schema(required = true)]
    pub result: Option<JobResult>,
}

impl Job {
    /// Whether it has not ended.
    pub fn is_under_way(&self) -> bool {
        self.ended_at.is_none() && self.state != JobState::Interrupted
    }
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLine {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What.
    pub text: String,
}

/// A check to be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCheck {
    /// Also read every blob and compare it with its digest.
    #[serde(default)]
    pub deep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_word_in_lists_and_in_json() {
        for kind in JobKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}

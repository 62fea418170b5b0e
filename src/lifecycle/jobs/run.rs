//! A job of this server, from its beginning until the next one of its kind.

use std::sync::OnceLock;

use uuid::Uuid;

use super::live::Live;
use super::view::{JobState, JobView};
use crate::model::names::Sequence;
use crate::store::meta::clock::StoreClock;
use crate::store::meta::schema::{self, JobProgress};
use crate::wire::JobKind;

/// A job of this server.
pub(super) struct Run {
    pub(super) id: Uuid,
    pub(super) kind: JobKind,
    parameters: String,
    pub(super) by: String,
    started_ms: u64,
    /// Not set while it has no row.
    pub(super) sequence: OnceLock<Sequence>,
    pub(super) live: Live,
}

impl Run {
    pub(super) fn new(kind: JobKind, parameters: String, by: String, clock: StoreClock) -> Self {
        let (started_ms, live) = (clock.now().wall_ms, Live::new(clock));
        Self { id: Uuid::new_v4(), kind, parameters, by, started_ms, sequence: OnceLock::new(), live }
    }

    /// What its row says, or would say.
    pub(super) fn row(&self) -> schema::Job {
        let told = self.live.told();
        let ended = told.ended.as_deref();
        schema::Job {
            id: self.id,
            kind: self.kind.as_str().to_owned(),
            parameters: self.parameters.clone(),
            by: self.by.clone(),
            started_ms: self.started_ms,
            ended_ms: ended.map(|ended| ended.at_ms),
            state: ended.map_or(JobState::Running, |ended| ended.state),
            progress: self.progress(),
            problems: ended.map_or(0, |ended| ended.problems),
            error: ended.and_then(|ended| ended.error.clone()),
        }
    }

    pub(super) fn progress(&self) -> JobProgress {
        let progress = self.live.told().progress;
        let stage = progress.stage.to_owned();
        JobProgress { stage, done: progress.done, total: progress.total, bytes: progress.bytes }
    }

    pub(super) fn view(&self) -> JobView {
        let result = match &self.live.told().ended {
            Some(ended) => ended.result.clone(),
            None => self.live.kept(),
        };
        // One without a row is the last of its kind.
        let order = self.sequence.get().map_or(u64::MAX, |sequence| sequence.0);
        JobView { order, job: self.row(), result }
    }
}

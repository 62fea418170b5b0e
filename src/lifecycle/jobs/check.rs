//! The check: looks at everything stored, while the server works.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::access::{Grant, RunJobs};
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::units::counted;
use crate::registry::Registry;
use crate::registry::fsck::CheckError;
use crate::wire::{JobKind, Report};

/// How a check is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckParams {
    /// Every blob is read and compared with its digest.
    #[serde(default)]
    pub deep: bool,
}

/// A check of a registry.
pub struct CheckJob {
    registry: Arc<Registry>,
    grant: Grant<RunJobs>,
}

impl CheckJob {
    /// One that `grant` permits.
    pub fn new(registry: Arc<Registry>, grant: &Grant<RunJobs>) -> Self {
        Self { registry, grant: grant.carry() }
    }
}

impl Job for CheckJob {
    const KIND: JobKind = JobKind::Check;
    type Params = CheckParams;
    type Output = Report;

    fn run(&self, params: &CheckParams, context: &Context<'_>) -> Result<Finished<Report>, Unfinished> {
        tracing::info!(deep = params.deep, by = self.grant.caller().principal.name(), "a check started");
        let mut stage = "";
        let checked = self.registry.check(&self.grant, params.deep, &mut |progress| {
            if progress.stage != stage {
                stage = progress.stage;
                context.log(format!("looks at {stage}"));
            }
            context.progress(progress)
        });
        match checked {
            Ok(report) => {
                let problems = report.problems.len() as u64;
                tracing::info!(problems, "the check is complete");
                context.log(format!("found {}", counted(problems, "problem", "problems")));
                Ok(Finished { output: Report::from(&report), problems })
            }
            Err(CheckError::Ended) => {
                tracing::info!("the check was cancelled");
                Err(Unfinished::Cancelled)
            }
            Err(CheckError::Store(error)) => {
                tracing::error!(%error, "the check failed");
                Err(Unfinished::Failed(error.to_string()))
            }
        }
    }

    fn shortened(output: &Report, halvings: u32) -> Option<Report> {
        let kept = output.problems.len().checked_shr(halvings).filter(|kept| *kept > 0)?;
        let mut short = Report { problems: output.problems[..kept].to_vec(), ..output.clone() };
        let left_out = (output.problems.len() - kept) as u64;
        let what = counted(left_out, "more problem is", "more problems are");
        short.notes.push(format!("{what} not kept in the history"));
        Some(short)
    }
}

//! A check by the running server, as a job there.

use super::report::Report;
use crate::cli::client::{Api, Received};
use crate::cli::errors::{Exit, Failure};
use crate::cli::following::{self, Cancelling};
use crate::cli::progress::Display;
use crate::wire::{Job, JobResult, JobState, NewCheck, OpenEnum};

/// Starts the job, shows its progress, and returns its report. Ctrl-C or SIGTERM cancels it.
pub(super) fn check(api: &Api, deep: bool, display: &mut Display) -> Result<Report, Failure> {
    let mut cancelling = Cancelling::catch("ending the check; once more to leave it to the server");
    let mut job: Received<Job> = api.post("/api/v1/checks", &NewCheck { deep })?;
    while job.is_under_way() {
        cancelling.send(api, &job)?;
        job = following::step(api, &job, display).map_err(gone)?;
    }
    if cancelling.is_sent() {
        return Err(Failure::new(
            Exit::Interrupted,
            "INTERRUPTED",
            "the check was cancelled; it changes nothing",
        ));
    }
    let (job, mut document) = job.into_parts();
    if let Some(JobResult::Check(report)) = job.result {
        return Ok(Report::new(report, document["result"].take()));
    }
    if job.state == JobState::Cancelled || job.state == JobState::Interrupted {
        return Err(ended());
    }
    let why = match (job.error, job.state) {
        (Some(why), _) => why,
        (None, OpenEnum::Unknown(state)) => format!("its state is {state}, which this version does not know"),
        (None, OpenEnum::Known(_)) => "the server does not say why".to_owned(),
    };
    Err(Failure::new(Exit::Failed, "CHECK_FAILED", "the check failed")
        .because(why)
        .fix("stop the server and run it again"))
}

/// If the server is gone, or another server does not know the job, the first server has stopped.
/// Other failures, such as a token that has expired, are reported as they are.
fn gone(failure: Failure) -> Failure {
    if failure.code == "SERVER_UNREACHABLE" || failure.exit == Exit::NotFound { ended() } else { failure }
}

fn ended() -> Failure {
    Failure::new(
        Exit::Failed,
        "CHECK_ENDED",
        "the check was cancelled by another user, or because the server stopped",
    )
    .fix("run it again")
}

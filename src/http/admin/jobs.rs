//! `/api/v1/jobs`, and what starts one: `/api/v1/checks`

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Path};
use uuid::Uuid;

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::http::fault::Code;
use crate::http::query::Query;
use crate::lifecycle::{self, JobView};
use crate::model::units::{HumanDuration, UnitError};
use crate::registry::fsck;
use crate::wire::{Finding, Job, JobKind, JobState, List, NewCheck, Progress, Report};

/// How long an answer may wait for the end of a job.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The paths of jobs, and of what starts one.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        at("/checks").post(check, || {
            operation("startCheck", "Check everything stored while the server works. For admins.")
                .takes::<NewCheck>()
                .answers::<Job>(202, "The job that does it, also in Location.")
        }),
        at("/jobs").get(list, || {
            operation("listJobs", "List the latest jobs, the newest first. For admins.")
                .lists::<Job>("Jobs", "Jobs.")
        }),
        at("/jobs/{id}").get(show, || {
            let wait = "Answer when the job has ended, or after this time: `30s`, at most one minute.";
            of_job("showJob", "Show a job. For admins.")
                .query("wait", wait, form::wait())
                .answers::<Job>(200, "The job.")
        }),
        at("/jobs/{id}/cancel").post(cancel, || {
            of_job("cancelJob", "Ask a job to end. For admins.")
                .answers::<Job>(202, "The job, which ends soon.")
        }),
    ]
}

fn of_job(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("id", "The job.", form::text())
}

/// As a list has it: without what was found.
fn brief(view: &JobView) -> Job {
    let (state, error) = match &view.state {
        lifecycle::JobState::Running => (JobState::Running, None),
        lifecycle::JobState::Done(_) => (JobState::Done, None),
        lifecycle::JobState::Failed(why) => (JobState::Failed, Some(why.clone())),
        lifecycle::JobState::Cancelled => (JobState::Cancelled, None),
    };
    Job {
        id: view.id,
        kind: JobKind::Check.into(),
        deep: view.deep,
        by: view.by.clone(),
        started_at: time(view.started_ms),
        ended_at: view.ended_ms.map(time),
        state: state.into(),
        progress: view.progress.into(),
        error,
        result: None,
    }
}

fn whole(view: &JobView) -> Job {
    let result = match &view.state {
        lifecycle::JobState::Done(report) => Some(Report::from(&**report)),
        _ => None,
    };
    Job { result, ..brief(view) }
}

impl From<fsck::Progress> for Progress {
    fn from(progress: fsck::Progress) -> Self {
        let fsck::Progress { stage, done, total, bytes } = progress;
        Self { stage: stage.to_owned(), done, total, bytes }
    }
}

impl From<&fsck::Report> for Report {
    fn from(report: &fsck::Report) -> Self {
        Self {
            checked: report.checked,
            problems: report.problems.iter().map(Finding::from).collect(),
            notes: report.notes.clone(),
        }
    }
}

impl From<&fsck::Problem> for Finding {
    fn from(problem: &fsck::Problem) -> Self {
        let severity = match problem.severity {
            fsck::Severity::Damage => "damage",
            fsck::Severity::Inconsistency => "inconsistency",
        };
        Self {
            kind: problem.kind.to_owned(),
            severity: severity.to_owned(),
            repository: problem.repository.clone(),
            digest: problem.digest.clone(),
            images: problem.images.clone(),
            expected: problem.expected.clone(),
            found: problem.found.clone(),
        }
    }
}

/// `POST /api/v1/checks`
pub(super) async fn check(
    app: Data<App>,
    permit: Permit<RunJobs>,
    Sent(new): Sent<NewCheck>,
) -> Result<HttpResponse, Problem> {
    let job = app.jobs.start_check(permit.grant(), new.deep)?;
    let mut response = json(StatusCode::ACCEPTED, &whole(&job));
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/jobs`: all of them, which are few.
pub(super) async fn list(app: Data<App>, permit: Permit<ReadServer>) -> HttpResponse {
    let jobs = app.jobs.list(permit.grant());
    json(StatusCode::OK, &List { items: jobs.iter().map(brief).collect(), next_cursor: None })
}

/// `GET /api/v1/jobs/{id}[?wait=30s]`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<ReadServer>,
    id: Path<String>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let patience = match query.get("wait") {
        None => Duration::ZERO,
        Some(text) => match text.parse::<HumanDuration>() {
            Ok(wait) => wait.duration(),
            // No answer waits for as long anyway.
            Err(UnitError::DurationTooLong { .. }) => LONGEST_WAIT,
            Err(_) => return Err(Problem::new(Code::WaitInvalid, "wait is a duration such as 30s")),
        },
    };
    let job = app.jobs.show(permit.grant(), uuid(&id)?, patience.min(LONGEST_WAIT)).await;
    Ok(json(StatusCode::OK, &whole(&job.ok_or_else(|| unknown(&id))?)))
}

/// `POST /api/v1/jobs/{id}/cancel`
pub(super) async fn cancel(
    app: Data<App>,
    permit: Permit<RunJobs>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let job = app.jobs.cancel(permit.grant(), uuid(&id)?).ok_or_else(|| unknown(&id))?;
    Ok(json(StatusCode::ACCEPTED, &brief(&job)))
}

fn uuid(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(40).collect();
    Problem::new(
        Code::JobUnknown,
        format!("there is no job {id:?}; jobs are forgotten when the server stops"),
    )
}

//! `/api/v1/jobs`, and what starts one: `/api/v1/checks`

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Path};
use uuid::Uuid;

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{events, form, json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::http::fault::{Code, Fault};
use crate::http::query::Query;
use crate::lifecycle::{self, CheckJob, CheckParams, JobView};
use crate::limits::Resource;
use crate::model::units::{HumanDuration, UnitError};
use crate::wire::{Job, JobKind, JobLine, JobState, List, NewCheck, OpenEnum, Progress};

/// How long an answer may wait for the end of a job.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The description of the events of a job.
const EVENTS: &str = "Events with JSON data: `progress` (Progress), `log` (JobLine) for each line that the job has said and says, and \
                      at last `end` (Job). The stream of a server that stops may end without it.";

/// The paths of jobs, and of what starts one.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        at("/checks").post(check, || {
            operation("startCheck", "Check everything stored while the server works. For admins.")
                .takes::<NewCheck>()
                .answers::<Job>(202, "The job that does it, also in Location.")
        }),
        at("/jobs").get(list, || {
            operation("listJobs", "List the latest jobs of each kind, the newest first. For admins.")
                .in_parts()
                .query("kind", "Only jobs of this kind.", form::job_kind())
                .lists::<Job>("Jobs", "Jobs.")
        }),
        at("/jobs/{id}").get(show, || {
            let wait = "Answer when the job has ended, or after this time: `30s`, at most one minute.";
            of_job("showJob", "Show a job. For admins.")
                .query("wait", wait, form::wait())
                .answers::<Job>(200, "The job.")
        }),
        at("/jobs/{id}/log").get(log, || {
            of_job("showJobLog", "Show what a job said: its first lines, in their order. For admins.")
                .lists::<JobLine>("JobLog", "Lines.")
        }),
        at("/jobs/{id}/events").get(follow, || {
            of_job("followJob", "Follow a job until its end, by server-sent events. For admins.")
                .answers_events(EVENTS)
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

impl From<JobView> for Job {
    fn from(JobView { job, result, .. }: JobView) -> Self {
        let state = match job.state {
            lifecycle::JobState::Running => JobState::Running,
            lifecycle::JobState::Done => JobState::Done,
            lifecycle::JobState::Failed => JobState::Failed,
            lifecycle::JobState::Cancelled => JobState::Cancelled,
            lifecycle::JobState::Interrupted => JobState::Interrupted,
        };
        Self {
            id: job.id,
            // A later version may have left a job of another kind.
            kind: JobKind::named(&job.kind).map_or(OpenEnum::Unknown(job.kind), OpenEnum::Known),
            parameters: serde_json::from_str(&job.parameters).unwrap_or_default(),
            by: job.by,
            started_at: time(job.started_ms),
            ended_at: job.ended_ms.map(time),
            state: state.into(),
            progress: job.progress.into(),
            problems: job.problems,
            error: job.error,
            result: result.and_then(|result| serde_json::from_str(&result).ok()),
        }
    }
}

impl From<lifecycle::JobProgress> for Progress {
    fn from(lifecycle::JobProgress { stage, done, total, bytes }: lifecycle::JobProgress) -> Self {
        Self { stage, done, total, bytes }
    }
}

impl From<lifecycle::JobLine> for JobLine {
    fn from(lifecycle::JobLine { at_ms, text }: lifecycle::JobLine) -> Self {
        Self { at: time(at_ms), text }
    }
}

/// `POST /api/v1/checks`
pub(super) async fn check(
    app: Data<App>,
    permit: Permit<RunJobs>,
    sent: Sent<NewCheck>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let check = CheckJob::new(app.registry.clone(), permit.grant());
    Ok(started(app.jobs.start(permit.grant(), check, CheckParams { deep: new.deep }).await?))
}

/// The response with a job that has begun.
pub(super) fn started(job: JobView) -> HttpResponse {
    let place = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.job.id));
    let mut response = json(StatusCode::ACCEPTED, &Job::from(job));
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// `GET /api/v1/jobs[?kind=check]`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<ReadServer>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let kind = page.filter("kind").map(|word| kind(&word)).transpose()?;
    let found = app.jobs.list(permit.grant(), kind, page.last_number()?, page.wanted()).await?;
    Ok(page.answer::<_, Job>(found, |job| job.order.to_string()))
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
    let job = app.jobs.show(permit.grant(), uuid(&id)?, patience.min(LONGEST_WAIT)).await?;
    Ok(json(StatusCode::OK, &Job::from(job.ok_or_else(|| unknown(&id))?)))
}

/// `GET /api/v1/jobs/{id}/log`: all lines, which are few.
pub(super) async fn log(
    app: Data<App>,
    permit: Permit<ReadServer>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let lines = app.jobs.log(permit.grant(), uuid(&id)?).await?.ok_or_else(|| unknown(&id))?;
    let items: Vec<JobLine> = lines.into_iter().map(JobLine::from).collect();
    Ok(json(StatusCode::OK, &List { items, next_cursor: None }))
}

/// `GET /api/v1/jobs/{id}/events`
pub(super) async fn follow(
    app: Data<App>,
    permit: Permit<ReadServer>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id_of_job = uuid(&id)?;
    let charge = app.ledger.charge(&permit.holder(), Resource::EventStreams, 1);
    let charge = charge.map_err(|reached| Fault::wait(&reached))?;
    let watch = app.jobs.watch(permit.grant(), id_of_job).await?.ok_or_else(|| unknown(&id))?;
    Ok(events::response(watch, charge))
}

/// `POST /api/v1/jobs/{id}/cancel`
pub(super) async fn cancel(
    app: Data<App>,
    permit: Permit<RunJobs>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let job = app.jobs.cancel(permit.grant(), uuid(&id)?).await?.ok_or_else(|| unknown(&id))?;
    Ok(json(StatusCode::ACCEPTED, &Job::from(JobView { result: None, ..job })))
}

fn kind(word: &str) -> Result<JobKind, Problem> {
    JobKind::named(word).ok_or_else(|| {
        let known = JobKind::ALL.map(JobKind::as_str).join(", ");
        Problem::new(Code::JobKindInvalid, format!("the kinds of jobs are: {known}"))
    })
}

fn uuid(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(40).collect();
    Problem::new(Code::JobUnknown, format!("there is no job {id:?}; the oldest of each kind are forgotten"))
}

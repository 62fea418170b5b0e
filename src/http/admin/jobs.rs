//! `/api/v1/jobs`, and what starts one: `/api/v1/checks`

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::caller::{Inspector, Manager};
use super::problem::{Code, Problem};
use super::sent::Sent;
use super::{json, time};
use crate::app::App;
use crate::app::{JobState, JobView, Progress, Report};
use crate::http::query::Query;
use crate::model::units::{HumanDuration, UnitError};

/// How long an answer may wait for the end of a job.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct Job<'a> {
    id: Uuid,
    kind: &'static str,
    deep: bool,
    by: &'a str,
    started_at: String,
    ended_at: Option<String>,
    /// `running`, `done`, `failed` or `cancelled`.
    state: &'static str,
    progress: Progress,
    /// Why it failed.
    error: Option<&'a str>,
    /// What was found, once it is done.
    result: Option<&'a Report>,
}

impl<'a> Job<'a> {
    /// In a list jobs come without what they have found.
    fn brief(view: &'a JobView) -> Self {
        let (state, error) = match &view.state {
            JobState::Running => ("running", None),
            JobState::Done(_) => ("done", None),
            JobState::Failed(why) => ("failed", Some(why.as_str())),
            JobState::Cancelled => ("cancelled", None),
        };
        Self {
            id: view.id,
            kind: "check",
            deep: view.deep,
            by: &view.by,
            started_at: time(view.started_ms),
            ended_at: view.ended_ms.map(time),
            state,
            progress: view.progress,
            error,
            result: None,
        }
    }

    fn whole(view: &'a JobView) -> Self {
        let result = match &view.state {
            JobState::Done(report) => Some(&**report),
            _ => None,
        };
        Self { result, ..Self::brief(view) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCheck {
    #[serde(default)]
    deep: bool,
}

/// `POST /api/v1/checks`
pub(super) async fn check(
    app: Data<App>,
    manager: Manager,
    Sent(new): Sent<NewCheck>,
) -> Result<HttpResponse, Problem> {
    let job = app
        .start_check(manager.grant(), new.deep)
        .map_err(|running| Problem::new(Code::CheckRuns, running.to_string()))?;
    let mut response = json(StatusCode::ACCEPTED, &Job::whole(&job));
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/jobs/{}", job.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/jobs`: all of them, which are few.
pub(super) async fn list(app: Data<App>, inspector: Inspector) -> HttpResponse {
    let jobs = app.jobs(inspector.grant());
    let items: Vec<Job<'_>> = jobs.iter().map(Job::brief).collect();
    json(StatusCode::OK, &serde_json::json!({"items": items, "next_cursor": null}))
}

/// `GET /api/v1/jobs/{id}[?wait=30s]`
pub(super) async fn show(
    app: Data<App>,
    inspector: Inspector,
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
    let job = app.job(inspector.grant(), uuid(&id)?, patience.min(LONGEST_WAIT)).await;
    Ok(json(StatusCode::OK, &Job::whole(&job.ok_or_else(|| unknown(&id))?)))
}

/// `POST /api/v1/jobs/{id}/cancel`
pub(super) async fn cancel(
    app: Data<App>,
    manager: Manager,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let job = app.cancel_job(manager.grant(), uuid(&id)?).ok_or_else(|| unknown(&id))?;
    Ok(json(StatusCode::ACCEPTED, &Job::brief(&job)))
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

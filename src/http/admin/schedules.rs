//! `/api/v1/schedules`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::lifecycle::ScheduleView;
use crate::wire::{Job, List, NewSchedule, Schedule, ScheduleOverride};

/// The paths of schedules.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = at("/schedules/{job}")
        .put(set, || {
            of_job("setSchedule", "Set when a job runs by itself, whatever the settings say. For admins.")
                .takes::<NewSchedule>()
                .answers::<Schedule>(200, "The schedule.")
        })
        .delete(reset, || {
            of_job("resetSchedule", "Let the settings say again when a job runs by itself. For admins.")
                .answers::<Schedule>(200, "The schedule.")
        });
    let all = at("/schedules").get(list, || {
        operation("listSchedules", "List the jobs that run by themselves. For admins.")
            .lists::<Schedule>("Schedules", "Schedules.")
    });
    vec![all, one]
}

fn of_job(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("job", "The kind of the job.", form::text())
}

impl From<ScheduleView> for Schedule {
    fn from(view: ScheduleView) -> Self {
        let ScheduleView { kind, when, timezone, setting, configured, set, next_ms, last } = view;
        Self {
            job: kind.into(),
            when,
            timezone,
            setting: setting.to_owned(),
            configured,
            set: set.map(|set| ScheduleOverride { when: set.when, by: set.by, at: time(set.at_ms) }),
            next_at: next_ms.map(time),
            last_job: last.map(Job::from),
        }
    }
}

/// `GET /api/v1/schedules`: all of them, which are few.
pub(super) async fn list(app: Data<App>, permit: Permit<ReadServer>) -> Result<HttpResponse, Problem> {
    let found = app.scheduler.list(permit.grant()).await?;
    let items: Vec<Schedule> = found.into_iter().map(Schedule::from).collect();
    Ok(json(StatusCode::OK, &List { items, next_cursor: None }))
}

/// `PUT /api/v1/schedules/{job}`
pub(super) async fn set(
    app: Data<App>,
    permit: Permit<RunJobs>,
    job: Path<String>,
    sent: Sent<NewSchedule>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let view = app.scheduler.set(permit.grant(), &job, &new.when).await?;
    Ok(json(StatusCode::OK, &Schedule::from(view)))
}

/// `DELETE /api/v1/schedules/{job}`
pub(super) async fn reset(
    app: Data<App>,
    permit: Permit<RunJobs>,
    job: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.scheduler.reset(permit.grant(), &job).await?;
    Ok(json(StatusCode::OK, &Schedule::from(view)))
}

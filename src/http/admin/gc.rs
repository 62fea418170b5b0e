//! `/api/v1/gc`: garbage collection.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::endpoint::{self, Endpoint};
use super::jobs::started;
use super::operation::operation;
use super::permit::Permit;
use super::pins::shown;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::http::fault::Code;
use crate::http::query::Query;
use crate::lifecycle::{GcParams, JobState};
use crate::model::units::{HumanDuration, UnitError};
use crate::registry::{self, CollectMode, Reason, Untagged};
use crate::wire::{GarbagePart, GarbageReason, GcMode, GcPlan, GcStatus, Job, JobKind, NewGcRun, OpenEnum};

/// The paths of garbage collection.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint::at("/gc").get(status, || {
            let summary = "Show what is on the disk and is not used, why, and until when. For admins.";
            operation("showGc", summary).answers::<GcStatus>(200, "The state of garbage collection.")
        }),
        endpoint::at("/gc/plan").get(plan, || {
            let now = "What freeing the space now would do.";
            let untagged =
                "How long a manifest stays that no tag leads to, instead of `storage.gc.untagged`: `0s`.";
            operation("planGc", "Show what a run of garbage collection would do. For admins.")
                .query("now", now, form::switch())
                .query("untagged", untagged, form::duration())
                .query(
                    "empty_trash",
                    "What emptying the trash and freeing the space would do.",
                    form::switch(),
                )
                .answers::<GcPlan>(200, "What it would do.")
        }),
        endpoint::at("/gc/runs").post(run, || {
            operation("startGc", "Collect garbage while the server works. For admins.")
                .takes::<NewGcRun>()
                .answers::<Job>(202, "The job that does it, also in Location.")
        }),
    ]
}

/// `GET /api/v1/gc`
pub(super) async fn status(app: Data<App>, permit: Permit<ReadServer>) -> Result<HttpResponse, Problem> {
    let garbage = app.registry.garbage(permit.grant()).await?;
    let now_ms = app.now_ms();
    let at = |seconds| in_seconds(now_ms, seconds);
    // A schedule that cannot be read is reported where schedules are listed.
    let schedules = app.scheduler.list(permit.grant()).await.unwrap_or_default();
    let next = schedules.iter().find(|schedule| schedule.kind == JobKind::Gc).and_then(|gc| gc.next_ms);
    let newest = app.jobs.list(permit.grant(), Some(JobKind::Gc), None, 1).await?;
    let running = newest.into_iter().find(|job| job.job.state == JobState::Running);
    let pins = app.registry.pins(permit.grant())?;
    let status = GcStatus {
        live_bytes: garbage.live_bytes,
        garbage: garbage.parts.into_iter().map(|found| part(found, at)).collect(),
        untagged_due: garbage.untagged_due,
        untagged_later: garbage.untagged_later,
        next_at: next.map(time),
        promises_unknown_until: garbage.unknown_for_s.map(at),
        pins: pins.into_iter().map(|pin| shown(pin, now_ms)).collect(),
        untagged_waits: app.registry.untagged_waits(permit.grant())?,
        running: running.map(Job::from),
        last: app.jobs.last_done(permit.grant(), JobKind::Gc).map(Job::from),
    };
    Ok(json(StatusCode::OK, &status))
}

/// `GET /api/v1/gc/plan[?now=true]`
pub(super) async fn plan(
    app: Data<App>,
    permit: Permit<ReadServer>,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let mode = match (switch(&query, "empty_trash")?, switch(&query, "now")?) {
        (true, _) => CollectMode::EmptyTrash,
        (false, true) => CollectMode::Now,
        (false, false) => CollectMode::Scheduled,
    };
    let untagged = query.get("untagged").map(seconds).transpose()?;
    let untagged = untagged.map_or(Untagged::AsSet, Untagged::For);
    let plan = app.registry.plan_collection(permit.grant(), mode, untagged).await?;
    let registry::Plan { trash, manifests, later, links, blobs, bytes, freed_bytes, promised, promised_in_s } =
        plan;
    let promised_until = promised_in_s.map(|seconds| in_seconds(app.now_ms(), seconds));
    Ok(json(
        StatusCode::OK,
        &GcPlan {
            trash,
            manifests,
            manifests_later: later,
            links,
            blobs,
            bytes,
            freed_bytes,
            promised,
            promised_until,
        },
    ))
}

/// `POST /api/v1/gc/runs`
pub(super) async fn run(
    app: Data<App>,
    permit: Permit<RunJobs>,
    sent: Sent<NewGcRun>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let mode = match (new.empty_trash, new.now) {
        (true, _) => GcMode::EmptyTrash,
        (false, true) => GcMode::Now,
        (false, false) => GcMode::Scheduled,
    };
    let untagged_s = new.untagged.0.as_deref().map(seconds).transpose()?;
    Ok(started(app.collect_garbage(permit.grant(), GcParams { mode, untagged_s }).await?))
}

fn switch(query: &Query, name: &str) -> Result<bool, Problem> {
    match query.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::new(Code::ParameterInvalid, format!("{name} is true or false"))),
    }
}

fn seconds(text: &str) -> Result<u64, Problem> {
    match text.parse::<HumanDuration>() {
        Ok(duration) => Ok(duration.as_secs()),
        // Longer than any store will exist.
        Err(UnitError::DurationTooLong { .. }) => Ok(u64::MAX),
        Err(_) => Err(Problem::new(Code::ParameterInvalid, "untagged is a duration such as 14d or 0s")),
    }
}

fn part(part: registry::GarbagePart, at: impl Fn(u64) -> String) -> GarbagePart {
    let reason = match part.reason {
        Reason::Due => GarbageReason::Due,
        Reason::Grace => GarbageReason::Grace,
        Reason::Promised => GarbageReason::Promised,
        Reason::Pinned => GarbageReason::Pinned,
        Reason::Trash => GarbageReason::Trash,
        Reason::Quarantine => GarbageReason::Quarantine,
        Reason::Damaged => GarbageReason::Damaged,
    };
    GarbagePart {
        reason: OpenEnum::Known(reason),
        blobs: part.blobs,
        bytes: part.bytes,
        first_at: part.first_in_s.map(&at),
        last_at: part.last_in_s.map(at),
    }
}

/// The time at which the server will have run for so many more seconds, if it runs all the time.
fn in_seconds(now_ms: u64, seconds: u64) -> String {
    time(now_ms.saturating_add(seconds.saturating_mul(1000)))
}

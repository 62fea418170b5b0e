//! `/api/v1/system`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::endpoint::{Endpoint, at};
use super::operation::operation;
use super::permit::Permit;
use super::pins::shown;
use super::problem::Problem;
use super::{json, time};
use crate::access::{Catalog, ReadServer};
use crate::app::{App, Condition};
use crate::limits::Standing;
use crate::store::meta::DatabaseSize;
use crate::wire::{LastCheck, LastGc, LastScrub, LimitReached, Server, System};

/// The path of the system.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let system = at("/system")
        .get(get, || operation("showSystem", "What the registry holds.").answers::<System>(200, "Totals."));
    vec![system]
}

/// `GET /api/v1/system`
pub(super) async fn get(app: Data<App>, permit: Permit<Catalog>) -> Result<HttpResponse, Problem> {
    let totals = app.registry.totals(permit.grant()).await?;
    // Names and addresses of other users are shown only to callers who may see the server.
    let inspect = app.access.site::<ReadServer>(permit.grant().caller()).ok();
    let server = match &inspect {
        // Where the size cannot be read, `changes_refused` or the log says why.
        Some(grant) => {
            let size = app.database_size(grant).await.unwrap_or_default();
            let (now_ms, pins) = (app.now_ms(), app.registry.pins(grant).unwrap_or_default());
            let pins = pins.into_iter().map(|pin| shown(pin, now_ms)).collect();
            Some(Server { pins, ..server(app.condition(grant), size) })
        }
        None => None,
    };
    let system = System {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        repositories: totals.repositories,
        tags: totals.usage.tags,
        manifests: totals.usage.manifests,
        blobs: totals.usage.blobs,
        size_bytes: totals.usage.bytes + totals.usage.manifest_bytes,
        trash: totals.trash,
        changes_refused: totals.refusal,
        disk_bytes: totals.disk.bytes,
        unused_bytes: totals.disk.unused_bytes,
        unused_blobs: totals.disk.unused_blobs,
        free_bytes: totals.free_bytes,
        total_bytes: totals.total_bytes,
        pushes_refused: app.registry.pushes_refused(),
        space_warning: app.registry.space_warning().map(|low| low.to_string()),
        server,
        limits: inspect.map(|_| app.ledger.standings().into_iter().map(LimitReached::from).collect()),
    };
    Ok(json(StatusCode::OK, &system))
}

fn server(condition: Condition, database: DatabaseSize) -> Server {
    let last_check = condition.last_check.map(|check| LastCheck {
        ended_at: time(check.ended_ms),
        deep: check.deep,
        problems: check.problems,
    });
    Server {
        urls: condition.urls,
        certificate_expires_at: condition.certificate.end_ms.map(time),
        certificate_warnings: condition.certificate.warnings,
        uptime_s: condition.uptime_s,
        data_dir: condition.data_dir.display().to_string(),
        uploads: condition.uploads,
        database_bytes: database.file_bytes,
        database_free_bytes: database.free_bytes(),
        last_dump_at: condition.last_dump_ms.map(time),
        last_check,
        last_gc: condition.last_gc.map(|gc| LastGc {
            ended_at: time(gc.ended_ms),
            freed_bytes: gc.freed_bytes,
            spared: gc.spared,
        }),
        pins: Vec::new(),
        last_scrub: condition
            .last_scrub
            .map(|scrub| LastScrub { ended_at: scrub.ended_ms.map(time), damaged: scrub.damaged }),
    }
}

impl From<Standing> for LimitReached {
    fn from(standing: Standing) -> Self {
        Self {
            principal: standing.principal,
            address: standing.address.map(|address| address.to_string()),
            setting: standing.setting.to_owned(),
            limit: standing.limit,
            held: standing.held,
            waiting: standing.waiting as u64,
            times: standing.times,
        }
    }
}

//! `/api/v1/system`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use super::manager::Manager;
use super::problem::Problem;
use crate::app::App;

/// `GET /api/v1/system`
pub(super) async fn get(app: Data<App>, manager: Manager) -> Result<HttpResponse, Problem> {
    let totals = app.registry.totals(&manager.catalog(&app)?)?;
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "repositories": totals.repositories,
        "tags": totals.usage.tags,
        "manifests": totals.usage.manifests,
        "blobs": totals.usage.blobs,
        "size_bytes": totals.usage.bytes + totals.usage.manifest_bytes,
        "free_bytes": totals.free_bytes,
    });
    Ok(super::json(StatusCode::OK, &body))
}

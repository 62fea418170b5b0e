//! `/api/v1/repositories/{name}/-/tags`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Serialize;

use super::manager::Manager;
use super::problem::Problem;
use super::{List, json, time};
use crate::app::App;
use crate::auth::Delete;
use crate::model::names::Reference;

#[derive(Serialize)]
struct Tag {
    name: String,
    digest: String,
    pushed_at: String,
    pushed_by: String,
}

/// `GET /api/v1/repositories/{name}/-/tags`
pub(super) async fn list(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let tags = app.registry.tag_views(&manager.on(&app, &name)?).await?;
    let tags = tags.into_iter().map(|(name, row)| Tag {
        name,
        digest: row.digest.to_string(),
        pushed_at: time(row.pushed_ms),
        pushed_by: row.by,
    });
    Ok(json(StatusCode::OK, &List::whole(tags.collect())))
}

/// `DELETE /api/v1/repositories/{name}/-/tags/{tag}`: the manifest stays.
pub(super) async fn delete(
    app: Data<App>,
    manager: Manager,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (name, tag) = path.into_inner();
    let grant = manager.on::<Delete>(&app, &name)?;
    app.registry.delete_manifest(&grant, Reference::Tag(tag.parse()?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

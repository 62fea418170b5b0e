//! `/api/v1/repositories`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Serialize;

use super::manager::Manager;
use super::problem::Problem;
use super::{List, json, time};
use crate::app::App;
use crate::auth::Delete;
use crate::registry::RepositoryView;

#[derive(Serialize)]
struct Repository {
    id: u64,
    name: String,
    created_at: String,
    tags: u64,
    manifests: u64,
    blobs: u64,
    size_bytes: u64,
    /// What no other repository holds.
    unique_bytes: u64,
}

impl From<RepositoryView> for Repository {
    fn from(view: RepositoryView) -> Self {
        let RepositoryView { id, name, created_ms, usage } = view;
        Self {
            id,
            name,
            created_at: time(created_ms),
            tags: usage.tags,
            manifests: usage.manifests,
            blobs: usage.blobs,
            size_bytes: usage.bytes + usage.manifest_bytes,
            unique_bytes: usage.unique_bytes,
        }
    }
}

/// `GET /api/v1/repositories`
pub(super) async fn list(app: Data<App>, manager: Manager) -> Result<HttpResponse, Problem> {
    let repositories = app.registry.repositories(manager.catalog(&app)?).await?;
    let repositories: Vec<Repository> = repositories.into_iter().map(Repository::from).collect();
    Ok(json(StatusCode::OK, &List::whole(repositories)))
}

/// `GET /api/v1/repositories/{name}`
pub(super) async fn show(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.registry.repository_view(&manager.on(&app, &name)?)?;
    Ok(json(StatusCode::OK, &Repository::from(view)))
}

/// `DELETE /api/v1/repositories/{name}`
pub(super) async fn delete(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.registry.delete_repository(&manager.on::<Delete>(&app, &name)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

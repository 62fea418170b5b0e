//! `/api/v1/repositories`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::endpoint::{Endpoint, at};
use super::operation::operation;
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::{json, time};
use crate::access::{Catalog, Delete, Pull};
use crate::app::App;
use crate::registry::RepositoryView;
use crate::wire::Repository;

/// The paths of repositories.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/repositories").get(list, || {
        operation("listRepositories", "List repositories by name.")
            .in_parts()
            .lists::<Repository>("Repositories", "Repositories.")
    });
    let one = at("/repositories/{name:.+}")
        .get(show, || {
            let operation = operation("showRepository", "Show a repository.");
            operation.of_repository().answers::<Repository>(200, "The repository.")
        })
        .delete(delete, || {
            let summary = "Move a repository with all tags and manifests to the trash. For admins.";
            operation("deleteRepository", summary).of_repository().answers_nothing("The repository is gone.")
        });
    vec![all, one]
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
            shared_bytes: usage.bytes.saturating_sub(usage.unique_bytes),
            manifest_bytes: usage.manifest_bytes,
        }
    }
}

/// `GET /api/v1/repositories`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Catalog>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let found = app.registry.repositories(permit.into_grant(), page.last(), page.wanted()).await?;
    Ok(page.answer::<_, Repository>(found, |repository| repository.name.clone()))
}

/// `GET /api/v1/repositories/{name}`
pub(super) async fn show(app: Data<App>, permit: Permit<Pull>) -> Result<HttpResponse, Problem> {
    let view = app.registry.repository_view(permit.grant())?;
    Ok(json(StatusCode::OK, &Repository::from(view)))
}

/// `DELETE /api/v1/repositories/{name}`
pub(super) async fn delete(app: Data<App>, permit: Permit<Delete>) -> Result<HttpResponse, Problem> {
    app.registry.delete_repository(permit.grant()).await?;
    Ok(HttpResponse::NoContent().finish())
}

//! `/api/v1/repositories`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::caller::Visitor;
use super::endpoint::{Endpoint, at};
use super::operation::operation;
use super::page::PageQuery;
use super::problem::Problem;
use super::{json, time};
use crate::access::Delete;
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
            operation("deleteRepository", "Delete a repository with all tags and manifests. For admins.")
                .of_repository()
                .answers_nothing("The repository is gone.")
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
        }
    }
}

/// `GET /api/v1/repositories`
pub(super) async fn list(app: Data<App>, visitor: Visitor, page: PageQuery) -> Result<HttpResponse, Problem> {
    let found = app.registry.repositories(visitor.catalog(&app)?, page.last(), page.wanted()).await?;
    Ok(page.answer::<_, Repository>(found, &[], |repository| repository.name.clone()))
}

/// `GET /api/v1/repositories/{name}`
pub(super) async fn show(
    app: Data<App>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.registry.repository_view(&visitor.on(&app, &name)?)?;
    Ok(json(StatusCode::OK, &Repository::from(view)))
}

/// `DELETE /api/v1/repositories/{name}`
pub(super) async fn delete(
    app: Data<App>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.registry.delete_repository(&visitor.on::<Delete>(&app, &name)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

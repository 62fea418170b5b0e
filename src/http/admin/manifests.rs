//! `/api/v1/repositories/{name}/-/manifests`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::{form, json, time};
use crate::access::{Delete, Pull};
use crate::app::App;
use crate::http::fault::Code;
use crate::model::names::Reference;
use crate::registry::{Below, ManifestView, RegistryError};
use crate::wire::Manifest;

/// The paths of manifests.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/repositories/{name:.+}/-/manifests").get(list, || {
        let untagged = "Only those to which no tag, no index and no manifest that they refer to leads.";
        let parts = "Manifests. A page may have fewer than `limit` and still be followed by another one.";
        operation("listManifests", "List the manifests of a repository by digest.")
            .of_repository()
            .in_parts()
            .query("untagged", untagged, form::switch())
            .lists::<Manifest>("Manifests", parts)
    });
    let one = at("/repositories/{name:.+}/-/manifests/{digest}")
        .get(show, || {
            of_manifest("showManifest", "Show a manifest.").answers::<Manifest>(200, "The manifest.")
        })
        .delete(delete, || {
            let summary = "Move a manifest to the trash with every tag that points to it, and with what only it holds. For admins.";
            of_manifest("deleteManifest", summary).answers_nothing("The manifest is gone.")
        });
    vec![all, one]
}

fn of_manifest(id: &str, summary: &str) -> Operation {
    operation(id, summary).of_repository().path("digest", "The digest.", form::digest())
}

impl From<ManifestView> for Manifest {
    fn from(view: ManifestView) -> Self {
        let untagged = view.is_untagged();
        let ManifestView { digest, row, tags, in_index, .. } = view;
        Self {
            digest: digest.to_string(),
            media_type: row.media_type,
            size_bytes: row.content_bytes,
            platform: Some(row.platform).filter(|platform| !platform.is_empty()),
            pushed_at: time(row.pushed_ms),
            tags,
            subject: row.subject.map(|subject| subject.to_string()),
            in_index,
            untagged,
        }
    }
}

/// `GET /api/v1/repositories/{name}/-/manifests[?untagged=true]`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Pull>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let untagged = match page.filter("untagged").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::new(Code::ParameterInvalid, "untagged is true or false")),
    };
    let last = page.last_digest()?;
    let found = app.registry.manifest_views(permit.grant(), last, page.limit(), untagged).await?;
    let next = found.next.map(|digest| digest.to_string());
    Ok(page.part::<_, Manifest>(found.manifests, next.as_deref()))
}

/// `GET /api/v1/repositories/{name}/-/manifests/{digest}`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<Pull>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let found = app.registry.manifest_view(permit.grant(), &path.1.parse()?);
    let view = found.map_err(|error| unknown(error, permit.name()))?;
    Ok(json(StatusCode::OK, &Manifest::from(view)))
}

/// `DELETE /api/v1/repositories/{name}/-/manifests/{digest}`: deletes its tags, too.
pub(super) async fn delete(
    app: Data<App>,
    permit: Permit<Delete>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let digest = Reference::Digest(path.1.parse()?);
    let deleted = app.registry.delete_manifest(permit.grant(), digest, Below::Goes).await;
    deleted.map_err(|error| unknown(error, permit.name()))?;
    Ok(HttpResponse::NoContent().finish())
}

fn unknown(error: RegistryError, repository: &str) -> Problem {
    match error {
        RegistryError::ManifestUnknown(digest) => {
            Problem::new(Code::ManifestUnknown, format!("there is no manifest {digest} in {repository}"))
        }
        other => other.into(),
    }
}

//! `/api/v1/repositories/{name}/-/tags`

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
use crate::model::names;
use crate::registry::RegistryError;
use crate::store::meta::schema;
use crate::wire::Tag;

/// The paths of tags.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/repositories/{name:.+}/-/tags").get(list, || {
        operation("listTags", "List the tags of a repository by name.")
            .of_repository()
            .in_parts()
            .lists::<Tag>("Tags", "Tags.")
    });
    let one = at("/repositories/{name:.+}/-/tags/{tag}")
        .get(show, || of_tag("showTag", "Show a tag.").answers::<Tag>(200, "The tag."))
        .delete(delete, || {
            let summary =
                "Move a tag to the trash, with its manifest if nothing else holds that. For admins.";
            of_tag("deleteTag", summary).answers_nothing("The tag is gone.")
        });
    vec![all, one]
}

fn of_tag(id: &str, summary: &str) -> Operation {
    operation(id, summary).of_repository().path("tag", "The tag.", form::tag_name())
}

impl From<(String, schema::Tag)> for Tag {
    fn from((name, row): (String, schema::Tag)) -> Self {
        Self {
            name,
            digest: row.digest.to_string(),
            size_bytes: row.content_bytes,
            platform: Some(row.platform).filter(|platform| !platform.is_empty()),
            pushed_at: time(row.pushed_ms),
            pushed_by: row.by,
        }
    }
}

/// `GET /api/v1/repositories/{name}/-/tags`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Pull>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let found = app.registry.tag_views(permit.grant(), page.last(), page.wanted()).await?;
    Ok(page.answer::<_, Tag>(found, |(name, _)| name.clone()))
}

/// `GET /api/v1/repositories/{name}/-/tags/{tag}`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<Pull>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let tag: names::Tag = path.1.parse()?;
    let row = app.registry.tag_view(permit.grant(), tag.as_str())?;
    let unknown = || Problem::new(Code::TagUnknown, format!("there is no tag {tag} in {}", permit.name()));
    Ok(json(StatusCode::OK, &Tag::from((tag.to_string(), row.ok_or_else(unknown)?))))
}

/// `DELETE /api/v1/repositories/{name}/-/tags/{tag}`
pub(super) async fn delete(
    app: Data<App>,
    permit: Permit<Delete>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let deleted = app.registry.discard_tag(permit.grant(), path.1.parse()?).await;
    deleted.map_err(|error| match error {
        error @ RegistryError::ManifestUnknown(_) => Problem::new(Code::TagUnknown, error.to_string()),
        other => other.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

//! `/api/v1/storage/top` and `/api/v1/repositories/{name}/-/sizes`: what the space is used for.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::endpoint::{Endpoint, at};
use super::form;
use super::operation::operation;
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use crate::access::{Pull, ReadServer};
use crate::app::App;
use crate::http::fault::Code;
use crate::registry::{self, BiggestBy};
use crate::wire::{Repository, TagSize};

/// The paths of sizes.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let top = at("/storage/top").get(top, || {
        let by = "By the bytes of everything in them, or of blobs that no other repository has.";
        operation("listBiggest", "List the biggest repositories, the biggest first. For admins.")
            .shared("limit")
            .query("by", by, form::biggest_by())
            .lists::<Repository>("Biggest", "Repositories. There is no further page.")
    });
    let tags = at("/repositories/{name:.+}/-/sizes").get(tags, || {
        let summary =
            "List the tags of a repository by name, with their sizes and with what deleting each would free.";
        let parts = "Sizes. A page may have fewer than `limit` and still be followed by another one.";
        operation("listTagSizes", summary).of_repository().in_parts().lists::<TagSize>("TagSizes", parts)
    });
    vec![top, tags]
}

impl From<registry::TagSize> for TagSize {
    fn from(size: registry::TagSize) -> Self {
        Self {
            name: size.name,
            digest: size.digest.to_string(),
            manifests: size.manifests,
            size_bytes: size.blob_bytes + size.manifest_bytes,
            unique_bytes: size.unique_bytes,
            shared_bytes: size.blob_bytes - size.unique_bytes,
            manifest_bytes: size.manifest_bytes,
            at_least: size.at_least,
        }
    }
}

/// `GET /api/v1/storage/top[?by=unique]`
pub(super) async fn top(
    app: Data<App>,
    permit: Permit<ReadServer>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let by = match page.filter("by").as_deref() {
        None | Some("size") => BiggestBy::Size,
        Some("unique") => BiggestBy::Unique,
        Some(_) => return Err(Problem::new(Code::ParameterInvalid, "by is size or unique")),
    };
    let found = app.registry.biggest(permit.grant(), by, page.limit()).await?;
    Ok(page.part::<_, Repository>(found, None))
}

/// `GET /api/v1/repositories/{name}/-/sizes`
pub(super) async fn tags(
    app: Data<App>,
    permit: Permit<Pull>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let found = app.registry.tag_sizes(permit.grant(), page.last(), page.limit()).await?;
    Ok(page.part::<_, TagSize>(found.sizes, found.next.as_deref()))
}

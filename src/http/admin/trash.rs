//! `/api/v1/trash`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ManageTrash, ReadServer};
use crate::app::App;
use crate::http::fault::Code;
use crate::model::names::Sequence;
use crate::registry::TrashView;
use crate::store::meta::schema;
use crate::wire::{OpenEnum, Restore, TrashEntry, TrashKind};

/// The paths of the trash.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/trash").get(list, || {
        let parts = "Deletions. A page may have fewer than `limit` and still be followed by another one.";
        operation("listTrash", "List what was deleted and can be restored, the oldest first. For admins.")
            .in_parts()
            .query("repository", "Only deletions in the repository of this name.", form::text())
            .lists::<TrashEntry>("Trash", parts)
    });
    let one = at("/trash/{id}")
        .get(show, || of_entry("showTrash", "Show a deletion. For admins.").answers::<TrashEntry>(200, "It."))
        .delete(empty, || {
            let summary = "Remove a deletion for good. Garbage collection frees its space. For admins.";
            of_entry("emptyTrash", summary).answers_nothing("It is gone.")
        });
    let restore = at("/trash/{id}/restore").post(restore, || {
        of_entry("restoreTrash", "Restore what was deleted, as it was. For admins.")
            .takes::<Restore>()
            .answers::<TrashEntry>(200, "What is restored.")
    });
    vec![all, restore, one]
}

fn of_entry(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("id", "The number of the deletion.", form::text())
}

/// An entry, with the time at which it is removed for good.
struct Shown(TrashView, u64);

impl From<Shown> for TrashEntry {
    fn from(Shown(view, now_ms): Shown) -> Self {
        let TrashView { id, row, tags, kept_for_s } = view;
        let kind = match row.kind {
            schema::TrashKind::Tag => TrashKind::Tag,
            schema::TrashKind::Manifest => TrashKind::Manifest,
            schema::TrashKind::Repository => TrashKind::Repository,
        };
        Self {
            id: id.0,
            kind: OpenEnum::Known(kind),
            repository: row.name,
            tags,
            digest: row.digest.map(|digest| digest.to_string()),
            size_bytes: row.bytes,
            deleted_by: row.by,
            deleted_at: time(row.at_ms),
            kept_until: time(now_ms.saturating_add(kept_for_s.saturating_mul(1000))),
        }
    }
}

/// `GET /api/v1/trash[?repository=NAME]`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<ReadServer>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let after = page.last_number()?.map(Sequence);
    let found = app.registry.trash(permit.grant(), (after, page.filter("repository")), page.limit()).await?;
    let next = found.next.map(|id| id.0.to_string());
    let now_ms = app.now_ms();
    let shown = found.entries.into_iter().map(|view| Shown(view, now_ms)).collect();
    Ok(page.part::<_, TrashEntry>(shown, next.as_deref()))
}

/// `GET /api/v1/trash/{id}`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<ReadServer>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.registry.trash_entry(permit.grant(), number(&id)?)?;
    Ok(json(StatusCode::OK, &TrashEntry::from(Shown(view, app.now_ms()))))
}

/// `POST /api/v1/trash/{id}/restore`
pub(super) async fn restore(
    app: Data<App>,
    permit: Permit<ManageTrash>,
    id: Path<String>,
    sent: Sent<Restore>,
) -> Result<HttpResponse, Problem> {
    let Restore { name } = sent.read(&permit).await?;
    let view = app.registry.restore(permit.grant(), number(&id)?, name.0).await?;
    Ok(json(StatusCode::OK, &TrashEntry::from(Shown(view, app.now_ms()))))
}

/// `DELETE /api/v1/trash/{id}`
pub(super) async fn empty(
    app: Data<App>,
    permit: Permit<ManageTrash>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.registry.empty_trash_entry(permit.grant(), number(&id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn number(text: &str) -> Result<Sequence, Problem> {
    let unknown = || Problem::new(Code::TrashUnknown, format!("there is no entry {text} in the trash"));
    text.parse().map(Sequence).map_err(|_| unknown())
}

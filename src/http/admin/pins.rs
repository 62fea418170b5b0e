//! `/api/v1/gc/pins`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::http::fault::Code;
use crate::model::units::HumanDuration;
use crate::registry::PinView;
use crate::wire::{List, NewPin, Pin};

/// The paths of pins.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/gc/pins").get(list, || {
        let summary = "List the pins that keep garbage collection from removing anything. For admins.";
        operation("listPins", summary).lists::<Pin>("Pins", "The pins that have not ended, by their end.")
    });
    let one = at("/gc/pins/{name}")
        .put(set, || {
            let summary = "Set a pin, or another end for it: until then garbage collection removes nothing. For admins.";
            of_pin("setPin", summary).takes::<NewPin>().answers::<Pin>(200, "The pin.")
        })
        .delete(remove, || {
            of_pin("removePin", "Remove a pin before its end. For admins.").answers_nothing("It is gone.")
        });
    vec![all, one]
}

fn of_pin(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("name", "The name of the pin.", form::text())
}

/// A pin, with its end.
pub(super) fn shown(view: PinView, now_ms: u64) -> Pin {
    let (by, set_at) = view.row.map_or((None, None), |row| (Some(row.by), Some(time(row.at_ms))));
    let until = time(now_ms.saturating_add(view.for_s.saturating_mul(1000)));
    Pin { name: view.name, until, by, set_at }
}

/// `GET /api/v1/gc/pins`: all of them, which are few.
pub(super) async fn list(app: Data<App>, permit: Permit<ReadServer>) -> Result<HttpResponse, Problem> {
    let now_ms = app.now_ms();
    let items: Vec<Pin> =
        app.registry.pins(permit.grant())?.into_iter().map(|view| shown(view, now_ms)).collect();
    Ok(json(StatusCode::OK, &List { items, next_cursor: None }))
}

/// `PUT /api/v1/gc/pins/{name}`
pub(super) async fn set(
    app: Data<App>,
    permit: Permit<RunJobs>,
    name: Path<String>,
    sent: Sent<NewPin>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let duration: HumanDuration = new.duration.parse().map_err(|_| {
        Problem::new(Code::PinInvalid, "duration is the length of the pin, 1s to 7d, such as 2h")
    })?;
    let view = app.registry.pin(permit.grant(), &name, duration).await?;
    Ok(json(StatusCode::OK, &shown(view, app.now_ms())))
}

/// `DELETE /api/v1/gc/pins/{name}`
pub(super) async fn remove(
    app: Data<App>,
    permit: Permit<RunJobs>,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.registry.unpin(permit.grant(), &name).await?;
    Ok(HttpResponse::NoContent().finish())
}

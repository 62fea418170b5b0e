//! Refusals in the form of the registry's API (distribution-spec, "Error Codes").

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::http::face::Refused;
use crate::http::fault::Fault;

/// The registry's API.
pub(crate) struct Registry;

/// A refusal of the registry's API.
pub(super) type ApiError = Refused<Registry>;

pub(super) fn render(fault: &Fault) -> HttpResponse {
    let mut response = fault.answer();
    // Of a 5xx, docker prints only the status line.
    if let Some(reason) = fault.reason_phrase() {
        response.reason(reason);
    }
    let errors = fault.items().iter().map(|item| {
        let mut error = json!({ "code": fault.code().registry_text(), "message": item.message });
        if let Some(detail) = &item.detail {
            error["detail"] = detail.clone();
        }
        error
    });
    response.json(json!({ "errors": errors.collect::<Vec<Value>>() }))
}

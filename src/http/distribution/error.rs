//! Refusals in the form of the registry's API (distribution-spec, "Error Codes").

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};

use crate::http::fault::Fault;

/// A refusal.
#[derive(Debug)]
pub struct ApiError(Fault);

impl<E> From<E> for ApiError
where
    Fault: From<E>,
{
    fn from(error: E) -> Self {
        Self(Fault::from(error))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.code().status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let Self(fault) = self;
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
}

//! What the admin API offers, as an `OpenAPI` document. The document is more than a description: an operation
//! or a parameter that it does not have is refused.

use std::sync::LazyLock;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::ALLOW;
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::endpoint::{Endpoint, at, documented};
use super::operation::operation;
use super::problem::Problem;
use crate::http::fault::{Code, Fault};
use crate::http::query::Query;

/// Where the API is.
const PREFIX: &str = "/api/v1";

/// The document, as text: made by [`document`](super::document).
pub const OPENAPI: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(OPENAPI).expect("the document is JSON, which a test keeps"));

/// The path of the document.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let document = at("/openapi.json").get(get, || {
        operation("showOpenapi", "This document.").for_anyone().answers_object("This document.")
    });
    vec![document]
}

/// `GET /api/v1/openapi.json`
pub(super) async fn get() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}

/// Refuses what the document does not have.
pub(super) async fn refuse_unknown(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Some(pattern) = request.match_pattern()
        && let Some(path) = DOCUMENT["paths"].get(documented(pattern.trim_start_matches(PREFIX)))
    {
        let Some(operation) = path.get(request.method().as_str().to_ascii_lowercase()) else {
            return Err(wrong_method(request.request(), path).into());
        };
        if let Some(name) = Query::parse(request.query_string()).names().find(|name| !takes(operation, name))
        {
            return Err(unknown_parameter(operation, name).into());
        }
    }
    next.call(request).await
}

/// Refuses a method, with those that the path has (RFC 9110, 15.5.6).
fn wrong_method(request: &HttpRequest, path: &Value) -> Problem {
    let methods = path.as_object().into_iter().flatten().map(|(method, _)| method.to_ascii_uppercase());
    let allow = methods.collect::<Vec<_>>().join(", ");
    let message = format!("{} is not possible here; use one of {allow}", request.method());
    Fault::new(Code::MethodNotAllowed, message).header(ALLOW, &allow).into()
}

fn parameters(operation: &Value) -> impl Iterator<Item = &str> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    // A parameter that lists share is a reference to where it is described.
    parameters
        .filter_map(|parameter| match parameter["$ref"].as_str() {
            Some(place) => DOCUMENT.pointer(place.trim_start_matches('#')),
            None => Some(parameter),
        })
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str())
}

fn takes(operation: &Value, name: &str) -> bool {
    parameters(operation).any(|known| known == name)
}

fn unknown_parameter(operation: &Value, name: &str) -> Problem {
    let name: String = name.chars().take(40).collect();
    let known: Vec<&str> = parameters(operation).collect();
    let known = if known.is_empty() {
        "none is known here".to_owned()
    } else {
        format!("known here: {}", known.join(", "))
    };
    Problem::new(Code::ParameterUnknown, format!("there is no query parameter {name:?}; {known}"))
}

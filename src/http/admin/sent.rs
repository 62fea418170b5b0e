//! The JSON documents in requests to the API.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::permit::Permit;
use super::problem::Problem;
use crate::access::Action;
use crate::http::body::{self, WholeError};
use crate::http::fault::{Code, Fault};
use crate::http::permit::app;
use crate::http::route::header;

/// The most bytes of a document.
pub const MAX_BODY: usize = 64 << 10;

/// A JSON object that was not read yet.
pub(super) struct Sent<T> {
    request: HttpRequest,
    payload: web::Payload,
    kind: PhantomData<T>,
}

impl<T: DeserializeOwned> Sent<T> {
    /// Reads the object, for a caller with a permission: no body of another caller is received.
    pub(super) async fn read<A: Action>(self, permit: &Permit<A>) -> Result<T, Problem> {
        let Self { request, payload, .. } = self;
        let kind = header(&request, &CONTENT_TYPE).and_then(|kind| kind.split(';').next());
        if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            let message = "the body must be JSON, with Content-Type: application/json";
            return Err(Problem::new(Code::ContentType, message));
        }
        let body = body::small(&request, payload, app(&request)?, &permit.holder(), MAX_BODY).await;
        document(&body.map_err(not_whole)?)
    }
}

impl<T> FromRequest for Sent<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let taken = web::Payload::from_request(request, payload).into_inner();
        let wrong = |error: actix_web::Error| Problem::new(Code::BodyInvalid, error.to_string());
        let sent = |payload| Self { request: request.clone(), payload, kind: PhantomData };
        ready(taken.map(sent).map_err(wrong))
    }
}

/// Parses the document in a body. Arrays are refused, because serde would fill structs from them by position.
fn document<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(
            Code::BodyInvalid,
            "the body is an array; send an object: {\"field\": value}",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        // serde's message names fields and, for a wrong type, the value, which may be a password. So values
        // are removed.
        let message = if error.is_data() {
            format!("the body is not what is expected here: {}", data_error(&error))
        } else {
            "the body is not JSON".to_owned()
        };
        Problem::new(Code::BodyInvalid, message)
    })
}

/// What is wrong with a body, without the values in it.
fn data_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("invalid ") {
        Some(_) => format!("a value has a wrong type (column {})", error.column()),
        None => text,
    }
}

fn not_whole(error: WholeError) -> Fault {
    match error {
        WholeError::TooLarge(limit) => {
            Fault::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes"))
        }
        WholeError::Limit(reached) => Fault::wait(&reached),
        error => Fault::from(error),
    }
}

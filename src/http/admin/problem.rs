//! Refusals in the form of the admin API: `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};

use super::NO_STORE;
use crate::http::challenge;
use crate::http::fault::{Code, Fault};
use crate::wire;

/// A refusal.
#[derive(Debug)]
pub(super) struct Problem(Fault);

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Fault::new(code, detail))
    }

    fn document(&self) -> wire::Problem {
        let code = self.0.code();
        wire::Problem {
            kind: format!("urn:stowage:error:{}", code.page()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: self.0.message().to_owned(),
            code: code.text().to_owned(),
            fix: code.fix().to_owned(),
        }
    }
}

impl<E> From<E> for Problem
where
    Fault: From<E>,
{
    fn from(error: E) -> Self {
        Self(Fault::from(error))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code().status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = self.0.answer();
        if self.0.code() == Code::Unauthorized {
            // A registry token is not accepted here, so the challenge is for a password.
            response.insert_header((WWW_AUTHENTICATE, challenge::BASIC));
        }
        response
            .insert_header((CACHE_CONTROL, NO_STORE))
            .content_type("application/problem+json")
            .json(self.document())
    }
}

impl Responder for Problem {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse<BoxBody> {
        self.error_response()
    }
}

//! Refusals in the form of the admin API: `application/problem+json` (RFC 9457).

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};

use super::NO_STORE;
use crate::http::challenge;
use crate::http::face::Refused;
use crate::http::fault::{Code, Fault};
use crate::wire;

/// The admin API.
pub(super) struct Admin;

/// A refusal of the admin API.
pub(super) type Problem = Refused<Admin>;

pub(super) fn render(fault: &Fault) -> HttpResponse {
    let mut response = fault.answer();
    if fault.code() == Code::Unauthorized {
        // A registry token is not accepted here, so the challenge is for a password.
        response.insert_header((WWW_AUTHENTICATE, challenge::BASIC));
    }
    response
        .insert_header((CACHE_CONTROL, NO_STORE))
        .content_type("application/problem+json")
        .json(document(fault))
}

fn document(fault: &Fault) -> wire::Problem {
    let code = fault.code();
    wire::Problem {
        kind: format!("urn:stowage:error:{}", code.page()),
        title: code.title().to_owned(),
        status: code.status().as_u16(),
        detail: fault.message().to_owned(),
        code: code.text().to_owned(),
        fix: code.fix().to_owned(),
    }
}

//! Conditional requests (RFC 9110 section 13). The `ETag` of content is its digest in quotes.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};

use super::fault::{Code, Fault};
use super::route::header;
use crate::model::digest::Digest;
use crate::registry::Condition;

/// Whether a `GET` or `HEAD` of content with this digest is answered with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The content is sent.
    Send,
    /// The client has it already: 304.
    NotModified,
}

/// Evaluates `If-Match` and `If-None-Match` of a read; a failed `If-Match` is 412.
pub(crate) fn evaluate(request: &HttpRequest, digest: &Digest) -> Result<Outcome, Fault> {
    if !request.headers().contains_key(IF_MATCH) && !request.headers().contains_key(IF_NONE_MATCH) {
        return Ok(Outcome::Send);
    }
    let digest = digest.to_string();
    let among = |tags: &[String]| tags.iter().any(|tag| tag == "*" || *tag == digest);
    if let Some(wanted) = tags(request, &IF_MATCH)
        && !among(&wanted)
    {
        let message = format!("the content is {digest}, which If-Match does not name");
        return Err(Fault::new(Code::PreconditionFailed, message));
    }
    let known = tags(request, &IF_NONE_MATCH).is_some_and(|known| among(&known));
    Ok(if known { Outcome::NotModified } else { Outcome::Send })
}

/// Whether `Range` applies: `If-Range` names this content, or is absent.
pub(crate) fn range_counts(request: &HttpRequest, digest: &Digest) -> bool {
    match header(request, &IF_RANGE) {
        None => !request.headers().contains_key(IF_RANGE),
        // A weak tag never matches here (RFC 9110 section 13.1.5).
        Some(tag) => tag.trim() == format!("\"{digest}\""),
    }
}

/// The precondition of a push on the tag that it sets.
pub(crate) fn condition(request: &HttpRequest) -> Condition {
    Condition { matches: tags(request, &IF_MATCH), none_match: tags(request, &IF_NONE_MATCH) }
}

/// The entity tags in a header, without quotes; clients of CNCF Distribution also send them without.
fn tags(request: &HttpRequest, name: &HeaderName) -> Option<Vec<String>> {
    if !request.headers().contains_key(name) {
        return None;
    }
    let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|value| value.split(','));
    Some(tags.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()).collect())
}

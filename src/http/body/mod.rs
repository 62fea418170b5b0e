//! Reception of request bodies.

mod batch;
mod feed;
mod incoming;
mod whole;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;

pub use batch::{CRUMB, MANY_CHUNKS};
pub(crate) use feed::feed;
pub use feed::{BATCH, COLLECT, FREE, LARGEST_BATCH};
pub use whole::{BESIDE_A_BODY, SMALL_BODY_FOR, manifest_time};
pub(crate) use whole::{WholeError, manifest, small};

use super::route::header;

/// The announced length of a body.
pub(crate) fn content_length(request: &HttpRequest) -> Option<u64> {
    header(request, &CONTENT_LENGTH)?.parse().ok()
}

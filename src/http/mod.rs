//! The HTTP interface: the only module that knows status codes.

pub mod admin;
mod blob_body;
pub mod body;
mod browsers;
mod challenge;
mod conditional;
pub mod distribution;
mod face;
mod fault;
mod list_body;
mod manifest_body;
mod observe;
mod origin;
mod permit;
pub mod query;
pub mod range;
mod reason;
mod requests;
pub mod route;

use actix_web::{HttpResponse, web};

pub use observe::{observe_public, observe_socket};
pub use origin::{Connection, ProxySettings};
pub use requests::{Requests, WINDOW, in_flight};

use fault::{Code, Fault};

/// All routes of the public listeners.
pub fn routes(config: &mut web::ServiceConfig) {
    distribution::routes(config);
    admin::routes(config);
    config.default_service(web::to(elsewhere));
}

/// Any path outside of the API, such as `/v1/search`: a quick 404 for clients that probe for other services.
async fn elsewhere() -> HttpResponse {
    distribution::refusal(Fault::new(Code::NotFound, "nothing is here: the registry's API is below /v2/"))
}

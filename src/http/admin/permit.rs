//! Permissions on the admin API: `{name}` in a route is the repository.

use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::problem::{self, Admin};
use crate::access::Caller;
use crate::auth::Door;
use crate::http::face::Face;
use crate::http::fault::Fault;
use crate::http::permit::{self, recognise};
use crate::model::names::{NameError, RepoName};

/// The permission for `A` on the repository of the route, or on the site.
pub(super) type Permit<A> = permit::Permit<A, Admin>;

#[derive(Default, Deserialize)]
struct Named {
    name: String,
}

impl Face for Admin {
    fn render(fault: &Fault) -> HttpResponse {
        problem::render(fault)
    }

    async fn caller(request: &HttpRequest) -> Result<Caller, Fault> {
        let Caller { principal, address } = recognise(request, Door::Admin).await?;
        Ok(Caller { principal: principal.through_api(), address })
    }

    fn repository(request: &HttpRequest) -> Result<RepoName, NameError> {
        // A route without a name concerns no repository. An empty name is not valid, so it is refused.
        let Named { name } = request.match_info().load().unwrap_or_default();
        name.parse()
    }
}

//! The permission to manage, for handlers of the admin API.

use std::future::Future;
use std::pin::Pin;

use actix_web::FromRequest;
use actix_web::HttpRequest;
use actix_web::dev::Payload;

use super::problem::Problem;
use crate::app::App;
use crate::auth::{Action, Catalog, Grant, Manage, Refusal, Repository};
use crate::http::challenge;
use crate::http::permit::Permit;

/// Somebody who may manage, with the proof.
pub(super) struct Manager {
    grant: Grant<Manage>,
    request: HttpRequest,
}

impl Manager {
    pub(super) const fn grant(&self) -> &Grant<Manage> {
        &self.grant
    }

    /// The permission for `A` on a repository, which the credential may lack all the same.
    pub(super) fn on<A: Action<Target = Repository>>(
        &self,
        app: &App,
        name: &str,
    ) -> Result<Grant<A>, Problem> {
        self.granted(app.auth.repository(self.grant.caller(), &name.parse()?))
    }

    /// The permission to list repositories.
    pub(super) fn catalog(&self, app: &App) -> Result<Grant<Catalog>, Problem> {
        self.granted(app.auth.catalog(self.grant.caller()))
    }

    fn granted<A: Action>(&self, answer: Result<Grant<A>, Refusal>) -> Result<Grant<A>, Problem> {
        answer.map_err(|refusal| challenge::refusal(&self.request, refusal).into())
    }
}

impl FromRequest for Manager {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let permit = Permit::<Manage>::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move { Ok(Self { grant: permit.await?.into_grant(), request }) })
    }
}

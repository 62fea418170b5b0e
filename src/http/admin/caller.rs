//! Who calls the admin API, and what that permits: extractors for its handlers.

use std::future::Future;
use std::pin::Pin;

use actix_web::FromRequest;
use actix_web::HttpRequest;
use actix_web::dev::Payload;

use super::problem::Problem;
use crate::access::{Action, Caller, Catalog, Grant, Refusal, Repository, Site};
use crate::app::App;
use crate::auth::Door;
use crate::http::challenge;
use crate::http::permit::{app, recognise};

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// A caller who was recognised; no right comes with that, and every handler asks for the one that it needs.
pub(super) struct Visitor {
    caller: Caller,
    request: HttpRequest,
}

impl Visitor {
    /// The permission for `A` on a repository.
    pub(super) fn on<A: Action<Target = Repository>>(
        &self,
        app: &App,
        name: &str,
    ) -> Result<Grant<A>, Problem> {
        self.granted(app.access.repository(&self.caller, &name.parse()?))
    }

    /// The permission to list repositories.
    pub(super) fn catalog(&self, app: &App) -> Result<Grant<Catalog>, Problem> {
        self.granted(app.access.site(&self.caller))
    }

    /// Who calls.
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    fn granted<A: Action>(&self, answer: Result<Grant<A>, Refusal>) -> Result<Grant<A>, Problem> {
        answer.map_err(|refusal| challenge::refusal(&self.request, refusal).into())
    }
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Caller { principal, address } = recognise(&request, Door::Admin).await?;
            Ok(Self { caller: Caller { principal: principal.through_api(), address }, request })
        })
    }
}

/// The permission for `A` on the server as a whole.
pub(super) struct Permit<A: Action>(Grant<A>);

impl<A: Action> Permit<A> {
    /// The proof.
    pub(super) const fn grant(&self) -> &Grant<A> {
        &self.0
    }
}

impl<A: Action<Target = Site>> FromRequest for Permit<A> {
    type Error = Problem;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visitor = Visitor::from_request(request, payload);
        Box::pin(async move {
            let visitor = visitor.await?;
            let answer = app(&visitor.request)?.access.site(&visitor.caller);
            visitor.granted(answer).map(Self)
        })
    }
}

//! The extractor [`Permit`]: it authenticates the caller and asks `access` for the permission. A handler gets
//! a grant only from a `Permit` in its signature.

use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::admin::local_caller;
use super::face::{Face, Refused};
use super::fault::{Code, Fault};
use super::observe::AccessRecord;
use super::origin::client_address;
use super::requests::Requests;
use super::{challenge, route};
use crate::access::{Action, Caller, Grant, Principal, Repository};
use crate::app::App;
use crate::auth::{Door, SignInError};
use crate::limits::Holder;

/// The permission for `A`: on the repository that the request names, or on the site.
pub(crate) struct Permit<A: Action, F> {
    grant: Grant<A>,
    face: PhantomData<F>,
}

impl<A: Action, F> Permit<A, F> {
    /// The grant.
    pub(crate) const fn grant(&self) -> &Grant<A> {
        &self.grant
    }

    /// The principal as limits count it.
    pub(crate) fn holder(&self) -> Holder {
        self.grant.caller().holder()
    }

    /// The grant itself, for work that outlives the request.
    pub(crate) fn into_grant(self) -> Grant<A> {
        self.grant
    }
}

impl<A: Action<Target = Repository>, F> Permit<A, F> {
    /// The name of the repository.
    pub(crate) fn name(&self) -> &str {
        self.grant.name().as_str()
    }
}

/// The parts of the server.
pub(crate) fn app(request: &HttpRequest) -> Result<&Data<App>, Fault> {
    request.app_data::<Data<App>>().ok_or_else(|| Fault::new(Code::Failed, "the server is not set up"))
}

/// Authenticates the sender of a request.
pub(crate) async fn recognise(request: &HttpRequest, door: Door) -> Result<Caller, Fault> {
    if let Some(caller) = local_caller(request) {
        note_principal(request, &caller.principal);
        return Ok(caller);
    }
    let challenged = |error: SignInError| challenge::sign_in(request, error);
    let mut values = request.headers().get_all(AUTHORIZATION);
    let header = match (values.next(), values.next()) {
        (None, _) => None,
        // An unreadable header is not a valid credential; in an open registry that does not matter.
        (Some(value), None) => Some(value.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Some(""),
    };
    let address = client_address(request);
    let app = app(request)?;
    let principal = app.auth.authenticate(header, address, door).await.map_err(challenged)?;
    note_principal(request, &principal);
    let caller = Caller { principal, address };
    if let (Principal::User { id, .. }, Some(requests)) = (&caller.principal, request.conn_data::<Requests>())
    {
        let counted = requests.signed_in(&app.ledger, *id, || caller.holder());
        counted.map_err(|reached| {
            requests.turn_away();
            Fault::too_many_connections(route::path(request), reached)
        })?;
    }
    Ok(caller)
}

fn note_principal(request: &HttpRequest, principal: &Principal) {
    if let Some(seen) = request.extensions().get::<AccessRecord>() {
        seen.principal(principal);
    }
}

/// An action whose grant can be requested for a request.
pub(crate) trait Sought: Action + Sized {
    /// Requests the grant from `access`.
    fn seek<F: Face>(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault>;
}

macro_rules! on_repository {
    ($($action:ident)*) => { $(
        impl Sought for crate::access::$action {
            fn seek<F: Face>(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault> {
                let name = F::repository(request)?;
                let answer = app(request)?.access.repository(caller, &name);
                answer.map_err(|refusal| challenge::refusal(request, refusal))
            }
        }
    )* };
}

macro_rules! on_site {
    ($($action:ident)*) => { $(
        impl Sought for crate::access::$action {
            fn seek<F: Face>(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault> {
                let answer = app(request)?.access.site(caller);
                answer.map_err(|refusal| challenge::refusal(request, refusal))
            }
        }
    )* };
}

on_repository!(Pull Push Delete);
on_site!(Catalog ReadUsers ManageUsers ReadTokens ManageTokens ReadServer RunJobs ManageTrash);

impl<A: Sought, F: Face> FromRequest for Permit<A, F> {
    type Error = Refused<F>;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused<F>>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = F::caller(&request).await?;
            let grant = A::seek::<F>(&request, &caller)?;
            Ok(Self { grant, face: PhantomData })
        })
    }
}

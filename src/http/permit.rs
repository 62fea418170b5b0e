//! The only way of a handler to a grant: an extractor that recognises the caller and asks `access`.

use std::future::Future;
use std::pin::Pin;

use actix_web::FromRequest;
use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;

use super::admin::local_caller;
use super::challenge;
use super::distribution::ApiError;
use super::fault::{Code, Fault};
use super::observe::Seen;
use super::origin::client_address;
use super::requests::Requests;
use super::route;
use super::route::{Route, Shape};
use crate::access::{Action, Caller, Catalog, Grant, Principal, Repository};
use crate::app::App;
use crate::auth::{Door, SignInError};
use crate::limits::Holder;

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

/// A caller was recognised; no right comes with that.
pub(crate) struct Known;

/// The permission for `A` on the repository in the path, or on the catalogue.
pub(crate) struct Permit<A: Action>(Grant<A>);

impl<A: Action> Permit<A> {
    /// The proof for the registry.
    pub(crate) const fn grant(&self) -> &Grant<A> {
        &self.0
    }

    /// Whom the limits count the caller as.
    pub(crate) fn holder(&self) -> Holder {
        self.0.caller().holder()
    }

    /// The proof itself, for work that outlives the handler's borrow.
    pub(crate) fn into_grant(self) -> Grant<A> {
        self.0
    }
}

impl<A: Action<Target = Repository>> Permit<A> {
    /// The name of the repository.
    pub(crate) fn name(&self) -> &str {
        self.0.name().as_str()
    }
}

/// The parts of the server.
pub(crate) fn app(request: &HttpRequest) -> Result<&Data<App>, Fault> {
    request.app_data::<Data<App>>().ok_or_else(|| Fault::new(Code::Failed, "the server is not set up"))
}

/// Finds out who has sent a request to the registry's API.
async fn recognise_at_registry(request: &HttpRequest) -> Result<Caller, Fault> {
    let door = match shape(request) {
        Shape::Upload => Door::Upload,
        _ => Door::Registry,
    };
    recognise(request, door).await
}

/// Finds out who has sent a request.
pub(crate) async fn recognise(request: &HttpRequest, door: Door) -> Result<Caller, Fault> {
    if let Some(caller) = local_caller(request) {
        note_principal(request, &caller.principal);
        return Ok(caller);
    }
    let challenged = |error: SignInError| challenge::sign_in(request, error);
    let mut values = request.headers().get_all(AUTHORIZATION);
    let header = match (values.next(), values.next()) {
        (None, _) => None,
        // What cannot be read is no credential, which does not matter in an open registry.
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
    if let Some(seen) = request.extensions().get::<Seen>() {
        seen.principal(principal);
    }
}

fn shape(request: &HttpRequest) -> Shape {
    request.extensions().get::<Route>().map_or(Shape::Unknown, |route| route.shape)
}

impl FromRequest for Known {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(recognise_at_registry(&request).await.map(|_| Self)?) })
    }
}

/// How a grant for a request is found.
pub(crate) trait Sought: Action {
    /// Asks `access` for the grant.
    fn seek(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault>
    where
        Self: Sized;
}

macro_rules! on_repository {
    ($($action:ident)*) => { $(
        impl Sought for crate::access::$action {
            fn seek(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault> {
                let name = match request.extensions().get::<Route>() {
                    Some(route) => route.repository()?,
                    None => Route::parse(request.path()).repository()?,
                };
                app(request)?.access.repository(caller, &name).map_err(|refusal| challenge::refusal(request, refusal))
            }
        }
    )* };
}

on_repository!(Pull Push Delete);

impl Sought for Catalog {
    fn seek(request: &HttpRequest, caller: &Caller) -> Result<Grant<Self>, Fault> {
        app(request)?.access.site(caller).map_err(|refusal| challenge::refusal(request, refusal))
    }
}

impl<A: Sought> FromRequest for Permit<A> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = recognise_at_registry(&request).await?;
            Ok(A::seek(&request, &caller).map(Self)?)
        })
    }
}

//! Permissions on the registry's API: its paths name the repository.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse};

use super::error::{self, ApiError, Registry};
use crate::access::Caller;
use crate::auth::Door;
use crate::http::face::Face;
use crate::http::fault::Fault;
use crate::http::permit::{self, recognise};
use crate::http::route::{Route, Shape};
use crate::model::names::{NameError, RepoName};

/// The permission for `A` on the repository in the path, or on the catalogue.
pub(super) type Permit<A> = permit::Permit<A, Registry>;

impl Face for Registry {
    fn render(fault: &Fault) -> HttpResponse {
        error::render(fault)
    }

    async fn caller(request: &HttpRequest) -> Result<Caller, Fault> {
        let is_upload = request.extensions().get::<Route>().is_some_and(|route| route.shape == Shape::Upload);
        recognise(request, if is_upload { Door::Upload } else { Door::Registry }).await
    }

    fn repository(request: &HttpRequest) -> Result<RepoName, NameError> {
        match request.extensions().get::<Route>() {
            Some(route) => route.repository(),
            None => Route::parse(request.path()).repository(),
        }
    }
}

/// An authenticated caller without any permission.
pub(super) struct AnyCaller;

impl FromRequest for AnyCaller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            Registry::caller(&request).await?;
            Ok(Self)
        })
    }
}

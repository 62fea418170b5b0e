//! The APIs of the server: how each authenticates callers, names repositories, and renders refusals.

use std::fmt;
use std::marker::PhantomData;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};

use super::fault::{Code, Fault};
use crate::access::Caller;
use crate::model::names::{NameError, RepoName};

/// An API: how it authenticates, where a request names the repository, and how it renders a refusal.
pub(crate) trait Face: 'static {
    /// A refusal in the form of the API.
    fn render(fault: &Fault) -> HttpResponse;

    /// Authenticates the sender of a request, without any permission.
    fn caller(request: &HttpRequest) -> impl Future<Output = Result<Caller, Fault>>;

    /// The repository that a request names.
    fn repository(request: &HttpRequest) -> Result<RepoName, NameError>;
}

/// A refusal, which the API `F` renders.
pub(crate) struct Refused<F> {
    fault: Fault,
    face: PhantomData<F>,
}

impl<F> Refused<F> {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::from(Fault::new(code, message))
    }
}

impl<E, F> From<E> for Refused<F>
where
    Fault: From<E>,
{
    fn from(error: E) -> Self {
        Self { fault: Fault::from(error), face: PhantomData }
    }
}

impl<F> fmt::Debug for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fault, f)
    }
}

impl<F> fmt::Display for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fault, f)
    }
}

impl<F: Face> ResponseError for Refused<F> {
    fn status_code(&self) -> StatusCode {
        self.fault.code().status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        F::render(&self.fault)
    }
}

impl<F: Face> Responder for Refused<F> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse<BoxBody> {
        self.error_response()
    }
}

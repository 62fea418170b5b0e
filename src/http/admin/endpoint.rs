//! A path of the API: its handlers, and its description in the document.

use actix_web::{FromRequest, Handler, Resource, Responder, web};
use utoipa::openapi::path::HttpMethod;

use super::operation::Operation;

/// A path with its operations.
pub(super) struct Endpoint {
    pattern: &'static str,
    resource: Resource,
    operations: Vec<(HttpMethod, fn() -> Operation)>,
}

/// A path as a pattern of actix. [`refuse_unknown`](super::openapi::refuse_unknown) refuses methods that it
/// does not have.
pub(super) fn at(pattern: &'static str) -> Endpoint {
    Endpoint { pattern, resource: web::resource(pattern), operations: Vec::new() }
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => { $(
        pub(super) fn $name<F, A>(mut self, handler: F, operation: fn() -> Operation) -> Self
        where
            F: Handler<A>,
            F::Output: Responder + 'static,
            A: FromRequest + 'static,
        {
            self.resource = self.resource.route(web::$name().to(handler));
            self.operations.push((HttpMethod::$method, operation));
            self
        }
    )* };
}

impl Endpoint {
    methods! {
        get Get;
        post Post;
        put Put;
        patch Patch;
        delete Delete;
    }

    /// The handlers, for actix.
    pub(super) fn into_resource(self) -> Resource {
        self.resource
    }

    /// The path as the document writes it.
    pub(super) fn documented(&self) -> String {
        documented(self.pattern)
    }

    /// The description of each method.
    pub(super) fn operations(&self) -> impl Iterator<Item = (HttpMethod, Operation)> {
        self.operations.iter().map(|(method, operation)| (method.clone(), operation()))
    }
}

/// A pattern as the document writes it: parameters with their names only.
pub(super) fn documented(pattern: &str) -> String {
    pattern.replace(":.+}", "}")
}

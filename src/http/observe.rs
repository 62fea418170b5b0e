//! What is seen of every request: one line in the access log, an id, and the header of the API's version.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;

use super::origin::client_address;
use super::route::Route;
use crate::auth::Principal;

const TARGET: &str = "stowage::access";
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// What handlers add to the access line of their request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Rc<RefCell<String>>);

impl Seen {
    /// Notes who called.
    pub(crate) fn principal(&self, principal: &Principal) {
        self.0.replace(principal.name().to_owned());
    }
}

/// Runs a request under observation.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let id = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let logged = tracing::enabled!(target: TARGET, tracing::Level::INFO);
    let seen = Seen::default();
    if logged {
        request.extensions_mut().insert(seen.clone());
    }
    let mut response = next.call(request).await?;
    if response.request().path().starts_with("/v2") {
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response.headers_mut().insert(REQUEST_ID, HeaderValue::from(id));
    }
    let line = logged.then(|| Line {
        method: response.request().method().to_string(),
        uri: response.request().uri().to_string(),
        remote: client_address(response.request()).map(|client| client.to_string()).unwrap_or_default(),
        repository: {
            let extensions = response.request().extensions();
            extensions.get::<Route>().map(|route| route.name.clone()).unwrap_or_default()
        },
        status: status.as_u16(),
        id,
        started,
        seen,
    });
    Ok(response.map_body(|_, body| Observed { body: Box::pin(body), bytes: 0, line }))
}

/// One line of the access log.
struct Line {
    method: String,
    uri: String,
    remote: String,
    repository: String,
    status: u16,
    id: u64,
    started: Instant,
    seen: Seen,
}

/// A body that is counted and written to the access log when it ends, however it ends.
struct Observed<B> {
    body: Pin<Box<B>>,
    bytes: u64,
    line: Option<Line>,
}

impl<B: MessageBody> MessageBody for Observed<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let polled = self.body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes += bytes.len() as u64;
        }
        polled
    }
}

impl<B> Drop for Observed<B> {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        let seen = line.seen.0.borrow();
        tracing::info!(
            target: TARGET,
            method = line.method,
            uri = line.uri,
            status = line.status,
            bytes = self.bytes,
            duration_ms = line.started.elapsed().as_secs_f64() * 1000.0,
            remote = line.remote,
            principal = seen.as_str(),
            repository = line.repository,
            request_id = line.id,
            "request"
        );
    }
}

//! What is seen of every request: one line in the access log, an id, and the header of the API's version.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use actix_web::Error;
use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::web::Bytes;

use super::origin::client_address;
use super::route::Route;
use crate::auth::Principal;

/// Parameters of queries that hold names, digests and numbers.
const TOLD: [&str; 10] =
    ["artifactType", "digest", "digest-algorithm", "from", "last", "mount", "n", "scope", "service", "tag"];
/// Requests that were sent ahead are answered without a pause, thousands of them while others wait: after so many it is
/// the turn of the other connections.
const TURN: u64 = 4;
const TARGET: &str = "stowage::access";
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

static REQUESTS: AtomicU64 = AtomicU64::new(0);
/// Requests whose answer has not come to its end.
static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Requests of this process that are under way.
pub fn in_flight() -> usize {
    IN_FLIGHT.load(Ordering::Relaxed)
}

/// What handlers add to the access line of their request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Rc<RefCell<String>>);

impl Seen {
    /// Notes who called.
    pub(crate) fn principal(&self, principal: &Principal) {
        self.0.replace(principal.name().to_owned());
    }
}

/// The requests of one connection, for whoever watches over it.
#[derive(Clone, Debug, Default)]
pub struct Requests(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: Cell<u32>,
    begun: Cell<u64>,
    /// Bytes of the present request's body, where they are announced.
    body: Cell<Option<u64>>,
    after: RefCell<Option<Waker>>,
}

impl Requests {
    /// Whether one is answered now.
    pub fn running(&self) -> bool {
        self.0.running.get() > 0
    }

    /// How many there were so far.
    pub fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    /// How long the body of the present request is; `None`: its end is seen when it comes.
    pub fn body(&self) -> Option<u64> {
        self.0.body.get()
    }

    /// Whether what comes after the last request may still be its body, which is read on when it was refused early.
    pub fn may_drain(&self) -> bool {
        self.begun() > 0 && self.body() != Some(0)
    }

    /// Has this task woken when the present request was answered.
    pub fn wake_after(&self, waker: &Waker) {
        self.0.after.replace(Some(waker.clone()));
    }

    fn begin(&self, headers: &HeaderMap) -> Running {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        self.0.body.set(if headers.contains_key(TRANSFER_ENCODING) { None } else { announced.or(Some(0)) });
        self.0.begun.set(self.0.begun.get() + 1);
        self.0.running.set(self.0.running.get() + 1);
        IN_FLIGHT.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }
}

/// A request until the end of its answer.
struct Running(Requests);

impl Drop for Running {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        let running = &self.0.0.running;
        running.set(running.get().saturating_sub(1));
        if let Some(waker) = self.0.0.after.take() {
            waker.wake();
        }
    }
}

/// Runs a request under observation.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let running = request.conn_data::<Requests>().map(|requests| requests.begin(request.headers()));
    if running.as_ref().is_some_and(|Running(requests)| requests.begun().is_multiple_of(TURN)) {
        tokio::task::yield_now().await;
    }
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
        uri: what_may_be_told(response.request().uri()),
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
    Ok(response.map_body(|_, body| Observed { body: Box::pin(body), bytes: 0, line, _running: running }))
}

/// The path and what is known of the query. Whatever else clients put into a query may be a secret, and so may be what
/// stands before a host.
fn what_may_be_told(uri: &Uri) -> String {
    let mut told = uri.path().to_owned();
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if TOLD.contains(&name) {
            let separator = if told.contains('?') { '&' } else { '?' };
            let _ = write!(told, "{separator}{name}={value}");
        }
    }
    told
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
    _running: Option<Running>,
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

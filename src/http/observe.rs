//! The middleware of every request: a line in the access log, a request id, and the header of the API's
//! version.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse};

use super::fault::{Code, Fault};
use super::origin::{self, client_address};
use super::requests::{Requests, Running};
use super::route::{self, Route, Shape};
use super::{browsers, distribution};
use crate::access::Principal;
use crate::app::App;
use crate::telemetry::{ACCESS, PART};

/// Query parameters whose values may be logged: names, digests and numbers.
const TOLD: [&str; 10] =
    ["artifactType", "digest", "digest-algorithm", "from", "last", "mount", "n", "scope", "service", "tag"];
/// After this many pipelined requests, yield to other connections.
const TURN: u64 = 4;
/// The most characters of a path, of each value of a query, and of a whole URI in the log.
const MAX_PART: usize = 256;
const MAX_URI: usize = 512;
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// What handlers add to the access line of their request.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRecord(Rc<RefCell<String>>);

impl AccessRecord {
    /// Records the caller.
    pub(crate) fn principal(&self, principal: &Principal) {
        self.name(principal.name());
    }

    /// Records the name of the caller.
    pub(crate) fn name(&self, name: &str) {
        self.0.replace(name.to_owned());
    }
}

/// The middleware of the admin socket. It also refuses browsers.
pub fn observe_socket<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> impl Future<Output = Result<ServiceResponse<Observed>, Error>> {
    run(request, next, browsers::refusal_on_socket)
}

/// The middleware of a public listener. It also refuses pages of other sites, and addresses with too many
/// connections. All of it is one middleware, because each one costs every request an allocation.
pub fn observe_public<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> impl Future<Output = Result<ServiceResponse<Observed>, Error>> {
    run(request, next, |request| {
        origin::note_proxy(request);
        browsers::refusal(request).or_else(|| too_many_connections(request)).or_else(|| websocket(request))
    })
}

async fn run<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    refusal: impl Fn(&HttpRequest) -> Option<HttpResponse>,
) -> Result<ServiceResponse<Observed>, Error> {
    let mut observation = Observation::of(&request);
    if observation.is_turn_of_others() {
        tokio::task::yield_now().await;
    }
    let mut response = match refusal(request.request()) {
        Some(response) => request.into_response(response),
        None => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            // A middleware below has refused the request.
            Err(error) => {
                let response = observation.answer(error.error_response()).map_into_boxed_body();
                return Err(InternalError::from_response(error, response).into());
            }
        },
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        browsers::withhold_challenge(&mut response);
    }
    if let Some(route) = response.request().extensions().get::<Route>() {
        observation.note_route(route);
    }
    let (request, response) = response.into_parts();
    Ok(ServiceResponse::new(request, observation.answer(response)))
}

/// What is known of a request until it is answered.
struct Observation {
    id: u64,
    line: Option<Line>,
    running: Option<Running>,
    is_of_v2: bool,
}

impl Observation {
    /// The record of a new request.
    fn of(request: &ServiceRequest) -> Self {
        let id = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        let line = Line::of(request, id);
        let running = request.conn_data::<Requests>().map(|requests| requests.begin(request.headers()));
        let is_of_v2 = route::path(request.request()).starts_with("/v2");
        Self { id, line, running, is_of_v2 }
    }

    /// Whether to yield to other connections.
    fn is_turn_of_others(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.requests().begun().is_multiple_of(TURN))
    }

    fn note_route(&mut self, route: &Route) {
        if let Some(line) = &mut self.line {
            line.is_of_manifest = route.shape == Shape::Manifest;
            // A longer text is not a name; the log has it in the URI.
            if route.name.len() <= MAX_PART {
                line.repository.clone_from(&route.name);
            }
        }
    }

    /// Completes a response. Every response passes here, also that of a middleware: it gets its headers, and
    /// its access line when its body ends.
    fn answer(self, mut response: HttpResponse) -> HttpResponse<Observed> {
        let Self { id, mut line, running, is_of_v2 } = self;
        let status = response.status();
        if is_of_v2 {
            response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        if status.is_client_error() || status.is_server_error() {
            response.headers_mut().insert(REQUEST_ID, HeaderValue::from(id));
        }
        if let Some(line) = &mut line {
            line.status = status.as_u16();
        }
        response.map_body(|_, body| Observed { body, bytes: 0, line, running })
    }
}

/// The refusal of a request whose address has too many connections without a sign-in. The connection ends
/// with it.
fn too_many_connections(request: &HttpRequest) -> Option<HttpResponse> {
    let requests = request.conn_data::<Requests>()?;
    let app = request.app_data::<Data<App>>()?;
    let reached = requests.count_for(&app.ledger, client_address(request)).err()?;
    requests.turn_away();
    Some(distribution::refusal(Fault::too_many_connections(route::path(request), reached)))
}

/// The refusal of a WebSocket handshake. The web framework treats everything after its head as an endless
/// body, so a handler that reads the body would never answer. The connection ends with the refusal.
fn websocket(request: &HttpRequest) -> Option<HttpResponse> {
    let mut protocols = request.headers().get_all(UPGRADE);
    if !protocols.any(|protocol| protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")) {
        return None;
    }
    if let Some(requests) = request.conn_data::<Requests>() {
        requests.turn_away();
    }
    let message = "there is no WebSocket here: send the request without the header Upgrade";
    Some(distribution::refusal(Fault::new(Code::UpgradeRefused, message).header(CONNECTION, "close")))
}

/// The path and the known parameters of the query. Other parameters may contain secrets, and so may the part
/// before a host.
fn what_may_be_told(uri: &Uri) -> String {
    let mut told = cut(uri.path(), MAX_PART).into_owned();
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if TOLD.contains(&name) {
            let separator = if told.contains('?') { '&' } else { '?' };
            let _ = write!(told, "{separator}{name}={}", cut(value, MAX_PART));
        }
        if told.len() > MAX_URI {
            break;
        }
    }
    cut(&told, MAX_URI).into_owned()
}

/// The beginning of a text, which the client may have made long.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
    }
}

/// One line of the access log.
struct Line {
    method: Method,
    uri: String,
    remote: String,
    repository: String,
    /// Whether the path is below `/v2`, or that of the token endpoint.
    is_of_registry: bool,
    /// Whether it concerns a manifest, which stands for a whole push or pull.
    is_of_manifest: bool,
    status: u16,
    id: u64,
    started: Instant,
    seen: AccessRecord,
}

/// A response body that counts its bytes and writes the access line when it ends or is dropped.
pub struct Observed {
    body: BoxBody,
    bytes: u64,
    line: Option<Line>,
    running: Option<Running>,
}

impl MessageBody for Observed {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        // The next piece waits until the last one was sent; then the guard, which serves the same connection,
        // wakes this task. The end of the body does not wait, because most bodies have only one piece.
        if let Some(running) = &self.running
            && !matches!(self.body.size(), BodySize::Sized(size) if self.bytes >= size)
            && !running.requests().may_send()
        {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.bytes += bytes.len() as u64;
            if let Some(running) = &self.running {
                running.requests().note_handed_out();
            }
        }
        polled
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            // The body of a response to HEAD is generated but not sent.
            let bytes = if line.method == Method::HEAD { 0 } else { self.bytes };
            line.write(bytes);
        }
    }
}

macro_rules! access_line {
    ($name:expr, $line:ident, $bytes:ident) => {
        tracing::info!(
            name: $name,
            target: ACCESS,
            method = $line.method.as_str(),
            uri = $line.uri,
            status = $line.status,
            bytes = $bytes,
            duration_ms = (($line.started.elapsed().as_secs_f64() * 1e6).round() / 1e3),
            remote = $line.remote,
            principal = $line.seen.0.borrow().as_str(),
            repository = $line.repository,
            request_id = $line.id,
            "request"
        )
    };
}

impl Line {
    /// The access line of a new request; `None` while the access log is off.
    fn of(request: &ServiceRequest, id: u64) -> Option<Self> {
        if !tracing::enabled!(target: ACCESS, tracing::Level::INFO) {
            return None;
        }
        let path = route::path(request.request());
        let is_of_registry = path.starts_with("/v2") || path.starts_with("/token");
        let is_of_manifest = path.contains("/manifests/");
        let seen = AccessRecord::default();
        request.extensions_mut().insert(seen.clone());
        Some(Self {
            method: request.method().clone(),
            uri: what_may_be_told(request.uri()),
            remote: client_address(request.request()).map(|client| client.to_string()).unwrap_or_default(),
            repository: String::new(),
            is_of_registry,
            is_of_manifest,
            status: 0,
            id,
            started: Instant::now(),
            seen,
        })
    }

    fn write(self, bytes: u64) {
        if self.is_part() {
            access_line!(PART, self, bytes);
        } else {
            access_line!("request", self, bytes);
        }
    }

    /// Whether it is one of the many requests of a push or pull, and succeeded: the line of the manifest
    /// stands for all of them.
    fn is_part(&self) -> bool {
        let usual = self.status < 400
            || self.status == StatusCode::UNAUTHORIZED
            || (self.method == Method::HEAD && self.status == StatusCode::NOT_FOUND);
        let stands_for_all = self.method != Method::HEAD && self.is_of_manifest;
        usual && self.is_of_registry && !stands_for_all && self.method != Method::DELETE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_is_cut() {
        let long = "a".repeat(15_000);
        let uri: Uri = format!("/v2/{long}/tags/list?last={long}&last={long}&n=1").parse().unwrap();
        let told = what_may_be_told(&uri);
        assert!(told.len() <= MAX_URI + 3, "{}", told.len());
        assert!(told.starts_with("/v2/aaa"));
        let uri: Uri = "/v2/a/b/tags/list?n=1&password=x".parse().unwrap();
        assert_eq!(what_may_be_told(&uri), "/v2/a/b/tags/list?n=1");
    }
}

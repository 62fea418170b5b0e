//! Request bodies on their way to the registry.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;

use super::error::{ApiError, Code};
use super::route::header;
use crate::app::{App, FREE_MANIFEST};
use crate::limits::{Charge, Holder, LimitReached, Resource};
use crate::registry::{Body, BodyPart, RegistryError};

/// Up to this many announced bytes a body is collected before the registry sees it.
const COLLECT: u64 = 1 << 20;
/// Bytes that are handed over at once: fewer cost a change of threads each.
pub const BATCH: usize = 256 << 10;
/// Bytes that a body may have sent without a place among those that are received at once.
pub const FREE: usize = 16 << 10;
/// How long a place may be held for one batch.
const PLACE_FOR: Duration = Duration::from_secs(2);
/// Chunks below this size are put together.
const SMALL: usize = 4 << 10;
/// From so many chunks on, they must have at least [`CRUMB`] bytes each on average.
pub const MANY_CHUNKS: usize = 1024;
/// See [`MANY_CHUNKS`].
pub const CRUMB: usize = 16;
/// How long a large manifest may take to come.
const ROOM_FOR: Duration = Duration::from_mins(1);

/// The announced length of a body.
pub(crate) fn content_length(request: &HttpRequest) -> Option<u64> {
    header(request, &CONTENT_LENGTH)?.parse().ok()
}

/// Feeds the body of a request to `work`, and returns what `work` makes of it. The client may say nothing for as long as
/// `app.idle`. Work that ends early leaves the rest of the body unread; the connection is then closed after the answer.
pub(crate) async fn feed<T, F>(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    holder: &Holder,
    work: impl FnOnce(Body) -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let _body = app.registry.admit(holder, Resource::Bodies, 1).await?;
    let (sender, receiver) = mpsc::channel(1);
    let mut intake = Intake::new(payload, app, holder);
    if content_length(request).is_some_and(|length| length <= COLLECT) {
        let filled = intake.fill(usize::MAX).await;
        let chunks = intake.batch.take();
        match filled {
            Filled::Complete => return work(Body::Whole(chunks)).await,
            Filled::Busy(reached) => return Err(reached.into()),
            Filled::Full | Filled::Slow | Filled::Cut => {}
        }
        // What came so far is kept. After a cut the stream ends without its end.
        if sender.send(BodyPart::Data(chunks)).await.is_ok() && filled == Filled::Cut {
            drop(sender);
            return work(Body::Stream(receiver)).await;
        }
    }
    let mut work = pin!(work(Body::Stream(receiver)));
    let pump = pin!(pump(intake, sender));
    tokio::select! {
        biased;
        result = &mut work => return result,
        busy = pump => if let Some(reached) = busy {
            // What came so far is kept, but the client has to hear that it was not its fault.
            let _ = work.await;
            return Err(reached.into());
        }
    }
    work.await
}

/// Hands batches over until the body ends; a limit: no place came free for the rest of it.
async fn pump(mut intake: Intake<'_>, sender: mpsc::Sender<BodyPart>) -> Option<LimitReached> {
    loop {
        let filled = intake.fill(BATCH).await;
        let batch = intake.batch.take();
        // Nobody listens any more when the work has failed; its answer says why.
        if !batch.is_empty() && sender.send(BodyPart::Data(batch)).await.is_err() {
            return None;
        }
        match filled {
            Filled::Full | Filled::Slow => {}
            Filled::Complete => {
                let _ = sender.send(BodyPart::End).await;
                return None;
            }
            Filled::Cut => return None,
            Filled::Busy(reached) => return Some(reached),
        }
    }
}

/// How gathering ended.
#[derive(Clone, PartialEq, Eq)]
enum Filled {
    /// There is as much as was wanted.
    Full,
    /// The client takes its time; what came shall be handed over.
    Slow,
    /// The body is complete.
    Complete,
    /// The client went away, says nothing, or sends crumbs.
    Cut,
    /// There are too many bodies at once.
    Busy(LimitReached),
}

/// A body that comes in. Only while much of it comes at once it holds one of the places for bodies: slow ones keep
/// nobody out.
struct Intake<'a> {
    payload: Payload,
    app: &'a App,
    holder: &'a Holder,
    batch: Batch,
    place: Option<Charge>,
}

impl<'a> Intake<'a> {
    fn new(payload: Payload, app: &'a App, holder: &'a Holder) -> Self {
        Self { payload, app, holder, batch: Batch::default(), place: None }
    }

    /// Gathers `wanted` bytes, or fewer at the end and from slow clients.
    async fn fill(&mut self, wanted: usize) -> Filled {
        let mut patience = Instant::now() + PLACE_FOR;
        while self.batch.bytes < wanted {
            if self.place.is_none() && self.batch.bytes >= FREE {
                match self.app.registry.admit(self.holder, Resource::BodyPlaces, 1).await {
                    Ok(place) => self.place = Some(place),
                    Err(reached) => return Filled::Busy(reached),
                }
                patience = Instant::now() + PLACE_FOR;
            }
            let wait = match self.place {
                Some(_) => patience.saturating_duration_since(Instant::now()).min(self.app.idle()),
                None => self.app.idle(),
            };
            match tokio::time::timeout(wait, self.payload.next()).await {
                Ok(Some(Ok(chunk))) => self.batch.push(chunk),
                Ok(None) => return Filled::Complete,
                Err(_) if self.place.take().is_some() => return Filled::Slow,
                Ok(Some(Err(_))) | Err(_) => return Filled::Cut,
            }
            if self.batch.is_crumbs() {
                return Filled::Cut;
            }
        }
        Filled::Full
    }
}

/// Bytes that were gathered. Small chunks are put together: each by itself would cost more than it holds.
#[derive(Default)]
struct Batch {
    chunks: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
    /// Chunks of the whole body so far, and their bytes.
    count: usize,
    total: usize,
}

impl Batch {
    fn push(&mut self, chunk: Bytes) {
        self.count += 1;
        self.total = self.total.saturating_add(chunk.len());
        self.bytes += chunk.len();
        if chunk.len() < SMALL {
            self.small.extend_from_slice(&chunk);
            return;
        }
        self.flush();
        self.chunks.push(chunk);
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.flush();
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    /// No client sends thousands of chunks of a few bytes; each waits in a queue of the web framework that holds many.
    fn is_crumbs(&self) -> bool {
        is_crumbs(self.count, self.total)
    }
}

const fn is_crumbs(count: usize, total: usize) -> bool {
    count >= MANY_CHUNKS && total / count < CRUMB
}

/// A body of at most `limit` bytes in one piece. More is refused with 413 before it is read. A large one takes its part
/// of the room for manifests, which it gives back with the second value.
pub(crate) async fn whole(
    request: &HttpRequest,
    mut payload: Payload,
    app: &App,
    limit: usize,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    let announced = content_length(request);
    let too_large = || {
        let message = format!(
            "the body is larger than {limit} bytes, the most that is read here; move data into blobs"
        );
        ApiError::new(Code::ManifestInvalid, message).status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(too_large());
    }
    let mut room = app.manifest_room(announced.unwrap_or(0)).await;
    // Grown bit by bit it would need twice the memory that was set apart for it.
    let mut body =
        BytesMut::with_capacity(announced.map_or(0, |announced| usize::try_from(announced).unwrap_or(limit)));
    let mut chunks = 0;
    // Whoever has taken room has to use it: others wait for it.
    let deadline = Instant::now() + ROOM_FOR;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = if room.is_some() { left.min(app.idle()) } else { app.idle() };
        match tokio::time::timeout(wait, payload.next()).await {
            Ok(None) => return Ok((body.freeze(), room)),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() <= limit => {
                body.extend_from_slice(&chunk);
                chunks += 1;
            }
            Ok(Some(Ok(_))) => return Err(too_large()),
            Ok(Some(Err(_))) | Err(_) => {
                let message =
                    "the connection broke, or was too slow, before the whole body had come; send it again";
                return Err(ApiError::new(Code::SizeInvalid, message));
            }
        }
        if is_crumbs(chunks, body.len()) {
            return Err(ApiError::new(
                Code::SizeInvalid,
                "the body comes in too many small chunks; send larger ones",
            ));
        }
        if room.is_none() && announced.is_none() && body.len() as u64 > FREE_MANIFEST {
            room = app.manifest_room(limit as u64).await;
        }
    }
}

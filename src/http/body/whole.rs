//! Bodies that are collected completely before they are used: forms, JSON, manifests. Each has a deadline for
//! the whole body, so that a client that sends a byte now and then cannot hold its connection for long.

use std::future::Future;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::{Bytes, BytesMut, Payload};

use super::batch::is_crumbs;
use super::content_length;
use super::incoming::Incoming;
use crate::app::{App, FREE_MANIFEST};
use crate::http::fault::{Code, Fault};
use crate::limits::{Charge, Evictable, Holder, LimitReached, Resource};
use crate::model::manifest::MAX_MANIFEST_SIZE;

/// The deadline of a form or a JSON document.
pub const SMALL_BODY_FOR: Duration = Duration::from_secs(30);
/// The deadline of a manifest, plus a second for each [`PIECE`] of it.
const MANIFEST_FOR: Duration = Duration::from_mins(1);
/// How long the rest of a large manifest may take, plus those seconds: it holds memory for which others wait.
const REST_FOR: Duration = Duration::from_secs(5);
/// The memory that a request takes while its body is received, besides the bytes of the body.
pub const BESIDE_A_BODY: u64 = 16 << 10;
/// How long a body waits for memory. Bodies that are still being received are evicted at once; complete ones
/// release their memory when they are stored.
const MEMORY_WITHIN: Duration = Duration::from_secs(30);
/// The bytes that a client must send in a second.
const PIECE: u64 = 64 << 10;

/// Why a body was not collected.
#[derive(Debug)]
pub(crate) enum WholeError {
    /// It has more bytes than this.
    TooLarge(usize),
    /// It took too long.
    TooSlow,
    /// The connection broke.
    Broken,
    /// It was sent in thousands of tiny chunks.
    Crumbs,
    /// The caller has too many bodies in progress.
    Limit(LimitReached),
}

impl From<LimitReached> for WholeError {
    fn from(reached: LimitReached) -> Self {
        Self::Limit(reached)
    }
}

impl From<WholeError> for Fault {
    fn from(error: WholeError) -> Self {
        match error {
            WholeError::TooLarge(limit) => {
                let message = format!(
                    "the body is larger than {limit} bytes, the most that is read here; move data into blobs"
                );
                Self::new(Code::ManifestTooLarge, message)
            }
            WholeError::TooSlow => {
                Self::new(Code::SizeInvalid, "the body came too slowly and was given up; send it again")
            }
            WholeError::Broken => Self::new(
                Code::SizeInvalid,
                "the connection broke before the whole body had come; send it again",
            ),
            WholeError::Crumbs => {
                Self::new(Code::SizeInvalid, "the body comes in too many small chunks; send larger ones")
            }
            WholeError::Limit(reached) => Self::from(reached),
        }
    }
}

/// The deadline of a manifest of this size.
pub fn manifest_time(bytes: u64) -> Duration {
    MANIFEST_FOR + seconds(bytes)
}

const fn seconds(bytes: u64) -> Duration {
    Duration::from_secs(bytes.div_ceil(PIECE))
}

/// Collects a form or a JSON document of at most `limit` bytes. Until then it counts as a body of `holder`.
pub(crate) async fn small(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    holder: &Holder,
    limit: usize,
) -> Result<Bytes, WholeError> {
    let _body = app.ledger.charge(holder, Resource::Bodies, 1)?;
    let mut whole = Whole::new(request, payload, limit, SMALL_BODY_FOR, app)?;
    whole.take_memory(holder).await?;
    while whole.next().await? {}
    Ok(whole.body.freeze())
}

/// Collects a manifest; returns it with its charge, which must be held until it is stored. Memory for a large
/// one is charged at once for all of it when its first [`FREE_MANIFEST`] bytes were received. So a client
/// that sends one byte takes no memory, and two manifests that each hold a part cannot wait for each other's
/// part.
pub(crate) async fn manifest(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    holder: &Holder,
) -> Result<(Bytes, Vec<Charge>), WholeError> {
    let mut charges = vec![app.registry.admit(holder, Resource::Bodies, 1).await?];
    let most = content_length(request).unwrap_or(MAX_MANIFEST_SIZE as u64);
    let mut whole = Whole::new(request, payload, MAX_MANIFEST_SIZE, manifest_time(most), app)?;
    whole.take_memory(holder).await?;
    while whole.next().await? {
        let has = whole.body.len() as u64;
        if charges.len() == 1 && has > FREE_MANIFEST {
            whole.incoming.pause();
            let room = app.registry.admit(holder, Resource::ManifestBytes, most);
            charges.push(unless_evicted(app, &mut whole.memory, room).await??);
            whole.memory = None;
            // Reserved in one step: growing it bit by bit would need twice the memory that was charged.
            whole.body.reserve(usize::try_from(most.saturating_sub(has)).unwrap_or(MAX_MANIFEST_SIZE));
            whole.incoming.resume();
            whole.deadline = Instant::now() + REST_FOR + seconds(most.saturating_sub(has));
        }
    }
    charges.extend(whole.memory.and_then(Evictable::keep));
    Ok((whole.body.freeze(), charges))
}

/// A body that is being collected.
struct Whole<'a> {
    app: &'a App,
    incoming: Incoming,
    body: BytesMut,
    chunks: usize,
    limit: usize,
    /// The bytes that it may have before it is charged as a large manifest.
    most: u64,
    /// Whether the client has said how long it is.
    is_announced: bool,
    /// The charge until then.
    memory: Option<Evictable>,
    deadline: Instant,
}

impl<'a> Whole<'a> {
    fn new(
        request: &HttpRequest,
        payload: Payload,
        limit: usize,
        patience: Duration,
        app: &'a App,
    ) -> Result<Self, WholeError> {
        let announced = content_length(request);
        if announced.is_some_and(|announced| announced > limit as u64) {
            return Err(WholeError::TooLarge(limit));
        }
        let most = announced.unwrap_or(limit as u64).min(FREE_MANIFEST);
        let (incoming, deadline) = (Incoming::new(request, payload), Instant::now() + patience);
        // The buffer is allocated when it was charged: very many bodies may wait for that.
        let (body, is_announced) = (BytesMut::new(), announced.is_some());
        Ok(Self { app, incoming, body, chunks: 0, limit, most, is_announced, memory: None, deadline })
    }

    /// Charges the memory that the body needs. After a refusal the client need not send the rest.
    async fn take_memory(&mut self, holder: &Holder) -> Result<(), WholeError> {
        let (ledger, amount) = (&self.app.ledger, BESIDE_A_BODY + self.most);
        let taken = ledger.wait_evicting(holder, Resource::SmallBodyBytes, amount, MEMORY_WITHIN).await;
        self.memory = Some(taken.inspect_err(|_| self.incoming.turn_away())?);
        if self.is_announced {
            self.body.reserve(usize::try_from(self.most).unwrap_or(self.limit));
        }
        Ok(())
    }

    /// Takes the next chunk; false at the end.
    async fn next(&mut self) -> Result<bool, WholeError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let coming = tokio::time::timeout(left.min(self.app.idle()), self.incoming.next());
        let came = unless_evicted(self.app, &mut self.memory, coming).await;
        match came.inspect_err(|_| self.incoming.turn_away())? {
            Ok(None) => return Ok(false),
            Ok(Some(Ok(chunk))) if self.body.len() + chunk.len() <= self.limit => {
                self.body.extend_from_slice(&chunk);
                self.chunks += 1;
            }
            Ok(Some(Ok(_))) => return Err(WholeError::TooLarge(self.limit)),
            Ok(Some(Err(_))) => return Err(WholeError::Broken),
            Err(_) => return Err(WholeError::TooSlow),
        }
        if is_crumbs(self.chunks, self.body.len() as u64) { Err(WholeError::Crumbs) } else { Ok(true) }
    }
}

/// Waits for a future, unless the memory of the body is evicted meanwhile.
async fn unless_evicted<T>(
    app: &App,
    memory: &mut Option<Evictable>,
    work: impl Future<Output = T>,
) -> Result<T, LimitReached> {
    let Some(memory) = memory else { return Ok(work.await) };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = memory.evicted() => Err(app.ledger.total_reached(Resource::SmallBodyBytes)),
    }
}

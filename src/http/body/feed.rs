//! Bodies of blobs, which are handed to the registry in batches while they are received.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Payload};
use tokio::sync::mpsc;

use super::batch::Batch;
use super::content_length;
use super::incoming::Incoming;
use crate::app::App;
use crate::http::requests::WINDOW;
use crate::limits::{Charge, Holder, LimitReached, Resource};
use crate::registry::{Body, BodyPart, Chunks, RegistryError};

/// A body with at most this many announced bytes is collected before the registry gets it.
pub const COLLECT: u64 = 256 << 10;
/// The size of a batch while many bodies are received. Handing one over costs a switch of threads.
pub const BATCH: usize = 128 << 10;
/// The size of a batch while few bodies are received.
pub const LARGEST_BATCH: usize = 1 << 20;
/// Bytes of the batches that all bodies with a slot are collecting. For each body up to two more batches are
/// being written or wait for that.
const BATCHES: usize = 8 << 20;
/// Bytes that are read ahead while a batch is handed over. The web framework keeps a buffer of this size, or
/// of twice this size, for the connection until it is closed.
const AHEAD: usize = 256 << 10;
/// The most bytes that all connections together read ahead.
const AHEAD_BY_ALL: usize = 16 << 20;
/// Bytes that a body may send before it needs a slot among the bodies that are received at once.
pub const FREE: usize = 16 << 10;
/// How long a slot may be held for one batch.
const PLACE_FOR: Duration = Duration::from_secs(2);
/// How long a body keeps its slot while others wait for one.
const TURN: Duration = Duration::from_secs(1);

/// Feeds the body of a request to `work`, and returns its result. The client may pause for as long as
/// `app.idle`. If `work` ends early, the rest of the body is not read, and the connection is closed after the
/// response.
///
/// The caller must hold the session that the body belongs to, so that a body with a slot waits only for the
/// disk.
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
    let counted = app.registry.admit(holder, Resource::Bodies, 1).await?;
    let length = content_length(request);
    let mut intake = Intake::new(Incoming::new(request, payload), length, app, holder);
    let first = match length {
        Some(length) => {
            let filled = intake.fill(if length <= COLLECT { usize::MAX } else { FREE }).await;
            Some((intake.batch.take(), filled))
        }
        // A body of unknown length belongs where the upload stands now, so the registry must see it before
        // its first byte.
        None => None,
    };
    let first = match first {
        Some((chunks, Filled::Complete)) => {
            // The body was received completely. The work may then hash the whole upload again, for minutes,
            // so the slot is released as soon as the bytes are written.
            let chunks = Chunks::charged(chunks, intake.place.take());
            drop(intake);
            return work(Body::whole(chunks).counted(counted)).await;
        }
        Some((_, Filled::Busy(reached))) => return Err(reached.into()),
        // A longer body, one of unknown length, or one that was cut off: the registry gets it as a stream.
        first => first,
    };
    let (sender, receiver) = mpsc::channel(1);
    let mut work = pin!(work(Body::stream(receiver).counted(counted)));
    let pump = pin!(pump(intake, sender, first));
    tokio::select! {
        biased;
        // The work ended before the body, usually with an error.
        result = &mut work => return result,
        busy = pump => if let Some(reached) = busy {
            // What was received is kept, but the response must say that a limit was the reason.
            let _ = work.await;
            return Err(reached.into());
        }
    }
    work.await
}

/// Sends the first bytes, then batch after batch until the body ends. Returns the limit that was reached if
/// the wait for a slot of [`Resource::BodyPlaces`] timed out. A stream that ends without [`BodyPart::End`]
/// was cut off.
async fn pump(
    mut intake: Intake<'_>,
    sender: mpsc::Sender<BodyPart>,
    first: Option<(Vec<Bytes>, Filled)>,
) -> Option<LimitReached> {
    let (mut batch, mut filled) = if let Some(first) = first {
        first
    } else {
        let filled = intake.fill(FREE).await;
        (intake.batch.take(), filled)
    };
    loop {
        let chunks = intake.hand_over(batch, &filled);
        // The receiver is closed when the work has failed; its result says why.
        if !chunks.is_empty() && sender.send(BodyPart::Data(chunks)).await.is_err() {
            return None;
        }
        match filled {
            Filled::Full | Filled::Slow => {}
            // `End` is what tells a complete body from one that was cut off.
            Filled::Complete => {
                let _ = sender.send(BodyPart::End).await;
                return None;
            }
            Filled::Cut => return None,
            Filled::Busy(reached) => return Some(reached),
        }
        // Back-pressure: collect the next batch when the registry has taken this one.
        intake.rest();
        if sender.reserve().await.is_err() {
            return None;
        }
        intake.go_on();
        filled = intake.fill(intake.batch_size()).await;
        batch = intake.batch.take();
    }
}

/// Why the collection of a batch ended.
#[derive(Clone, PartialEq, Eq)]
enum Filled {
    /// It has the requested number of bytes.
    Full,
    /// The client is slow: hand over what was received.
    Slow,
    /// The body is complete.
    Complete,
    /// The client disconnected, paused for too long, or sends tiny chunks.
    Cut,
    /// Too many bodies are being received.
    Busy(LimitReached),
}

/// A body that is being received. It holds a slot ([`Resource::BodyPlaces`]) only while it comes in fast, so
/// that slow bodies do not block others.
struct Intake<'a> {
    incoming: Incoming,
    length: Option<u64>,
    app: &'a App,
    holder: &'a Holder,
    batch: Batch,
    place: Option<Arc<Charge>>,
    /// When it got the slot.
    since: Instant,
}

impl<'a> Intake<'a> {
    fn new(incoming: Incoming, length: Option<u64>, app: &'a App, holder: &'a Holder) -> Self {
        Self { incoming, length, app, holder, batch: Batch::default(), place: None, since: Instant::now() }
    }

    /// Makes a batch for the registry. The batch holds the slot until its bytes are written. A body that is
    /// slow, or that has had the slot for a turn, must then ask for a slot again, and the ledger serves
    /// waiting bodies first.
    fn hand_over(&mut self, batch: Vec<Bytes>, filled: &Filled) -> Chunks {
        let chunks = Chunks::charged(batch, self.place.clone());
        if *filled == Filled::Slow || self.since.elapsed() >= TURN {
            self.place = None;
        }
        chunks
    }

    /// Stops reading while the registry has not taken the last batch, unless the body has a slot.
    fn rest(&self) {
        if self.place.is_none() {
            self.incoming.pause();
        }
    }

    /// Continues after [`Intake::rest`].
    fn go_on(&self) {
        if self.place.is_none() {
            self.incoming.resume();
        }
    }

    /// The present size of a batch.
    fn batch_size(&self) -> usize {
        share(self.app.ledger.total(Resource::BodyPlaces))
    }

    /// Collects `wanted` bytes, or fewer at the end of the body and from slow clients.
    async fn fill(&mut self, wanted: usize) -> Filled {
        let mut patience = Instant::now() + PLACE_FOR;
        while self.batch.bytes() < wanted {
            // More than the free part: from here on the body needs a slot.
            if self.place.is_none() && self.batch.bytes() >= FREE && !self.is_all() {
                if let Err(reached) = self.take_place().await {
                    return Filled::Busy(reached);
                }
                patience = Instant::now() + PLACE_FOR;
            }
            let wait = match self.place {
                Some(_) => patience.saturating_duration_since(Instant::now()).min(self.app.idle()),
                None => self.app.idle(),
            };
            match tokio::time::timeout(wait, self.incoming.next()).await {
                Ok(Some(Ok(chunk))) => self.batch.push(chunk),
                Ok(None) => return Filled::Complete,
                // With a slot, a pause ends the batch, and later the slot; without one, it ends the body.
                Err(_) if self.place.is_some() => return Filled::Slow,
                Ok(Some(Err(_))) | Err(_) => return Filled::Cut,
            }
            if self.batch.is_crumbs() {
                return Filled::Cut;
            }
        }
        Filled::Full
    }

    async fn take_place(&mut self) -> Result<(), LimitReached> {
        self.incoming.pause();
        self.place = Some(Arc::new(self.app.registry.admit(self.holder, Resource::BodyPlaces, 1).await?));
        self.since = Instant::now();
        let connections = [Resource::Connections, Resource::UserConnections];
        self.incoming.set_window(ahead(connections.map(|kind| self.app.ledger.total(kind)).iter().sum()));
        Ok(())
    }

    /// Whether every announced byte was received, so that only the end of the body is missing.
    fn is_all(&self) -> bool {
        self.length.is_some_and(|length| self.batch.total() >= length)
    }
}

/// The bytes that each of so many connections reads ahead.
fn ahead(connections: u64) -> usize {
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    (AHEAD_BY_ALL / connections).clamp(WINDOW, AHEAD)
}

/// The size of a batch while this many bodies have a slot.
fn share(bodies: u64) -> usize {
    let bodies = usize::try_from(bodies).unwrap_or(usize::MAX).max(1);
    (BATCHES / bodies).clamp(BATCH, LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_large_while_few_bodies_come_in() {
        let few = BATCHES / LARGEST_BATCH;
        assert!([0, 1, few].iter().all(|bodies| share(*bodies as u64) == LARGEST_BATCH));
        for bodies in few..=BATCHES / BATCH {
            assert!(share(bodies as u64) * bodies <= BATCHES, "{bodies} bodies");
        }
        assert_eq!(share(u64::MAX), BATCH);
    }

    #[test]
    fn many_connections_read_little_ahead() {
        assert_eq!([0, 1, 64].map(ahead), [AHEAD; 3]);
        assert_eq!([1024, u64::MAX].map(ahead), [WINDOW; 2]);
        for connections in 64..=1024 {
            assert!(ahead(connections as u64) * connections <= AHEAD_BY_ALL, "{connections} connections");
        }
    }
}

//! Bodies of blobs, which are handed to the registry while they come.

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

/// Up to this many announced bytes a body is collected before the registry sees it.
pub const COLLECT: u64 = 256 << 10;
/// Bytes that are handed over at once while many bodies come in. Each hand-over costs a change of threads.
pub const BATCH: usize = 128 << 10;
/// Bytes that are handed over at once while few bodies come in.
pub const LARGEST_BATCH: usize = 1 << 20;
/// Bytes of the batches that all bodies with a place gather. Up to two more batches of each are written or
/// wait for it.
const BATCHES: usize = 8 << 20;
/// Bytes that are read ahead while a batch is handed over. The web framework keeps a buffer of that size, or
/// twice as large, for the connection until it is closed.
const AHEAD: usize = 256 << 10;
/// What all connections together may keep so.
const AHEAD_BY_ALL: usize = 16 << 20;
/// Bytes that a body may have sent without a place among those that are received at once.
pub const FREE: usize = 16 << 10;
/// How long a place may be held for one batch.
const PLACE_FOR: Duration = Duration::from_secs(2);
/// How long a body keeps its place before others that wait for one have their turn.
const TURN: Duration = Duration::from_secs(1);

/// Feeds the body of a request to `work`, and returns what `work` makes of it. The client may say nothing for
/// as long as `app.idle`. Work that ends early leaves the rest of the body unread; the connection is then
/// closed after the answer.
///
/// The caller holds the session that the body is for, so that a body with a place waits for nothing but the
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
        // It belongs where the upload stands now, so the registry hears of it before anything comes.
        None => None,
    };
    let first = match first {
        Some((chunks, Filled::Complete)) => {
            // Nothing more comes. The work may hash all of the upload again, for minutes: others have the
            // place as soon as the bytes are written.
            let chunks = Chunks::charged(chunks, intake.place.take());
            drop(intake);
            return work(Body::whole(chunks).counted(counted)).await;
        }
        Some((_, Filled::Busy(reached))) => return Err(reached.into()),
        first => first,
    };
    let (sender, receiver) = mpsc::channel(1);
    let mut work = pin!(work(Body::stream(receiver).counted(counted)));
    let pump = pin!(pump(intake, sender, first));
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

/// Sends the first bytes, then batch after batch until the body ends. Returns the limit that was reached when
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
        // The registry stops listening when its work has failed; its answer says why.
        if !chunks.is_empty() && sender.send(BodyPart::Data(chunks)).await.is_err() {
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
        intake.rest();
        if sender.reserve().await.is_err() {
            return None;
        }
        intake.go_on();
        filled = intake.fill(intake.batch_size()).await;
        batch = intake.batch.take();
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

/// A body that comes in. Only while much of it comes at once it holds one of the places for bodies: slow ones
/// keep none away from others.
struct Intake<'a> {
    incoming: Incoming,
    length: Option<u64>,
    app: &'a App,
    holder: &'a Holder,
    batch: Batch,
    place: Option<Arc<Charge>>,
    /// Since when it has the place.
    since: Instant,
}

impl<'a> Intake<'a> {
    fn new(incoming: Incoming, length: Option<u64>, app: &'a App, holder: &'a Holder) -> Self {
        Self { incoming, length, app, holder, batch: Batch::default(), place: None, since: Instant::now() }
    }

    /// A batch for the registry, which keeps the place until its bytes are written. A body that is slow, or
    /// has had the place for a turn, asks for one again: the ledger serves those first that wait.
    fn hand_over(&mut self, batch: Vec<Bytes>, filled: &Filled) -> Chunks {
        let chunks = Chunks::charged(batch, self.place.clone());
        if *filled == Filled::Slow || self.since.elapsed() >= TURN {
            self.place = None;
        }
        chunks
    }

    /// The registry has not taken the last batch yet. Without a place nothing more is read.
    fn rest(&self) {
        if self.place.is_none() {
            self.incoming.pause();
        }
    }

    /// Goes on after [`Intake::rest`].
    fn go_on(&self) {
        if self.place.is_none() {
            self.incoming.resume();
        }
    }

    /// How many bytes to gather now.
    fn batch_size(&self) -> usize {
        share(self.app.ledger.total(Resource::BodyPlaces))
    }

    /// Gathers `wanted` bytes, or fewer at the end and from slow clients.
    async fn fill(&mut self, wanted: usize) -> Filled {
        let mut patience = Instant::now() + PLACE_FOR;
        while self.batch.bytes() < wanted {
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

    /// Whether every announced byte has come: then only the end of the body is still to be read.
    fn is_all(&self) -> bool {
        self.length.is_some_and(|length| self.batch.total() >= length)
    }
}

/// The bytes that a connection reads ahead while there are so many of them.
fn ahead(connections: u64) -> usize {
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    (AHEAD_BY_ALL / connections).clamp(WINDOW, AHEAD)
}

/// The bytes of a batch while so many bodies have a place.
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

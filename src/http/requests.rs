//! What the guard of a connection (`server::guard`) must know of the requests on it: whether one is running,
//! how much of its body may be read ahead, and whether its handler wants the body.
//!
//! The web framework reads 128 KiB into its buffer and queues as much again before a handler asks for a byte.
//! So bytes are counted here, outside of it: the guard reads at most the window ahead of what the handler has
//! taken.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::rt::time::{Instant, sleep_until};

use crate::limits::{Charge, Evictable, Holder, HolderId, Ledger, LimitReached, Resource};
use crate::model::names::UserId;

/// Bytes of a body that are read before its handler asks for them.
pub const WINDOW: usize = 16 << 10;

/// From this many concurrent requests on, the next piece of a response is produced only when everything
/// before it was sent. Otherwise the web framework would fill a buffer of 256 KiB for each slow client.
const CROWD: usize = 16;

/// How long an evicted connection of a trusted proxy may still begin a request. A proxy may open very many
/// connections at once, and sends its requests right after.
const SILENT_FOR: Duration = Duration::from_secs(1);

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// The number of requests of the public listeners that are being answered.
pub fn in_flight() -> usize {
    IN_FLIGHT.load(Ordering::Relaxed)
}

/// The requests of one connection.
#[derive(Clone, Debug, Default)]
pub struct Requests(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: Cell<u32>,
    begun: Cell<u64>,
    /// The announced length of the current request's body.
    body: Cell<Option<u64>>,
    /// Bytes of that body that were received while its request was running.
    read: Cell<u64>,
    /// Those of them that were received since the handler last found nothing to take.
    untaken: Cell<usize>,
    /// The most bytes that may be untaken.
    window: Cell<usize>,
    /// Whether the handler has asked for the body.
    wanted: Cell<bool>,
    /// Whether the connection ends with the response.
    turned_away: Cell<bool>,
    /// The task of the guard, while it waits for one of these to change.
    guard: RefCell<Option<Waker>>,
    counted: RefCell<Option<Counted>>,
    /// The state of a trusted proxy's connection without a request.
    silence: RefCell<Option<Silence>>,
    /// Whether a piece of a response was handed out and not sent yet.
    has_unsent: Cell<bool>,
    /// Whether the rest of the response waits for that.
    is_held: Cell<bool>,
}

/// The principal for whom the connection is counted.
#[derive(Debug)]
struct Counted {
    /// The address that it comes from.
    address: HolderId,
    /// Charged to the address; once a user has signed in, to that user.
    charge: Charge,
}

/// A connection of a trusted proxy before its first request.
#[derive(Debug)]
enum Silence {
    /// It is counted among the silent ones, and can be evicted.
    Counted(Evictable),
    /// It was evicted for another connection, and is closed at this time.
    EndsAt(Instant),
}

impl Requests {
    /// Whether a request is running.
    pub fn running(&self) -> bool {
        self.0.running.get() > 0
    }

    /// The number of requests so far.
    pub fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    /// How many bytes of the current request's body may be read now.
    pub fn readable(&self) -> usize {
        let left = self.0.body.get().map_or(u64::MAX, |length| length.saturating_sub(self.0.read.get()));
        let room = self.0.window.get().saturating_sub(self.0.untaken.get());
        usize::try_from(left).unwrap_or(usize::MAX).min(room)
    }

    /// Counts bytes of the body that were read.
    pub fn note_read(&self, bytes: usize) {
        self.0.read.set(self.0.read.get() + bytes as u64);
        self.0.untaken.set(self.0.untaken.get() + bytes);
    }

    /// Whether bytes after the last request may still be its body, which must be read if it was refused
    /// early.
    pub fn may_drain(&self) -> bool {
        self.begun() > 0 && self.0.body.get() != Some(0)
    }

    /// Makes the connection end with the response: it exceeds a limit of its client, or the beginning of its
    /// next request is unknown. The response does not wait until the client has sent its body, because
    /// meanwhile the connection would take the slot of another one.
    pub(crate) fn turn_away(&self) {
        self.0.turned_away.set(true);
    }

    /// Whether the connection ends with the response.
    pub fn is_turned_away(&self) -> bool {
        self.0.turned_away.get()
    }

    /// Whether the handler of the current request has asked for its body.
    pub fn body_is_wanted(&self) -> bool {
        self.0.wanted.get()
    }

    /// Registers the guard to be woken when more may be read, when the body is wanted, or when the request
    /// was answered.
    pub fn wake_guard(&self, waker: &Waker) {
        self.0.guard.replace(Some(waker.clone()));
    }

    /// Records that everything handed out was sent. Returns whether the rest of a response has waited for
    /// that, so that its task must be woken.
    pub fn note_sent(&self) -> bool {
        self.0.has_unsent.set(false);
        self.0.is_held.replace(false)
    }

    /// Whether the next piece of a response may be handed out. If not, [`note_sent`](Self::note_sent) tells
    /// when to ask again.
    pub(crate) fn may_send(&self) -> bool {
        let may = !self.0.has_unsent.get() || in_flight() < CROWD;
        self.0.is_held.set(!may);
        may
    }

    /// Records that a piece of a response was handed out.
    pub(crate) fn note_handed_out(&self) {
        self.0.has_unsent.set(true);
    }

    /// Begins a request, which runs until the returned value is dropped.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Running {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = if headers.contains_key(TRANSFER_ENCODING) { None } else { announced.or(Some(0)) };
        let counts = &self.0;
        counts.body.set(length);
        counts.read.set(0);
        counts.untaken.set(0);
        counts.window.set(WINDOW);
        counts.wanted.set(false);
        counts.begun.set(counts.begun.get() + 1);
        counts.silence.take();
        counts.running.set(counts.running.get() + 1);
        IN_FLIGHT.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    /// Counts this connection for an address without a sign-in. Behind a proxy the address may change from
    /// request to request.
    pub fn count_for(&self, ledger: &Arc<Ledger>, address: Option<IpAddr>) -> Result<(), LimitReached> {
        let id = HolderId::of_address(address);
        let mut counted = self.0.counted.borrow_mut();
        if counted.as_ref().is_none_or(|counted| counted.address != id) {
            *counted = None;
            let charge = ledger.charge(&Holder::address(address), Resource::Connections, 1)?;
            *counted = Some(Counted { address: id, charge });
        }
        Ok(())
    }

    /// Counts this connection of a trusted proxy until its first request begins: a proxy keeps many
    /// connections, but sends at once on each that it opens. If there are too many, the one that has been
    /// silent longest is evicted.
    pub fn count_silent(&self, ledger: &Arc<Ledger>, proxy: IpAddr) {
        let place = ledger.count_evicting(&Holder::address(Some(proxy)), Resource::SilentConnections, 1);
        self.0.silence.replace(Some(Silence::Counted(place)));
    }

    /// When this connection must be closed because it was evicted and no request has begun. Until it is
    /// evicted, this task is woken when that changes.
    pub fn poll_end(&self, context: &mut Context<'_>) -> Poll<Instant> {
        let mut silence = self.0.silence.borrow_mut();
        match &mut *silence {
            Some(Silence::Counted(place)) => {
                ready!(place.poll_evicted(context));
                let end = Instant::now() + SILENT_FOR;
                *silence = Some(Silence::EndsAt(end));
                Poll::Ready(end)
            }
            Some(Silence::EndsAt(end)) => Poll::Ready(*end),
            None => Poll::Pending,
        }
    }

    /// Waits until the connection must be closed because it was evicted.
    pub async fn ended(&self) {
        let end = poll_fn(|context| self.poll_end(context)).await;
        sleep_until(end).await;
    }

    /// Records that a user has signed in over this connection: from now on it counts for the user, and no
    /// longer for the address, which many users may share. If the user has too many connections, it stays
    /// with the address.
    pub(crate) fn signed_in(
        &self,
        ledger: &Arc<Ledger>,
        user: UserId,
        holder: impl FnOnce() -> Holder,
    ) -> Result<(), LimitReached> {
        if let Some(counted) = &mut *self.0.counted.borrow_mut()
            && counted.charge.holder() != HolderId::User(user)
        {
            counted.charge = ledger.charge(&holder(), Resource::UserConnections, 1)?;
        }
        Ok(())
    }

    /// Records that the handler is about to read the body.
    pub(crate) fn want_body(&self) {
        if !self.0.wanted.replace(true) {
            self.wake();
        }
    }

    /// Records that the handler has taken every byte that the web framework had.
    pub(crate) fn taken(&self) {
        self.0.untaken.set(0);
        self.wake();
    }

    /// Sets how far ahead of the handler the guard may read.
    pub(crate) fn set_window(&self, bytes: usize) {
        let before = self.0.window.replace(bytes);
        if bytes > before {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.0.guard.take() {
            waker.wake();
        }
    }
}

/// A running request, until the end of its response.
pub(crate) struct Running(Requests);

impl Running {
    pub(crate) const fn requests(&self) -> &Requests {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        let running = &self.0.0.running;
        running.set(running.get().saturating_sub(1));
        self.0.wake();
    }
}

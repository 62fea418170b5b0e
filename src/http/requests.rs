//! The requests of one connection, as far as its guard (`server::guard`) has to know them: whether one runs,
//! how much of its body may be read ahead, and whether its handler wants the body at all.
//!
//! The web framework reads 128 KiB into its buffer and queues as much again before a handler asks for a byte.
//! So the bytes are counted here, outside of it: the guard reads no more than the window above what the
//! handler has taken.

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

/// From so many requests at once on, an answer goes on only when all that was handed out of it was sent. The
/// web framework would fill a buffer of 256 KiB for each client that does not read.
const CROWD: usize = 16;

/// How long a connection of a trusted proxy that has lost its place may still begin a request. A proxy may
/// open very many connections at once, and its requests follow.
const SILENT_FOR: Duration = Duration::from_secs(1);

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Requests of the public listeners that are answered now.
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
    /// Bytes of the present request's body, where they are announced.
    body: Cell<Option<u64>>,
    /// Bytes of the present body that came while its request ran.
    read: Cell<u64>,
    /// Those of them that came since the handler last found nothing to take.
    untaken: Cell<usize>,
    /// How many these may be.
    window: Cell<usize>,
    /// The handler has asked for the body.
    wanted: Cell<bool>,
    /// The connection ends with the answer.
    turned_away: Cell<bool>,
    /// The guard, while it waits for one of these to change.
    guard: RefCell<Option<Waker>>,
    counted: RefCell<Option<Counted>>,
    /// Of a trusted proxy's connection without a request.
    silence: RefCell<Option<Silence>>,
    /// Something that was handed out of an answer was not sent yet.
    has_unsent: Cell<bool>,
    /// The rest of the answer waits for that.
    is_held: Cell<bool>,
}

/// Whom the connection counts for.
#[derive(Debug)]
struct Counted {
    /// The address that it is from.
    address: HolderId,
    /// Of the address; once a user has signed in, of that user.
    charge: Charge,
}

/// A connection of a trusted proxy before its first request.
#[derive(Debug)]
enum Silence {
    /// It has a place among the silent ones.
    Counted(Evictable),
    /// It has lost the place to another connection. It is closed at this time.
    EndsAt(Instant),
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

    /// How many bytes of the present request's body may be read now.
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

    /// Whether what comes after the last request may still be its body, which is read on when it was refused
    /// early.
    pub fn may_drain(&self) -> bool {
        self.begun() > 0 && self.0.body.get() != Some(0)
    }

    /// The connection is one too many of its client, or the beginning of its next request is unknown. It ends
    /// with the answer, which need not wait until the client has sent its body: while it waits, the
    /// connection takes the place of another one.
    pub(crate) fn turn_away(&self) {
        self.0.turned_away.set(true);
    }

    /// Whether the connection ends with the answer.
    pub fn is_turned_away(&self) -> bool {
        self.0.turned_away.get()
    }

    /// Whether the handler of the present request has asked for its body.
    pub fn body_is_wanted(&self) -> bool {
        self.0.wanted.get()
    }

    /// Has the guard woken when more may be read, when the body is wanted, or when the request was answered.
    pub fn wake_guard(&self, waker: &Waker) {
        self.0.guard.replace(Some(waker.clone()));
    }

    /// Everything that was handed out was sent. Whether the rest of an answer has waited for that: its task
    /// is to be woken.
    pub fn note_sent(&self) -> bool {
        self.0.has_unsent.set(false);
        self.0.is_held.replace(false)
    }

    /// Whether the next piece of an answer may be handed out. If not, [`note_sent`](Self::note_sent) says
    /// when to ask again.
    pub(crate) fn may_send(&self) -> bool {
        let may = !self.0.has_unsent.get() || in_flight() < CROWD;
        self.0.is_held.set(!may);
        may
    }

    /// A piece of an answer was handed out.
    pub(crate) fn note_handed_out(&self) {
        self.0.has_unsent.set(true);
    }

    /// A request begins; it runs until what is returned is dropped.
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

    /// Counts this connection for an address that has not signed in. Behind a proxy it is another one from
    /// time to time.
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

    /// Counts this connection of a trusted proxy until its first request begins: the proxy keeps many, but
    /// sends at once on each that it opens. Where there are too many of them, the one that has been silent
    /// longest loses its place.
    pub fn count_silent(&self, ledger: &Arc<Ledger>, proxy: IpAddr) {
        let place = ledger.count_evicting(&Holder::address(Some(proxy)), Resource::SilentConnections, 1);
        self.0.silence.replace(Some(Silence::Counted(place)));
    }

    /// When this connection is to be closed if no request begins, because another one has its place. While
    /// none has, this task is woken when that changes.
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

    /// Waits until the connection is to be closed because another one has its place.
    pub async fn ended(&self) {
        let end = poll_fn(|context| self.poll_end(context)).await;
        sleep_until(end).await;
    }

    /// A user has signed in over this connection: it counts for the user from now on, and no longer for the
    /// address, which may be that of many users. Where the user has too many, it stays with the address.
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

    /// The handler is about to read the body.
    pub(crate) fn want_body(&self) {
        if !self.0.wanted.replace(true) {
            self.wake();
        }
    }

    /// The handler has taken every byte that the web framework had.
    pub(crate) fn taken(&self) {
        self.0.untaken.set(0);
        self.wake();
    }

    /// Reads at most this far ahead of the handler from now on.
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

/// A request until the end of its answer.
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

//! How long, and for how many bytes, a connection may stand without a whole request. The web framework limits the time
//! of the first head alone; a later one could come a byte a minute, and any may have 128 KiB.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::time::{Instant, Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::Requests;

/// Bytes of a head that every connection may have sent before its request begins.
const FREE: usize = 16 << 10;
/// Bytes of heads above that, of all connections together.
const POOL: usize = 24 << 20;
/// What the web framework keeps of a head at most.
const LARGEST: usize = 128 << 10;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A connection that is closed when no request comes out of it.
pub(super) struct Patient<T> {
    stream: T,
    requests: Requests,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Requests that had begun when the counting below did.
    counted_from: u64,
    /// Bytes that came since while no request ran.
    read: usize,
    /// Bytes of the pool that they have taken.
    taken: usize,
    /// The web framework was given the chance to find the end of the head in what it has.
    yielded: bool,
}

impl<T> Patient<T> {
    /// `limit` is how long a connection may stand without a request after its last one.
    pub(super) fn new(stream: T, limit: Duration) -> Self {
        let requests = Requests::default();
        Self { stream, requests, limit, timer: None, counted_from: 0, read: 0, taken: 0, yielded: false }
    }

    /// The requests of this connection, for whoever serves them.
    pub(super) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    pub(super) const fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Starts to count again: a request has begun, so that what came before is no head any more.
    fn restart(&mut self) {
        TAKEN.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
        self.read = 0;
        self.yielded = false;
        self.timer = None;
        self.counted_from = self.requests.begun();
    }

    /// Whether there is room for more of a head. What is read on after an early refusal is thrown away by the web
    /// framework, but counts as well: it cannot be told apart here.
    fn take_room(&mut self) -> bool {
        let wanted = self.read.min(LARGEST).saturating_sub(FREE);
        let more = wanted.saturating_sub(self.taken);
        if more == 0 {
            return true;
        }
        let fits = TAKEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken + more <= POOL).then_some(taken + more)
            })
            .is_ok();
        if fits {
            self.taken += more;
        }
        fits
    }
}

impl<T> Drop for Patient<T> {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.requests.running() || this.requests.begun() != this.counted_from {
            this.restart();
        }
        if this.requests.running() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let limit = this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.read >= FREE && !this.yielded {
            // It reads as long as there is something to read, and most of this may be the body of a request.
            this.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !this.take_room() {
            tracing::debug!("a connection is closed: too many large heads are on their way");
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.read += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! How long a connection may stand without a whole request, and how much of it is read ahead. The web framework limits
//! the time of the first head alone: a later one could come a byte a minute. It keeps 128 KiB of any head, and takes all
//! requests apart that it finds in 128 KiB while the first of them is answered: 20 MiB of memory.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::time::{Instant, Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::Requests;

/// Bytes of a head that every connection may have sent before its request begins.
pub const FREE: usize = 16 << 10;
/// Bytes of heads above that, of all connections together.
pub const POOL: usize = 24 << 20;
/// Bytes that are read at once while no request runs: some heads, and not too many requests that were sent ahead.
const STEP: usize = 1 << 10;
/// Bytes that may come before a request begins; looking for its end again and again in more of them costs much time.
pub const LARGEST_HEAD: usize = 32 << 10;
/// What the web framework keeps of a head at most.
const LARGEST: usize = 128 << 10;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A connection that is closed when no request comes out of it.
pub(super) struct Patient<T> {
    stream: T,
    requests: Requests,
    limit: Duration,
    /// When it is closed if no request begins; `None` while one runs.
    deadline: Option<Instant>,
    /// Fires at the deadline or at an earlier one, and is set anew only then: a request costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    /// Requests that had begun when the counting below did.
    counted_from: u64,
    /// Bytes that came since while no request ran.
    read: usize,
    /// Bytes of the pool that they have taken.
    taken: usize,
    /// Bytes that were read without giving the web framework the chance to find a whole head in them.
    step: usize,
    /// Bytes that were read while the present request ran.
    ahead: u64,
}

impl<T> Patient<T> {
    /// `limit` is how long a connection may stand without a request after its last one.
    pub(super) fn new(stream: T, limit: Duration) -> Self {
        let requests = Requests::default();
        Self {
            stream,
            requests,
            limit,
            deadline: None,
            timer: None,
            counted_from: 0,
            read: 0,
            taken: 0,
            step: 0,
            ahead: 0,
        }
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
        self.step = 0;
        self.ahead = 0;
        self.deadline = None;
        self.counted_from = self.requests.begun();
    }

    /// Whether the time is up; this task is woken when it is.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
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

impl<T: AsyncRead + Unpin> Patient<T> {
    /// Reads while a request runs: its body, and nothing of what was sent ahead.
    fn read_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(length) = self.requests.body() else {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        };
        let left = usize::try_from(length.saturating_sub(self.ahead)).unwrap_or(usize::MAX);
        if left == 0 {
            self.requests.wake_after(context.waker());
            return Poll::Pending;
        }
        self.ahead += ready!(read_some(&mut self.stream, context, buffer, left))? as u64;
        Poll::Ready(Ok(()))
    }
}

/// Reads at most `limit` bytes.
fn read_some<T: AsyncRead + Unpin>(
    stream: &mut T,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let before = buffer.filled().len();
    if buffer.remaining() <= limit {
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        return Poll::Ready(Ok(buffer.filled().len() - before));
    }
    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
    ready!(Pin::new(stream).poll_read(context, &mut part))?;
    let read = part.filled().len();
    buffer.advance(read);
    Poll::Ready(Ok(read))
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
            return this.read_body(context, buffer);
        }
        if this.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // Its end is looked for from its beginning each time: in a large head more rarely.
        let step = if this.read < 4 * STEP { STEP } else { 8 * STEP };
        if this.step >= step {
            this.step = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.read > LARGEST_HEAD && !this.requests.may_drain() {
            tracing::debug!("a connection is closed: its head is too large");
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if !this.take_room() {
            tracing::debug!("a connection is closed: too many large heads are on their way");
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let read = ready!(read_some(&mut this.stream, context, buffer, step - this.step))?;
        this.step += read;
        this.read += read;
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

//! The guard between a connection and the web framework: it limits how long a connection may stay without a
//! complete request and how much is read ahead, and answers what is not a request.
//!
//! The web framework limits only the time of the first head: a later one could arrive a byte a minute. It
//! keeps 128 KiB of any head, parses all pipelined requests that it finds in 128 KiB while the first of them
//! is answered, and reads 128 KiB of a body for which no handler has asked.

mod head;
mod interim;
mod old_post;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::time::{Instant, Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use head::{FREE_HEAD, HEAD_POOL, LARGEST_HEAD};
pub(super) use refusal::Why;

use self::head::Head;
use self::interim::Interim;
use self::old_post::OldPost;
use self::refusal::Refusal;
use super::handshakes::TlsConnection;
use super::hello::TLS_HANDSHAKE;
use crate::http::Requests;

/// A connection that is closed if no request begins in time.
pub(super) struct ConnectionGuard<T> {
    stream: T,
    peer: Option<SocketAddr>,
    requests: Requests,
    limit: Duration,
    /// When it is closed if no request begins; `None` while one is running.
    deadline: Option<Instant>,
    /// Fires at the deadline or earlier, and is only then set again, so that a request need not set a timer.
    timer: Option<Pin<Box<Sleep>>>,
    /// The number of requests that had begun when the head below began.
    counted_from: u64,
    head: Head,
    old_post: OldPost,
    interim: Interim,
    /// Whether everything that the web framework has written was sent.
    is_flushed: bool,
    refusal: Option<Refusal>,
    /// Counts the TLS connection until it is dropped.
    tls: Option<TlsConnection>,
}

impl<T> ConnectionGuard<T> {
    /// `limit` is how long a connection may stay without a request after its last one.
    pub(super) fn new(stream: T, peer: Option<SocketAddr>, requests: Requests, limit: Duration) -> Self {
        Self {
            stream,
            peer,
            requests,
            limit,
            deadline: None,
            timer: None,
            counted_from: 0,
            head: Head::default(),
            old_post: OldPost::default(),
            interim: Interim::default(),
            is_flushed: true,
            refusal: None,
            tls: None,
        }
    }

    /// Holds the count of a TLS connection.
    pub(super) fn count_until_closed(&mut self, connection: TlsConnection) {
        self.tls = Some(connection);
    }

    /// The requests of this connection, for the service that answers them.
    pub(super) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    pub(super) const fn get_ref(&self) -> &T {
        &self.stream
    }

    /// Answers everything that is received with this refusal.
    pub(super) fn refuse(&mut self, why: Why) {
        self.refusal = Some(Refusal::new(why, self.peer));
    }

    /// Starts a new head: a request has begun, so that what was received before belongs to it.
    fn restart(&mut self) {
        if !self.head.is_new() {
            self.head = Head::default();
        }
        self.deadline = None;
        self.counted_from = self.requests.begun();
    }

    /// Whether the deadline is earlier now, because the connection was evicted; if not, this task is woken
    /// when it is.
    fn must_end_sooner(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(end) = self.requests.poll_end(context) else { return false };
        let is_sooner = self.deadline.is_some_and(|deadline| end < deadline);
        if is_sooner {
            (self.deadline, self.timer) = (Some(end), None);
        }
        is_sooner
    }

    /// Whether the deadline has passed; if not, this task is woken when it does.
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
}

impl<T: AsyncRead + AsyncWrite + Unpin> ConnectionGuard<T> {
    /// Reads while a request is running: its body, as far as the handler wants it, and no pipelined request.
    fn read_body(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_held() {
            if self.requests.body_is_wanted() {
                ready!(self.interim.poll_send(&mut self.stream, context))?;
            } else {
                self.requests.wake_guard(context.waker());
            }
        }
        let readable = self.requests.readable();
        // Back-pressure: the handler wakes this task when it wants more.
        if readable == 0 {
            self.requests.wake_guard(context.waker());
            return Poll::Pending;
        }
        let read = ready!(read_some(&mut self.stream, context, buffer, readable))?;
        self.requests.note_read(read);
        Poll::Ready(Ok(()))
    }

    /// Reads a head, while no request is running.
    fn read_head(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.is_late(context) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let step = self.head.step();
            // The web framework must look for the end of the head before more bytes are read.
            if step == 0 {
                if self.old_post.is_holding() {
                    continue;
                }
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.head.is_too_large() {
                self.old_post.release();
            }
            if self.head.is_too_large() && !self.requests.may_drain() {
                // A response that is still being sent must be completed first.
                if !self.is_flushed {
                    return Poll::Pending;
                }
                self.refuse(Why::LargeHead);
                return self.poll_refusal(context);
            }
            if !self.head.take_room() {
                tracing::debug!("a connection is closed: too many large heads are on their way");
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            let before = buffer.filled().len();
            let is_new = self.head.is_new();
            let read = match read_some(&mut self.stream, context, buffer, step) {
                // Everything was read, so that the client gets the response instead of a reset.
                Poll::Pending if self.is_flushed && self.requests.is_turned_away() => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if self.must_end_sooner(context) => continue,
                read => ready!(read)?,
            };
            self.head.note_read(read);
            // The first byte of a connection is that of a TLS handshake.
            if is_new && self.is_flushed && buffer.filled().get(before) == Some(&TLS_HANDSHAKE) {
                buffer.set_filled(before);
                self.refuse(Why::Tls);
                return self.poll_refusal(context);
            }
            // The client has closed its side: nothing will complete the bytes that wait.
            if read == 0 {
                self.old_post.release();
            }
            self.old_post.take(buffer, before, is_new);
            if !self.old_post.is_holding() {
                self.old_post.pass(buffer);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Ends the connection when the client has read the refusal.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.refusal {
            Some(refusal) => refusal.poll(&mut self.stream, context).map(Ok),
            None => Poll::Ready(Ok(())),
        }
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

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ConnectionGuard<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refusal(context);
        }
        if this.old_post.pass(buffer) {
            return Poll::Ready(Ok(()));
        }
        let running = this.requests.running();
        if running || this.requests.begun() != this.counted_from {
            this.restart();
        }
        if running { this.read_body(context, buffer) } else { this.read_head(context, buffer) }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ConnectionGuard<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let held = this.interim.hold(bytes, this.requests.body_is_wanted());
        if held > 0 {
            return Poll::Ready(Ok(held));
        }
        if this.is_flushed
            && !this.requests.running()
            && let Some(why) = Why::of_framework(bytes)
        {
            this.refuse(why);
            return Poll::Ready(Ok(bytes.len()));
        }
        this.is_flushed = false;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refusal(context);
        }
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if this.requests.note_sent() {
            context.waker().wake_by_ref();
        }
        this.is_flushed = !this.requests.running();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refusal(context);
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(context, first.map_or(&[], |slice| slice))
    }
}

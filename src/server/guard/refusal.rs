//! The response to bytes that never became a request, in the form of every other error (distribution-spec,
//! "Error Codes"). The web framework would close the connection, or answer without a body and without a line
//! in the log.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt::time::{Instant, Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::LARGEST_HEAD;

/// How long the client may take to read the response.
const LINGER: Duration = Duration::from_secs(2);
/// How many more bytes are read meanwhile, so that the response is not lost to a reset.
const READ_ON: usize = 1 << 20;
const SCRATCH: usize = 4 << 10;

/// Why the bytes of a client are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Why {
    /// Its head is too large.
    LargeHead,
    /// Its head has too many lines.
    ManyHeaders,
    /// It is not HTTP/1.1.
    Malformed,
    /// It is the beginning of a TLS handshake. docker, podman and crane try TLS before plain HTTP, so this is
    /// not an error. Go's TLS library recognises by a response in plain HTTP that the port has no TLS.
    Tls,
    /// The client took too long.
    Slow,
    /// Its address has too many connections.
    ManyConnections,
}

impl Why {
    /// The refusal in place of the web framework's own response, which has no body and none of the usual
    /// headers.
    pub(super) fn of_framework(answer: &[u8]) -> Option<Self> {
        let why = match answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)? {
            b"400" => Self::Malformed,
            b"408" => Self::Slow,
            b"431" => Self::ManyHeaders,
            _ => return None,
        };
        let says = |wanted: &[u8]| answer.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
        (says(b"\ncontent-length: 0\r") && !says(b"\nx-request-id:")).then_some(why)
    }

    const fn status(self) -> &'static str {
        match self {
            Self::LargeHead | Self::ManyHeaders => "431 Request Header Fields Too Large",
            Self::Malformed | Self::Tls => "400 Bad Request",
            Self::Slow => "408 Request Timeout",
            Self::ManyConnections => "503 Service Unavailable",
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::ManyConnections => "UNAVAILABLE",
            _ => "UNSUPPORTED",
        }
    }

    fn message(self) -> String {
        match self {
            Self::LargeHead => format!(
                "the head of the request has more than {} KiB, the most that is read here; \
                 send fewer or smaller headers (cookies, for example)",
                LARGEST_HEAD >> 10
            ),
            Self::ManyHeaders => "the request has too many header lines; send fewer".to_owned(),
            Self::Malformed => {
                "the request is not valid HTTP/1.1; a client or a proxy in between is wrong".to_owned()
            }
            Self::Tls => "this port speaks plain HTTP and not TLS: use http:// instead of https://, or set \
                          server.tls.cert_file and server.tls.key_file"
                .to_owned(),
            Self::Slow => "the head of the request came too slowly; send it again".to_owned(),
            Self::ManyConnections => {
                "too many connections of this address have not signed in (half of server.max_connections); \
                 try again when some of them are closed"
                    .to_owned()
            }
        }
    }

    fn answer(self) -> Vec<u8> {
        let body = format!(r#"{{"errors":[{{"code":"{}","message":"{}"}}]}}"#, self.code(), self.message());
        let retry = if self == Self::ManyConnections { "Retry-After: 5\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n",
            self.status(),
            body.len()
        );
        (head + &body).into_bytes()
    }
}

/// A response that is being sent. After it the connection is closed.
pub(super) struct Refusal {
    answer: Vec<u8>,
    /// The connection exceeds a limit, so it does not wait for its client.
    is_short: bool,
    written: usize,
    is_shut: bool,
    read: usize,
    timer: Pin<Box<Sleep>>,
}

impl Refusal {
    /// Begins to refuse, and logs it.
    pub(super) fn new(why: Why, peer: Option<SocketAddr>) -> Self {
        let (peer, status) = (peer.map(tracing::field::display), why.status());
        if why == Why::Tls {
            tracing::debug!(peer, status, "a TLS handshake was refused: {}", why.message());
        } else {
            tracing::info!(peer, status, "a request was refused: {}", why.message());
        }
        let timer = Box::pin(sleep_until(Instant::now() + LINGER));
        let is_short = why == Why::ManyConnections;
        Self { answer: why.answer(), is_short, written: 0, is_shut: false, read: 0, timer }
    }

    /// Writes the response and waits until the client has read it; then the connection may be closed.
    pub(super) fn poll<T>(&mut self, stream: &mut T, context: &mut Context<'_>) -> Poll<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        // If the client has disconnected, an error does not matter.
        let _ = ready!(self.poll_answer(stream, context));
        Poll::Ready(())
    }

    fn poll_answer<T>(&mut self, stream: &mut T, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        while self.written < self.answer.len() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, &self.answer[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if !self.is_shut {
            ready!(Pin::new(&mut *stream).poll_flush(context))?;
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            self.is_shut = true;
        }
        let mut scratch = [0; SCRATCH];
        while self.read < READ_ON {
            let mut unread = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut unread) {
                Poll::Pending if self.is_short => break,
                read => ready!(read)?,
            }
            if unread.filled().is_empty() {
                break;
            }
            self.read += unread.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

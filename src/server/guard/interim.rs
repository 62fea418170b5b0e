//! `100 Continue` (RFC 9110, section 10.1.1): sent when a handler asks for the body, after it has
//! authenticated the caller. The web framework would send it before anything is known of the request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The interim response to the current request.
#[derive(Default)]
pub(super) struct Interim {
    /// The part of it that is held back.
    held: &'static [u8],
}

impl Interim {
    /// How many bytes of what the web framework writes are held back. If it writes anything else, that is the
    /// final response, and the interim one must not be sent any more.
    pub(super) fn hold(&mut self, bytes: &[u8], body_is_wanted: bool) -> usize {
        if bytes.starts_with(CONTINUE) && !body_is_wanted {
            self.held = CONTINUE;
            return CONTINUE.len();
        }
        // Once its first byte was sent, all of it must be sent.
        if self.held.len() == CONTINUE.len() {
            self.held = &[];
        }
        0
    }

    pub(super) const fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Sends it.
    pub(super) fn poll_send<T>(&mut self, stream: &mut T, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(context, self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held = &self.held[written..];
        }
        Pin::new(stream).poll_flush(context)
    }
}

//! The response body of a blob: bytes in the page cache are read on the async thread, others on a blocking
//! thread.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, vec};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::task::JoinHandle;

use super::range::Span;
use crate::model::media_type::OCTET_STREAM;
use crate::registry::{BlobContent, BlobReader, Piece};

/// Parts of a blob as a body of known length. The headers between parts are generated when they are sent, so
/// that a response with thousands of parts takes little memory.
pub(crate) struct BlobBody {
    blob: BlobContent,
    /// The parts that are not sent yet.
    parts: vec::IntoIter<Span>,
    /// The boundary between several parts.
    boundary: Option<String>,
    size: u64,
    /// The header of the next part is the first of the body.
    is_first: bool,
    /// The part that is being sent.
    reader: Option<BlobReader>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl BlobBody {
    /// A body of one part.
    pub(crate) fn part(blob: BlobContent, part: Span) -> Self {
        Self::new(blob, vec![part], None)
    }

    /// A body of several parts in this order, as `multipart/byteranges`.
    pub(crate) fn parts(blob: BlobContent, parts: Vec<Span>, boundary: String) -> Self {
        Self::new(blob, parts, Some(boundary))
    }

    fn new(blob: BlobContent, parts: Vec<Span>, boundary: Option<String>) -> Self {
        let mut body = Self {
            blob,
            parts: Vec::new().into_iter(),
            boundary,
            size: 0,
            is_first: true,
            reader: None,
            reading: None,
        };
        body.size = parts.iter().map(|part| part.len).sum();
        if let Some(boundary) = &body.boundary {
            let heads =
                parts.iter().map(|part| head(boundary, *part, body.blob.size(), false).len()).sum::<usize>();
            // The first header begins without a line break.
            body.size += (heads - LINE_BREAK.len() + end(boundary).len()) as u64;
        }
        body.parts = parts.into_iter();
        body
    }

    /// The header of the next part, which then begins; `None` at the end.
    fn next_part(&mut self) -> Option<Bytes> {
        match (self.parts.next(), &self.boundary) {
            (Some(part), boundary) => {
                self.reader = Some(self.blob.reader(part.start, part.len));
                let is_first = std::mem::take(&mut self.is_first);
                let text = boundary.as_ref().map(|boundary| head(boundary, part, self.blob.size(), is_first));
                Some(text.unwrap_or_default().into())
            }
            (None, Some(_)) => self.boundary.take().map(|boundary| end(&boundary).into()),
            (None, None) => None,
        }
    }
}

const LINE_BREAK: &str = "\r\n";

fn head(boundary: &str, part: Span, size: u64, is_first: bool) -> String {
    let line_break = if is_first { "" } else { LINE_BREAK };
    let range = part.content_range(size);
    format!("{line_break}--{boundary}\r\nContent-Type: {OCTET_STREAM}\r\nContent-Range: {range}\r\n\r\n")
}

fn end(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

impl MessageBody for BlobBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        let this = &mut *self;
        loop {
            let Some(reader) = &mut this.reader else {
                match this.next_part() {
                    None => return Poll::Ready(None),
                    Some(text) if text.is_empty() => continue,
                    Some(text) => return Poll::Ready(Some(Ok(text))),
                }
            };
            if let Some(reading) = &mut this.reading {
                let read = ready!(Pin::new(reading).poll(context));
                this.reading = None;
                let read = read.map_err(io::Error::other).flatten();
                return Poll::Ready(Some(read.and_then(|bytes| reader.received(bytes))));
            }
            match reader.next_piece() {
                Ok(Piece::Data(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(Piece::Pending(reading)) => this.reading = Some(reading),
                Ok(Piece::End) => this.reader = None,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// A body with a length and no bytes: the response to `HEAD`.
pub(crate) struct HeadBody(pub(crate) u64);

impl MessageBody for HeadBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

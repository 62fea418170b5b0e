//! The body of a blob's answer: bytes from the page cache inline, from the disk by a blocking thread.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::task::JoinHandle;

use crate::registry::{BlobReader, Piece};

/// What the body consists of, in order.
pub(crate) enum Section {
    /// Bytes that are there.
    Text(Bytes),
    /// A part of a blob.
    Blob(Box<BlobReader>),
}

/// A body of known length, made of sections.
pub(crate) struct BlobBody {
    /// The sections still to come, the next one last.
    sections: Vec<Section>,
    size: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl BlobBody {
    /// The body that sends `sections` in order.
    pub(crate) fn new(mut sections: Vec<Section>) -> Self {
        let size = sections
            .iter()
            .map(|section| match section {
                Section::Text(text) => text.len() as u64,
                Section::Blob(reader) => reader.remaining(),
            })
            .sum();
        sections.reverse();
        Self { sections, size, reading: None }
    }
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
            let Some(section) = this.sections.last_mut() else { return Poll::Ready(None) };
            let reader = match section {
                Section::Text(text) => {
                    let text = std::mem::take(text);
                    this.sections.pop();
                    return Poll::Ready(Some(Ok(text)));
                }
                Section::Blob(reader) => reader,
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
                Ok(Piece::End) => drop(this.sections.pop()),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// A body that has a length and no bytes: the answer to `HEAD`.
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

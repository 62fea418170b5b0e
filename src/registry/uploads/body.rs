//! A request body on its way to an upload.

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

/// A piece of a streamed body.
#[derive(Debug)]
pub enum BodyPart {
    /// Bytes in the order in which they came.
    Data(Vec<Bytes>),
    /// The body is complete. A stream that ends without this was cut off.
    End,
}

/// A request body.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Vec<Bytes>),
    /// The pieces as they come.
    Stream(Receiver<BodyPart>),
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self::Whole(Vec::new())
    }

    /// The next piece; `None` when the client was cut off.
    pub(super) async fn next(&mut self) -> Option<BodyPart> {
        match self {
            Self::Whole(chunks) if chunks.is_empty() => Some(BodyPart::End),
            Self::Whole(chunks) => Some(BodyPart::Data(std::mem::take(chunks))),
            Self::Stream(receiver) => receiver.recv().await,
        }
    }
}

/// The `Content-Range` of a chunk (distribution-spec, end-5): both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

impl ContentRange {
    /// Bytes of the chunk.
    pub const fn len(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }

    /// A range holds one byte at least.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Bytes in a list of chunks.
pub(super) fn total(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

//! A request body on its way to an upload.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use crate::limits::Charge;

/// Bytes of a body in the order in which they came, with what the limits count for them. They are counted for
/// as long as they are in memory, also when their client is gone.
#[derive(Debug, Default)]
pub struct Chunks {
    bytes: Vec<Bytes>,
    _charge: Option<Arc<Charge>>,
}

impl Chunks {
    /// Bytes that count as this.
    pub const fn charged(bytes: Vec<Bytes>, charge: Option<Arc<Charge>>) -> Self {
        Self { bytes, _charge: charge }
    }

    /// How many bytes they are.
    pub(super) fn total(&self) -> u64 {
        total(&self.bytes)
    }
}

impl From<Vec<Bytes>> for Chunks {
    fn from(bytes: Vec<Bytes>) -> Self {
        Self::charged(bytes, None)
    }
}

impl Deref for Chunks {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        &self.bytes
    }
}

/// A piece of a streamed body.
#[derive(Debug)]
pub enum BodyPart {
    /// Bytes in the order in which they came.
    Data(Chunks),
    /// The body is complete. A stream that ends without this was cut off.
    End,
}

/// A request body.
#[derive(Debug)]
pub struct Body {
    parts: Parts,
    _charge: Option<Charge>,
}

#[derive(Debug)]
enum Parts {
    /// All of it.
    Whole(Chunks),
    /// The pieces as they come.
    Stream(Receiver<BodyPart>),
}

impl Body {
    /// A body that is there.
    pub fn whole(chunks: impl Into<Chunks>) -> Self {
        Self { parts: Parts::Whole(chunks.into()), _charge: None }
    }

    /// A body whose pieces come one after the other.
    pub const fn stream(pieces: Receiver<BodyPart>) -> Self {
        Self { parts: Parts::Stream(pieces), _charge: None }
    }

    /// A body without bytes.
    pub fn empty() -> Self {
        Self::whole(Vec::new())
    }

    /// The same, counted as this until the upload has no use for it any more.
    #[must_use]
    pub fn counted(self, charge: Charge) -> Self {
        Self { _charge: Some(charge), ..self }
    }

    /// All of the body, if it is there and has the length of its range. Otherwise nothing is taken.
    pub(super) fn take_whole(&mut self, range: Option<ContentRange>) -> Chunks {
        match &mut self.parts {
            Parts::Whole(chunks) if range.is_none_or(|range| range.len() == chunks.total()) => {
                std::mem::take(chunks)
            }
            _ => Chunks::default(),
        }
    }

    /// The next piece; `None` when the client was cut off.
    pub(super) async fn next(&mut self) -> Option<BodyPart> {
        match &mut self.parts {
            Parts::Whole(chunks) if chunks.is_empty() => Some(BodyPart::End),
            Parts::Whole(chunks) => Some(BodyPart::Data(std::mem::take(chunks))),
            Parts::Stream(receiver) => receiver.recv().await,
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

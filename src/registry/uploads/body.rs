//! The body of an upload request.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use crate::limits::Charge;

/// Bytes of a body in order, with the charge for their memory. The charge lives as long as the bytes do, also
/// when the client has disconnected.
#[derive(Debug, Default)]
pub struct Chunks {
    bytes: Vec<Bytes>,
    _charge: Option<Arc<Charge>>,
}

impl Chunks {
    /// Bytes with their charge.
    pub const fn charged(bytes: Vec<Bytes>, charge: Option<Arc<Charge>>) -> Self {
        Self { bytes, _charge: charge }
    }

    /// The number of bytes.
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
    /// The whole body.
    Whole(Chunks),
    /// The pieces as they are received.
    Stream(Receiver<BodyPart>),
}

impl Body {
    /// A body that was received completely.
    pub fn whole(chunks: impl Into<Chunks>) -> Self {
        Self { parts: Parts::Whole(chunks.into()), _charge: None }
    }

    /// A body whose pieces are received one after the other.
    pub const fn stream(pieces: Receiver<BodyPart>) -> Self {
        Self { parts: Parts::Stream(pieces), _charge: None }
    }

    /// A body without bytes.
    pub fn empty() -> Self {
        Self::whole(Vec::new())
    }

    /// The same body, with a charge that is held until the upload has used it.
    #[must_use]
    pub fn counted(self, charge: Charge) -> Self {
        Self { _charge: Some(charge), ..self }
    }

    /// Takes the whole body, if it was received and has the length of its range; otherwise takes nothing.
    pub(super) fn take_whole(&mut self, range: Option<ContentRange>) -> Chunks {
        match &mut self.parts {
            Parts::Whole(chunks) if range.is_none_or(|range| range.len() == chunks.total()) => {
                std::mem::take(chunks)
            }
            _ => Chunks::default(),
        }
    }

    /// The next piece; `None` when the connection broke.
    pub(super) async fn next(&mut self) -> Option<BodyPart> {
        match &mut self.parts {
            Parts::Whole(chunks) if chunks.is_empty() => Some(BodyPart::End),
            Parts::Whole(chunks) => Some(BodyPart::Data(std::mem::take(chunks))),
            Parts::Stream(receiver) => receiver.recv().await,
        }
    }
}

/// The `Content-Range` of a chunk (distribution-spec, "Pushing a blob in chunks"): both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

impl ContentRange {
    /// The number of bytes.
    pub const fn len(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }

    /// A range has at least one byte.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// The number of bytes in a list of chunks.
pub(super) fn total(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

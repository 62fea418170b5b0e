//! Reads: manifests, blobs, lists; ranges and large blobs.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::connection::Connection;
use crate::content::{Content, Digest, same};
use crate::failure::Failure;
use crate::random::Random;
use crate::request::Template;

/// One response in this many is hashed.
const SAMPLE: u64 = 64;
/// How much of each piece of a large body is compared.
const PROBE: usize = 64;

/// A small object that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    /// The text for the gap in the request.
    pub(crate) name: String,
    /// The length of the response's body.
    pub(crate) length: u64,
    pub(crate) digest: Digest,
}

/// Reads one object of many.
pub(crate) struct Fetch {
    request: Template,
    things: Arc<[Thing]>,
    random: Random,
    /// How many were read.
    count: u64,
}

impl Fetch {
    pub(crate) fn new(request: Template, things: &Arc<[Thing]>) -> Self {
        Self { request, things: Arc::clone(things), random: Random::unique(), count: 0 }
    }

    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        let thing = &self.things[self.random.below(self.things.len())];
        let request = self.request.fill(&thing.name);
        let head_only = request.starts_with(b"HEAD ");
        let sampled = !head_only && self.count.is_multiple_of(SAMPLE);
        self.count += 1;
        let length = if sampled {
            let mut hash = Sha256::new();
            let length = connection.exchange(request, 200, &mut |piece| hash.update(piece)).await?;
            same(hash, thing.digest, &thing.name)?;
            length
        } else {
            connection.exchange(request, 200, &mut |_| ()).await?
        };
        if length != thing.length {
            return Err(Failure(format!("{}: {length} bytes instead of {}", thing.name, thing.length)));
        }
        Ok(if head_only { 0 } else { length })
    }
}

/// Reads a large blob or a part of it. The body is compared piece by piece; the first complete blob is
/// hashed.
pub(crate) struct Download {
    pub(crate) request: Template,
    pub(crate) content: Arc<Content>,
    /// The length of the blob.
    pub(crate) size: usize,
    /// The length of a range; `None`: the whole blob.
    pub(crate) part: Option<usize>,
    /// The digest of the blob, if it must still be checked.
    pub(crate) digest: Option<Digest>,
    pub(crate) random: Random,
    /// The last range.
    pub(crate) range: String,
}

impl Download {
    pub(crate) async fn run(&mut self, connection: &mut Connection) -> Result<u64, Failure> {
        let length = self.part.unwrap_or(self.size);
        let offset = self.random.below(self.size - length + 1);
        let status = if self.part.is_some() { 206 } else { 200 };
        self.range.clear();
        if self.part.is_some() {
            let _ = write!(self.range, "Range: bytes={offset}-{}\r\n", offset + length - 1);
        }
        let mut hash = self.digest.take().map(|digest| (Sha256::new(), digest));
        let (mut right, mut at) = (true, offset);
        let mut check = |piece: &[u8]| {
            right &= self.content.agrees(self.size, at, &piece[..piece.len().min(PROBE)]);
            at += piece.len();
            if let Some((hash, _)) = &mut hash {
                hash.update(piece);
            }
        };
        let received = connection.exchange(self.request.fill(&self.range), status, &mut check).await?;
        if received != length as u64 {
            return Err(Failure(format!("{received} bytes instead of {length}")));
        }
        if !right {
            return Err(Failure("wrong bytes in a large blob".into()));
        }
        if let Some((hash, digest)) = hash {
            same(hash, digest, "the large blob")?;
        }
        Ok(received)
    }
}

//! Reads blobs for downloads and verifies them: small blobs always, large ones if their file changed since
//! its content was last hashed. A response with wrong bytes is broken off before its end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::Registry;
use super::error::RegistryError;
use crate::model::digest::{Digest, Hasher};
use crate::model::units::exact_size;
use crate::store::blob::{BlobFile, Stamp};
use crate::store::meta::schema::{self, Blob};
use crate::store::meta::{StoreError, Tx as _};

/// A blob of at most this many bytes is read, hashed and sent as one piece.
pub const SMALL: u64 = 64 << 10;
/// Bytes read at once.
const CHUNK: usize = 512 << 10;
/// When there are many readers, the bytes that all of them together read at once. The pieces wait in memory
/// until clients take them.
const CHUNKS: usize = 8 << 20;
/// The fewest bytes that are read at once.
const SMALLEST_CHUNK: usize = 16 << 10;

/// The number of requests that read a large blob at this moment.
#[derive(Default)]
pub(super) struct Readers(Arc<AtomicUsize>);

impl Readers {
    fn begin(&self) -> Arc<Reading> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Arc::new(Reading { readers: Arc::clone(&self.0) })
    }

    /// Whether there is such a request.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// One such request, however many parts of the blob it reads.
struct Reading {
    readers: Arc<AtomicUsize>,
}

impl Reading {
    /// How many bytes it may read at once now.
    fn chunk(&self) -> usize {
        let readers = self.readers.load(Ordering::Relaxed).max(1);
        (CHUNKS / readers).clamp(SMALLEST_CHUNK, CHUNK)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A blob that is open for reading.
pub struct BlobContent {
    registry: Arc<Registry>,
    file: Arc<dyn BlobFile>,
    digest: Digest,
    generation: u32,
    size: u64,
    suspect: bool,
    reading: OnceLock<Arc<Reading>>,
}

impl BlobContent {
    pub(super) async fn open(
        registry: &Arc<Registry>,
        digest: &Digest,
        row: &Blob,
    ) -> Result<Self, RegistryError> {
        let opened = match registry.blobs.open(digest) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
            other => Ok(other?),
        };
        let problem = match opened {
            Err(problem) => problem,
            Ok(None) => "the file is missing".to_owned(),
            Ok(Some(file)) if file.size() != row.size => {
                format!("{} instead of {}", exact_size(file.size()), row.size)
            }
            Ok(Some(file)) => {
                return Ok(Self {
                    registry: Arc::clone(registry),
                    suspect: file.stamp() != row.verified,
                    file,
                    digest: *digest,
                    generation: row.generation,
                    size: row.size,
                    reading: OnceLock::new(),
                });
            }
        };
        registry.mark_corrupt(digest, row.generation, &problem).await;
        Err(RegistryError::BlobUnknown(*digest))
    }

    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The whole blob, verified, if it is small.
    pub async fn small(&self) -> Result<Option<Bytes>, RegistryError> {
        if self.size > SMALL {
            return Ok(None);
        }
        let len = usize::try_from(self.size).unwrap_or(usize::MAX);
        let read = match self.file.try_read(0, len) {
            Ok(Some(bytes)) if bytes.len() == len => Ok(bytes),
            _ => {
                let file = Arc::clone(&self.file);
                self.registry.blocking(move || file.read(0, len)).await?
            }
        };
        match read {
            Ok(bytes) if Digest::of(self.digest.algorithm(), &bytes) == self.digest => Ok(Some(bytes)),
            Ok(_) => {
                self.registry.mark_corrupt(&self.digest, self.generation, "another content").await;
                Err(RegistryError::BlobUnknown(self.digest))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.registry.mark_corrupt(&self.digest, self.generation, "fewer bytes").await;
                Err(RegistryError::BlobUnknown(self.digest))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads `len` bytes from `start` on, in pieces.
    pub fn reader(&self, start: u64, len: u64) -> BlobReader {
        let whole = start == 0 && len == self.size;
        let reading = self.reading.get_or_init(|| self.registry.readers.begin());
        BlobReader {
            verify: (whole && self.suspect)
                .then(|| Verify { hasher: Hasher::new(self.digest.algorithm()), stamp: self.file.stamp() }),
            registry: Arc::clone(&self.registry),
            file: Arc::clone(&self.file),
            digest: self.digest,
            generation: self.generation,
            position: start,
            end: start + len,
            reading: Arc::clone(reading),
        }
    }
}

struct Verify {
    hasher: Hasher,
    stamp: Stamp,
}

/// The next piece of a reader.
pub enum Piece {
    /// Bytes to send.
    Data(Bytes),
    /// The page cache does not have the bytes: a blocking read is under way. Pass its result to
    /// [`BlobReader::received`].
    Pending(JoinHandle<io::Result<Bytes>>),
    /// The end.
    End,
}

/// A part of a blob, read piece by piece.
pub struct BlobReader {
    registry: Arc<Registry>,
    file: Arc<dyn BlobFile>,
    digest: Digest,
    generation: u32,
    position: u64,
    end: u64,
    verify: Option<Verify>,
    reading: Arc<Reading>,
}

impl BlobReader {
    /// Bytes that are not read yet.
    pub const fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// The next piece, without blocking if the page cache has it.
    pub fn next_piece(&mut self) -> io::Result<Piece> {
        if self.position == self.end {
            return Ok(Piece::End);
        }
        let len = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(self.reading.chunk());
        match self.file.try_read(self.position, len)? {
            Some(bytes) if !bytes.is_empty() => self.received(bytes).map(Piece::Data),
            _ => {
                let (file, position) = (Arc::clone(&self.file), self.position);
                Ok(Piece::Pending(self.registry.runtime.spawn_blocking(move || file.read(position, len))))
            }
        }
    }

    /// Processes the result of a blocking read. While a blob is being verified, its last piece is held back
    /// until the hash is correct; otherwise the error closes the connection before the client has the whole
    /// blob.
    pub fn received(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        if bytes.is_empty() {
            self.damaged("fewer bytes");
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += bytes.len() as u64;
        if let Some(verify) = &mut self.verify {
            verify.hasher.update(&bytes);
            if self.position == self.end {
                self.conclude()?;
            }
        }
        Ok(bytes)
    }

    fn conclude(&mut self) -> io::Result<()> {
        let Some(Verify { hasher, stamp }) = self.verify.take() else { return Ok(()) };
        if hasher.finish() != self.digest {
            self.damaged("another content");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the stored bytes are damaged"));
        }
        let (registry, digest, generation) = (Arc::clone(&self.registry), self.digest, self.generation);
        self.registry.runtime.spawn(async move {
            let noted = registry.meta.write(move |tx| {
                match tx.get(&schema::BLOB, &digest)? {
                    Some(blob) if blob.generation == generation => {
                        tx.put(&schema::BLOB, &digest, &Blob { verified: stamp, ..blob })
                    }
                    _ => Ok::<_, StoreError>(()),
                }
            });
            if let Err(error) = noted.await {
                tracing::warn!(%digest, %error, "a verification was not recorded; the next read verifies again");
            }
        });
        Ok(())
    }

    fn damaged(&self, found: &'static str) {
        let (registry, digest, generation) = (Arc::clone(&self.registry), self.digest, self.generation);
        self.registry.runtime.spawn(async move { registry.mark_corrupt(&digest, generation, found).await });
    }
}

#[cfg(test)]
impl Readers {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

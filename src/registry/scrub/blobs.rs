//! One blob: its row, its file, and what is proven about it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::quarantine::hidden_blob;
use super::{Run, TRIES, takes_no_changes};
use crate::model::digest::{Digest, Hasher};
use crate::model::units::exact_size;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::fsck::{self, Verdict};
use crate::store::blob::{BlobFile, BlobStore, Stamp};
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Raw, Row as _, StoreError, Tx as _, WriteTx};

/// Bytes read at once. At a low rate fewer, so that the disk is read evenly.
const CHUNK: usize = 512 << 10;
const SMALLEST_CHUNK: usize = 16 << 10;

/// The rest before a file is opened again for which the server had no handle or no memory.
const EXHAUSTED_REST: Duration = Duration::from_secs(1);

/// What reading a blob's file shows.
enum Seen {
    /// It has the right bytes.
    Whole(Stamp),
    /// It does not: what is wrong, and the stamp of the file that was read, if there is one.
    Damaged { kind: &'static str, expected: String, found: String, stamp: Option<Stamp> },
    /// It cannot be read, which proves nothing: the error may be temporary.
    Unreadable(String),
    /// The server has no file handle or no memory left for it, which says nothing about the file.
    Exhausted(io::Error),
    /// The run was ended.
    Ended,
}

/// What became of a verdict.
enum Settled {
    /// It is recorded: so many blobs are hidden and shown by it.
    Recorded(u64, u64),
    /// The file is not the one any more that was read.
    Replaced,
}

impl Run<'_> {
    pub(super) fn blob(&mut self, digest: &Digest) -> Result<(), RegistryError> {
        let mut exhausted = None;
        for _ in 0..TRIES {
            let row = self.registry.meta.get(|tx| tx.get(&schema::BLOB.raw(), digest));
            let row = match row {
                Err(StoreError::Corrupt { table }) => {
                    self.unreadable_row(digest, table);
                    return Ok(());
                }
                row => row?,
            };
            // It was collected meanwhile, or is only named.
            let Some(Raw(row)) = row else { return Ok(()) };
            let Some(blob) = Blob::decode(&row) else {
                self.unreadable_row(digest, schema::BLOB.name());
                return Ok(());
            };
            if blob.state == BlobState::Deleting {
                return Ok(());
            }
            match self.look(digest, &blob) {
                Seen::Ended => {
                    self.is_cut = true;
                    return Ok(());
                }
                Seen::Exhausted(error) => {
                    exhausted = Some(error);
                    if !self.wait(EXHAUSTED_REST) {
                        self.is_cut = true;
                        return Ok(());
                    }
                }
                Seen::Unreadable(error) => {
                    self.done.blobs += 1;
                    self.finding(Some(digest), "blob_unreadable", (exact_size(blob.size), error));
                    return Ok(());
                }
                Seen::Whole(stamp) => {
                    let verdict =
                        Verdict { digest: *digest, generation: blob.generation, whole: Some(stamp) };
                    if blob.state == BlobState::Corrupt {
                        match self.settle(verdict, Some(stamp)) {
                            Ok(Settled::Recorded(_, shown)) => self.done.shown += shown,
                            Ok(Settled::Replaced) => continue,
                            Err(error) if takes_no_changes(&error) => {
                                tracing::error!(%digest, %error, "a blob that is whole again could not be shown");
                            }
                            Err(error) => return Err(error),
                        }
                    } else if stamp != blob.verified {
                        self.verified.push(verdict);
                    }
                    self.done.blobs += 1;
                    return Ok(());
                }
                Seen::Damaged { kind, expected, found, stamp } => {
                    let verdict = Verdict { digest: *digest, generation: blob.generation, whole: None };
                    if let Some((kind, found)) = self.damaged(verdict, &blob, (kind, found, stamp))? {
                        self.done.blobs += 1;
                        self.finding(Some(digest), kind, (expected, found));
                        return Ok(());
                    }
                }
            }
        }
        // Otherwise it is pushed all the time, and each push verifies it.
        exhausted.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Hides a blob whose file is damaged: what was found, in the end; `None` where the file was replaced.
    fn damaged(
        &mut self,
        verdict: Verdict,
        blob: &Blob,
        (kind, found, stamp): (&'static str, String, Option<Stamp>),
    ) -> Result<Option<(&'static str, String)>, RegistryError> {
        if blob.state == BlobState::Corrupt {
            return Ok(Some(("blob_corrupt", format!("recorded as damaged; {found}"))));
        }
        match self.settle(verdict, stamp) {
            Ok(Settled::Recorded(0, _) | Settled::Replaced) => Ok(None),
            Ok(Settled::Recorded(hidden, _)) => {
                self.done.hidden += hidden;
                Ok(Some((kind, found)))
            }
            Err(error) if takes_no_changes(&error) || matches!(error, RegistryError::Io(_)) => {
                tracing::error!(digest = %verdict.digest, %error, "a damaged blob could not be hidden");
                Ok(Some((kind, format!("{found}; it could not be hidden: {error}"))))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a blob's file.
    fn look(&mut self, digest: &Digest, blob: &Blob) -> Seen {
        let damaged = |kind, found: String, stamp| {
            let expected = if kind == "blob_content" { digest.to_string() } else { exact_size(blob.size) };
            Seen::Damaged { kind, expected, found, stamp }
        };
        match self.registry.blobs.open(digest) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                damaged("blob_unreadable", error.to_string(), None)
            }
            Err(error) if is_exhausted(&error) => Seen::Exhausted(error),
            Err(error) => Seen::Unreadable(error.to_string()),
            Ok(None) => damaged("blob_file_missing", "no file".to_owned(), None),
            Ok(Some(file)) if file.size() != blob.size => {
                damaged("blob_size", exact_size(file.size()), Some(file.stamp()))
            }
            Ok(Some(file)) => match self.hash_surely(&file, digest) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    damaged("blob_size", "fewer bytes".to_owned(), Some(file.stamp()))
                }
                Err(error) if is_exhausted(&error) => Seen::Exhausted(error),
                Err(error) => Seen::Unreadable(error.to_string()),
                Ok(None) => Seen::Ended,
                Ok(Some(actual)) if actual == *digest => Seen::Whole(file.stamp()),
                Ok(Some(actual)) => damaged("blob_content", actual.to_string(), Some(file.stamp())),
            },
        }
    }

    /// The digest of a file; `None` when the run was ended. One that is wrong is computed once more from the
    /// disk: memory or a bus may have changed what was read, and not the file.
    fn hash_surely(&mut self, file: &Arc<dyn BlobFile>, digest: &Digest) -> io::Result<Option<Digest>> {
        let first = self.hash(file, digest)?;
        if first.is_none_or(|actual| actual == *digest) {
            return Ok(first);
        }
        file.forget(0, usize::try_from(file.size()).unwrap_or(usize::MAX));
        self.hash(file, digest)
    }

    /// The digest of a file, as it is read; `None` when the run was ended.
    fn hash(&mut self, file: &Arc<dyn BlobFile>, digest: &Digest) -> io::Result<Option<Digest>> {
        // The page cache keeps what clients read, and not what only the scrub has read.
        let is_cached = file.try_read(0, 1).is_ok_and(|read| read.is_some_and(|bytes| !bytes.is_empty()));
        let mut hasher = Hasher::new(digest.algorithm());
        let mut offset = 0;
        loop {
            let began = Instant::now();
            let chunk = file.read(offset, self.chunk())?;
            hasher.update(&chunk);
            if !is_cached {
                file.forget(offset, chunk.len());
            }
            offset += chunk.len() as u64;
            self.done.bytes += chunk.len() as u64;
            let goes_on = self.rest(chunk.len() as u64, began.elapsed());
            if offset >= file.size() {
                return Ok(Some(hasher.finish()));
            }
            if !goes_on {
                return Ok(None);
            }
        }
    }

    /// How many bytes are read at once: a tenth of a second of the rate.
    fn chunk(&self) -> usize {
        match self.registry.limits.load().scrub_rate {
            0 => CHUNK,
            rate => usize::try_from(rate / 10).unwrap_or(CHUNK).clamp(SMALLEST_CHUNK, CHUNK),
        }
    }

    /// Records a verdict about the file with this stamp; `None`: about there being no file.
    fn settle(&self, verdict: Verdict, stamp: Option<Stamp>) -> Result<Settled, RegistryError> {
        let registry = Arc::clone(&self.registry);
        self.registry.runtime.block_on(async move {
            // Spawned, so that the lock and the change go together whatever becomes of this thread.
            registry.detached(settle(Arc::clone(&registry), verdict, stamp)).await
        })
    }
}

/// The generation of a blob starts at 1 again after it was collected and pushed again, so its file is
/// compared, too. With the lock of the digest, no file comes or goes until the verdict is recorded.
async fn settle(
    registry: Arc<Registry>,
    verdict: Verdict,
    stamp: Option<Stamp>,
) -> Result<Settled, RegistryError> {
    let lock = registry.locks.lock(&verdict.digest).await;
    let (blobs, digest) = (Arc::clone(&registry.blobs), verdict.digest);
    let now = match registry.blocking(move || blobs.open(&digest)).await? {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        opened => opened?.map(|file| file.stamp()),
    };
    if now != stamp {
        return Ok(Settled::Replaced);
    }
    let record = move |tx: &WriteTx<'_>| {
        let _held = &lock;
        fsck::write(tx, &[verdict])
    };
    let (hidden, shown) = registry.meta.write(record).await?;
    Ok(Settled::Recorded(hidden, shown))
}

/// Whether an error tells of the limits of the process or the system, and not of the file.
fn is_exhausted(error: &io::Error) -> bool {
    let inner = || error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
    let number = error.raw_os_error().or_else(inner);
    matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Reads the file of a hidden blob without a limit of its rate. If it is whole, the blob is shown again.
pub(super) async fn show_if_whole(registry: &Arc<Registry>, digest: &Digest) -> Result<bool, RegistryError> {
    let digest = *digest;
    let Some(blob) = registry.meta.get(|tx| hidden_blob(tx, &digest))? else { return Ok(false) };
    let blobs = Arc::clone(&registry.blobs);
    let stamp = registry.blocking(move || whole(&*blobs, &digest, blob.size)).await??;
    let Some(stamp) = stamp else { return Ok(false) };
    let verdict = Verdict { digest, generation: blob.generation, whole: Some(stamp) };
    match settle(Arc::clone(registry), verdict, Some(stamp)).await? {
        Settled::Recorded(_, shown) => Ok(shown > 0),
        Settled::Replaced => Ok(false),
    }
}

/// The stamp of a blob's file, if it is whole. Fails if the server has no file handle or memory left for it.
fn whole(blobs: &dyn BlobStore, digest: &Digest, size: u64) -> io::Result<Option<Stamp>> {
    for _ in 0..2 {
        let Some(file) = unless_exhausted(blobs.open(digest))?.flatten() else { return Ok(None) };
        if file.size() != size {
            return Ok(None);
        }
        let (mut hasher, mut offset) = (Hasher::new(digest.algorithm()), 0);
        while offset < size {
            let Some(chunk) = unless_exhausted(file.read(offset, CHUNK))? else { return Ok(None) };
            hasher.update(&chunk);
            offset += chunk.len() as u64;
        }
        if hasher.finish() == *digest {
            return Ok(Some(file.stamp()));
        }
        file.forget(0, usize::try_from(size).unwrap_or(usize::MAX));
    }
    Ok(None)
}

/// `None` for an error that is one of the file.
fn unless_exhausted<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_exhausted(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

//! One blob: its row, its file, and what is proven about it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::{Run, TRIES, takes_no_changes};
use crate::model::digest::{Digest, Hasher};
use crate::model::units::exact_size;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::fsck::{self, Verdict};
use crate::store::blob::{BlobFile, Stamp};
use crate::store::meta::schema::{self, Blob, BlobState};
use crate::store::meta::{Raw, Row as _, StoreError, Tx as _, WriteTx};

/// Bytes read at once. At a low rate fewer, so that the disk is read evenly.
const CHUNK: usize = 512 << 10;
const SMALLEST_CHUNK: usize = 16 << 10;

/// What reading a blob's file shows.
enum Seen {
    /// It has the right bytes.
    Whole(Stamp),
    /// It does not: what is wrong, and the stamp of the file that was read, if there is one.
    Damaged { kind: &'static str, expected: String, found: String, stamp: Option<Stamp> },
    /// It cannot be read, which proves nothing: the error may be temporary.
    Unreadable(String),
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
                Seen::Ended => return Ok(()),
                Seen::Unreadable(error) => {
                    self.done.blobs += 1;
                    self.finding(Some(digest), "blob_unreadable", (exact_size(blob.size), error));
                    return Ok(());
                }
                Seen::Whole(stamp) => {
                    let verdict =
                        Verdict { digest: *digest, generation: blob.generation, whole: Some(stamp) };
                    if blob.state == BlobState::Corrupt {
                        let Settled::Recorded(_, shown) = self.settle(verdict, Some(stamp))? else {
                            continue;
                        };
                        self.done.shown += shown;
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
        // It is pushed all the time, and each push verifies it.
        Ok(())
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
            Err(error) => Seen::Unreadable(error.to_string()),
            Ok(None) => damaged("blob_file_missing", "no file".to_owned(), None),
            Ok(Some(file)) if file.size() != blob.size => {
                damaged("blob_size", exact_size(file.size()), Some(file.stamp()))
            }
            Ok(Some(file)) => match self.hash(&file, digest) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    damaged("blob_size", "fewer bytes".to_owned(), Some(file.stamp()))
                }
                Err(error) => Seen::Unreadable(error.to_string()),
                Ok(None) => Seen::Ended,
                Ok(Some(actual)) if actual == *digest => Seen::Whole(file.stamp()),
                Ok(Some(actual)) => damaged("blob_content", actual.to_string(), Some(file.stamp())),
            },
        }
    }

    /// The digest of a file; `None` when the run was ended.
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
            if !self.rest(chunk.len() as u64, began.elapsed()) {
                return Ok(None);
            }
            if offset >= file.size() {
                return Ok(Some(hasher.finish()));
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

/// The generation of a blob begins anew when it was collected and pushed again, so its file is compared, too.
/// With the lock of the digest, no file comes or goes until the verdict is recorded.
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

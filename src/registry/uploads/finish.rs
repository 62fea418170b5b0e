//! Closing an upload: PUT, and the POST that carries the whole blob.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::append::{Ending, check_start, start_of};
use super::body::{Body, ContentRange};
use super::commit::Sealed;
use super::session::{Session, State, Work};
use crate::auth::{Grant, Push};
use crate::model::digest::{Algorithm, Digest, Hasher};
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::blob::{BlobStore, Staged, Stamp};

/// Bytes read at once when a staged file is hashed again.
const REHASH_CHUNK: usize = 1 << 20;

impl Registry {
    /// Appends a last body to an upload and makes a blob of it, which must have every one of `digests`. It is stored
    /// under the first.
    pub async fn finish_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
        digests: Vec<Digest>,
        range: Option<ContentRange>,
        mut body: Body,
    ) -> Result<(), RegistryError> {
        let session = self.session(grant, id).await?;
        let start = start_of(&session, range, &body);
        let (registry, grant) = (Arc::clone(self), grant.carry());
        self.detached(async move {
            let mut state = session.take_over(registry.meta.clock()).await?;
            check_start(&state, start)?;
            choose_hash(&mut state, &digests);
            // All of a small blob goes to one blocking thread once. With a row, what cannot be written must leave the
            // upload as the row says, so there the bytes are received first.
            let last = match &mut body {
                Body::Whole(chunks) if range.is_none() && !state.row => std::mem::take(chunks),
                _ => Vec::new(),
            };
            let ending = registry.receive(&session, &mut state, range, body, None).await;
            match ending {
                Ok(Ending::Complete) => {}
                other => {
                    return match registry.keep(&session, &mut state, other, grant.caller()).await? {
                        Ending::WrongLength => Err(RegistryError::SizeInvalid { offset: state.offset }),
                        _ => Err(RegistryError::Cut { offset: state.offset }),
                    };
                }
            }
            state.closed = true;
            let sealed = registry.seal(&session, &mut state, last, &digests).await;
            let row = state.row;
            match sealed {
                Ok(published) => {
                    // The closed session stays in memory until the file has left `uploads/`: were it gone earlier, a
                    // late PATCH would find the row, open the file and write into a blob.
                    let committed = match published {
                        Ok(sealed) => registry.commit(&grant, sealed).await,
                        Err(error) => Err(error),
                    };
                    registry.sessions.remove(session.id);
                    if committed.is_err() && !row {
                        registry.give_up(&session, row).await;
                    }
                    committed
                }
                Err(error) => {
                    registry.give_up(&session, row).await;
                    Err(error)
                }
            }
        })
        .await
    }

    /// Stores a blob that comes in one piece with its digest.
    pub async fn store_blob(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        digest: Digest,
        body: Body,
    ) -> Result<(), RegistryError> {
        let id = self.start_upload(grant, digest.algorithm()).await?;
        let result = self.finish_upload(grant, id, vec![digest], None, body).await;
        if result.is_err()
            && let Ok(session) = self.session(grant, id).await
        {
            // Nobody was told of this session, so nobody can go on with it.
            self.abandon(&session).await?;
        }
        result
    }

    /// Adds the last bytes, checks the digests, makes the file durable and puts it in its place, with the digest's lock
    /// held from here to the commit. The outer error is of a file that is not sealed, the inner one of a sealed file
    /// that could not be put in its place.
    async fn seal(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        last: Vec<Bytes>,
        digests: &[Digest],
    ) -> Result<Result<Sealed, RegistryError>, RegistryError> {
        let digest = *digests.first().ok_or(RegistryError::Interrupted)?;
        let lock = self.locks.lock(&digest).await;
        let permit = Arc::clone(&self.syncs).acquire_owned().await;
        let (blobs, id, digests) = (Arc::clone(&self.blobs), session.id, digests.to_vec());
        let mut work = state.lend();
        let sealing = move || {
            let _permit = permit;
            if !last.is_empty() {
                work.append(blobs.as_ref(), id, &last)?;
            }
            verify_and_sync(&mut work, blobs.as_ref(), id, &digests)?;
            work.staged = None;
            let published = if cfg!(feature = "mutant-commit-first") {
                Ok(Stamp::default())
            } else {
                publish(blobs.as_ref(), id, &digest)
            };
            Ok::<_, RegistryError>((work.offset, published))
        };
        let (size, published) = self.blocking(sealing).await??;
        let (row, name) = (state.row, session.name.clone());
        Ok(published.map(|stamp| Sealed { id, digest, size, row, name, stamp, lock }))
    }
}

/// An upload without a byte yet takes the algorithm that it will be closed with.
fn choose_hash(state: &mut State, digests: &[Digest]) {
    if let (0, Some(digest)) = (state.offset, digests.first()) {
        state.hasher = Hasher::new(digest.algorithm());
    }
}

fn verify_and_sync(
    work: &mut Work,
    blobs: &dyn BlobStore,
    id: UploadId,
    digests: &[Digest],
) -> Result<(), RegistryError> {
    work.open(blobs, id)?;
    let running = std::mem::replace(&mut work.hasher, Hasher::new(Algorithm::Sha256));
    let streamed = running.finish();
    let staged = work.staged.as_mut().ok_or(RegistryError::Interrupted)?;
    for expected in digests {
        let actual = if expected.algorithm() == streamed.algorithm() {
            streamed
        } else {
            hash_of(staged.as_ref(), expected.algorithm())?.finish()
        };
        if actual != *expected {
            return Err(RegistryError::DigestMismatch { expected: *expected, actual });
        }
    }
    Ok(staged.sync()?)
}

/// Renames a durable file to its place, and says what it looks like there. From here on it is never written again.
/// Content that is there already is replaced: that heals damage nobody has noticed yet, and costs a rename.
pub(super) fn publish(blobs: &dyn BlobStore, id: UploadId, digest: &Digest) -> Result<Stamp, RegistryError> {
    blobs.publish(id, digest)?;
    Ok(blobs.open(digest)?.map(|file| file.stamp()).unwrap_or_default())
}

/// Reads a staged file from its start and hashes it.
pub(super) fn hash_of(staged: &dyn Staged, algorithm: Algorithm) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; REHASH_CHUNK];
    let mut offset = 0;
    while offset < staged.len() {
        let read = staged.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..read]);
        offset += read as u64;
    }
    Ok(hasher)
}

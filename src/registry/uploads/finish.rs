//! Closing an upload: PUT, and the POST that carries the whole blob.

use std::io;
use std::sync::Arc;

use super::append::{Ending, check_start, start_of};
use super::body::{Body, ContentRange};
use super::commit::Sealed;
use super::session::{Session, State, Work};
use crate::auth::{Grant, Push};
use crate::model::digest::{Algorithm, Digest, Hasher};
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::blob::{BlobStore, Staged};

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
        body: Body,
    ) -> Result<(), RegistryError> {
        let session = self.session(grant, id).await?;
        let start = start_of(&session, range, &body);
        let (registry, grant) = (Arc::clone(self), grant.carry());
        self.detached(async move {
            let mut state = session.take_over(registry.meta.clock()).await?;
            check_start(&state, start)?;
            choose_hash(&mut state, &digests);
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
            let sealed = registry.seal(&session, &mut state, &digests).await;
            let row = state.row;
            match sealed {
                Ok(sealed) => {
                    // The closed session stays in memory until the file has left `uploads/`: were it gone earlier, a
                    // late PATCH would find the row, open the file and write into a blob.
                    let committed = registry.commit(&grant, sealed).await;
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

    /// Checks the digests and makes the file durable. From here on the file is never written again.
    async fn seal(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        digests: &[Digest],
    ) -> Result<Sealed, RegistryError> {
        let digest = *digests.first().ok_or(RegistryError::Interrupted)?;
        let permit = Arc::clone(&self.syncs).acquire_owned().await;
        let (blobs, id, digests) = (Arc::clone(&self.blobs), session.id, digests.to_vec());
        let mut work = state.lend();
        let size = work.offset;
        self.blocking(move || {
            let _permit = permit;
            verify_and_sync(&mut work, blobs.as_ref(), id, &digests)
        })
        .await??;
        Ok(Sealed { id, digest, size, row: state.row, name: session.name.clone() })
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

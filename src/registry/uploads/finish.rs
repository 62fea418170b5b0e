//! Closing an upload: PUT, and the POST that carries the whole blob.

use std::io;
use std::sync::Arc;

use super::append::Ending;
use super::body::{Body, Chunks};
use super::commit::Unrecorded;
use super::session::{Session, State};
use super::writer::{Announced, UploadWriter};
use crate::access::{Grant, Push};
use crate::model::digest::{Algorithm, Digest, Hasher};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::blob::{BlobStore, Placed, Sealed, Staged};

/// Bytes read at once when a staged file is hashed again.
const REHASH_CHUNK: usize = 1 << 20;

impl UploadWriter {
    /// Appends a last body to the upload and makes a blob of it, which must have every one of `digests`. It
    /// is stored under the first.
    pub async fn finish(mut self, digests: Vec<Digest>, mut body: Body) -> Result<(), RegistryError> {
        let (mut state, range) = (self.begin()?, self.range);
        let (registry, session, grant) = self.into_parts();
        let work = Arc::clone(&registry);
        let finish = async move {
            choose_hash(&mut state, &digests);
            // All of a small blob goes to one blocking thread once. With a row, what cannot be written must
            // leave the upload as the row says, so there the bytes are received first.
            let last = if state.row { Chunks::default() } else { body.take_whole(range) };
            let ending = match work.admit_batch(&session, &mut state, last.total()) {
                Ok(()) if last.is_empty() => work.receive(&session, &mut state, range, body, None).await,
                Ok(()) => {
                    session.received_all();
                    Ok(Ending::Complete)
                }
                Err(error) => Ok(Ending::Refused(error)),
            };
            if !matches!(ending, Ok(Ending::Complete)) {
                return match work.keep(&session, &mut state, ending, &grant).await? {
                    Ending::WrongLength => Err(RegistryError::SizeInvalid { offset: state.offset }),
                    Ending::Refused(error) => Err(error),
                    Ending::Complete | Ending::Cut => Err(RegistryError::Cut { offset: state.offset }),
                };
            }
            state.closed = true;
            let row = state.row;
            match work.seal(&session, &mut state, last, &digests).await {
                Ok(placed) => {
                    // The closed session stays in memory until the file has left `uploads/`: were it gone
                    // earlier, a late PATCH would find the row, open the file and write into a blob.
                    let committed = match placed {
                        Ok(blob) => work.commit(&grant, blob).await,
                        Err(error) => Err(error),
                    };
                    work.sessions.remove(session.id);
                    match &committed {
                        Err(RegistryError::Withdrawn) => work.give_up(&session, row).await,
                        Err(_) if !row => work.give_up(&session, row).await,
                        _ => {}
                    }
                    committed
                }
                Err(error) => {
                    work.give_up(&session, row).await;
                    Err(error)
                }
            }
        };
        registry.detached(finish).await
    }
}

impl Registry {
    /// Stores a blob that comes in one piece with its digest. `length` is that of the body, where it is
    /// known.
    pub async fn store_blob(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        digest: Digest,
        length: Option<u64>,
        body: Body,
    ) -> Result<(), RegistryError> {
        let id = self.start_upload(grant, digest.algorithm()).await?;
        let result = match self.write_upload(grant, id, Announced { range: None, length }).await {
            Ok(writer) => writer.finish(vec![digest], body).await,
            Err(error) => Err(error),
        };
        if result.is_err()
            && let Ok(session) = self.session(grant, id).await
        {
            // No client was told of this session, so none can go on with it.
            self.abandon(&session).await?;
        }
        result
    }

    /// Adds the last bytes, checks the digests, makes the file durable and puts it in its place, with the
    /// digest's lock held from here to the commit. The outer error is of a file that is not sealed, the inner
    /// one of a sealed file that could not be put in its place.
    async fn seal(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        mut last: Chunks,
        digests: &[Digest],
    ) -> Result<Result<Unrecorded, RegistryError>, RegistryError> {
        let digest = *digests.first().ok_or(RegistryError::Interrupted)?;
        if digests.iter().any(|digest| digest.algorithm() != state.algorithm) {
            self.hash_again(session, state, std::mem::take(&mut last), digests).await?;
        }
        let streamed: Vec<_> =
            digests.iter().filter(|digest| digest.algorithm() == state.algorithm).copied().collect();
        let lock = self.locks.lock(&digest).await;
        let permit = Arc::clone(&self.syncs).acquire_owned().await;
        let (staging, blobs, id) = (Arc::clone(&self.staging), Arc::clone(&self.blobs), session.id);
        let mut work = state.lend();
        let sealing = move || {
            let _permit = permit;
            if !last.is_empty() {
                work.append(&staging, id, &last)?;
            }
            // The disk may take long for the sync: others have the memory.
            drop(last);
            work.open(&staging, id)?;
            let actual = work.hasher.take().unwrap_or_else(|| Hasher::new(work.algorithm)).finish();
            compare(&streamed, &[actual])?;
            let sealed = work.staged.take().ok_or(RegistryError::Interrupted)?.seal(&digest)?;
            Ok::<_, RegistryError>((work.offset, place(blobs.as_ref(), sealed)))
        };
        let (size, placed) = self.blocking(sealing).await??;
        let (row, name) = (state.row, session.name.clone());
        Ok(placed.map(|(placed, late)| Unrecorded { id, digest, size, row, name, placed, late, lock }))
    }

    /// Checks the digests of algorithms that did not run along: the file is read once for all of them. That
    /// takes as long as the file is large, so it holds neither the digest's lock nor a place among the syncs.
    async fn hash_again(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        last: Chunks,
        digests: &[Digest],
    ) -> Result<(), RegistryError> {
        let permit = Arc::clone(&self.rehashes).acquire_owned().await;
        let (staging, id, digests) = (Arc::clone(&self.staging), session.id, digests.to_vec());
        let algorithms: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| *algorithm != state.algorithm)
            .filter(|algorithm| digests.iter().any(|digest| digest.algorithm() == *algorithm))
            .collect();
        let mut work = state.lend();
        let work = self
            .blocking(move || {
                let _permit = permit;
                if !last.is_empty() {
                    work.append(&staging, id, &last)?;
                }
                drop(last);
                let staged = work.open(&staging, id)?;
                let actual = hashes_of(staged, &algorithms)?;
                let actual: Vec<_> = actual.into_iter().map(Hasher::finish).collect();
                compare(&digests, &actual)?;
                Ok::<_, RegistryError>(work)
            })
            .await??;
        state.take_back(work);
        Ok(())
    }
}

/// An upload without a byte yet takes the algorithm that it will be closed with.
fn choose_hash(state: &mut State, digests: &[Digest]) {
    if let (0, Some(digest)) = (state.offset, digests.first()) {
        state.algorithm = digest.algorithm();
        state.hasher = None;
    }
}

/// Refuses content that has not every expected digest of those whose algorithm was computed.
fn compare(expected: &[Digest], actual: &[Digest]) -> Result<(), RegistryError> {
    for expected in expected {
        let same = actual.iter().find(|actual| actual.algorithm() == expected.algorithm());
        if let Some(actual) = same.filter(|actual| *actual != expected) {
            return Err(RegistryError::DigestMismatch { expected: *expected, actual: *actual });
        }
    }
    Ok(())
}

/// Puts a sealed file in its place, unless a planted fault is to do so after the commit. Content that is
/// there already is replaced: that heals damage that was not noticed yet, and costs a rename.
fn place(blobs: &dyn BlobStore, sealed: Sealed) -> Result<(Placed, Option<Sealed>), RegistryError> {
    if cfg!(feature = "mutant-commit-first") {
        return Ok((Placed::default(), Some(sealed)));
    }
    Ok((blobs.put(sealed)?, None))
}

/// Reads a staged file from its start, once, and hashes it with each of the algorithms.
pub(super) fn hashes_of(staged: &Staged, algorithms: &[Algorithm]) -> io::Result<Vec<Hasher>> {
    let mut hashers: Vec<_> = algorithms.iter().copied().map(Hasher::new).collect();
    let mut buffer = vec![0; REHASH_CHUNK];
    let mut offset = 0;
    while offset < staged.len() {
        let read = staged.read_at(offset, &mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for hasher in &mut hashers {
            hasher.update(&buffer[..read]);
        }
        offset += read as u64;
    }
    Ok(hashers)
}

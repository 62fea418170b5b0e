//! Finishes uploads: PUT, and the POST that carries the whole blob.

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

/// Bytes that are read at once when a staged file is hashed again.
const REHASH_CHUNK: usize = 1 << 20;

impl UploadWriter {
    /// Appends the last body to the upload and makes it a blob. The content must have all `digests`; it is
    /// stored under the first.
    pub async fn finish(mut self, digests: Vec<Digest>, mut body: Body) -> Result<(), RegistryError> {
        let (mut state, range) = (self.begin()?, self.range);
        let (registry, session, grant) = self.into_parts();
        let work = Arc::clone(&registry);
        let finish = async move {
            choose_hash(&mut state, &digests);
            // Without a row, a body that is in memory is hashed, written and sealed in one task on a blocking
            // thread. With a row, a write that fails must leave the upload as the row says, so the bytes are
            // received first.
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
                    // The closed session stays in memory until the file has left `uploads/`. Otherwise a late
                    // PATCH would load the session from its row, open the file and write into a blob.
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
    /// Stores a blob that is sent in one request with its digest. `length` is that of the body, if known.
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
            // No client knows this session's id, so none can continue it.
            self.abandon(&session).await?;
        }
        result
    }

    /// Appends the last bytes, checks the digests, syncs the file and moves it to its place. The digest's
    /// lock is held from here to the commit. The outer error means that the file was not sealed; the inner
    /// one, that the sealed file could not be moved.
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
            // Released before the sync, which may be slow.
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

    /// Checks the digests of algorithms that were not computed while the bytes were received: the file is
    /// read once for all of them. That may take long, so it holds neither the digest's lock nor a sync
    /// permit.
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

/// Changes the algorithm of an upload without a byte to the one with which it will be finished.
fn choose_hash(state: &mut State, digests: &[Digest]) {
    if let (0, Some(digest)) = (state.offset, digests.first()) {
        state.algorithm = digest.algorithm();
        state.hasher = None;
    }
}

/// Refuses content that lacks an expected digest, of the algorithms that were computed.
fn compare(expected: &[Digest], actual: &[Digest]) -> Result<(), RegistryError> {
    for expected in expected {
        let same = actual.iter().find(|actual| actual.algorithm() == expected.algorithm());
        if let Some(actual) = same.filter(|actual| *actual != expected) {
            return Err(RegistryError::DigestMismatch { expected: *expected, actual: *actual });
        }
    }
    Ok(())
}

/// Moves a sealed file to its place, unless a planted fault moves it after the commit. An existing blob is
/// replaced: that repairs unnoticed damage, and costs only a rename.
fn place(blobs: &dyn BlobStore, sealed: Sealed) -> Result<(Placed, Option<Sealed>), RegistryError> {
    if cfg!(feature = "mutant-commit-first") {
        return Ok((Placed::default(), Some(sealed)));
    }
    Ok((blobs.put(sealed)?, None))
}

/// Reads a staged file once from its start, and hashes it with each of the algorithms.
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

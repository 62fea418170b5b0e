//! Receives the bytes of uploads: PATCH, and the body of a PUT.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::body::{Body, BodyPart, Chunks, ContentRange};
use super::session::{Session, SessionGuard, State};
use super::sessions::Resting;
use super::writer::UploadWriter;
use super::{Standing, rows as upload_rows};
use crate::access::{Grant, Push};
use crate::model::digest::Hasher;
use crate::model::names::UploadId;
use crate::registry::error::RegistryError;
use crate::registry::{Registry, repositories};
use crate::store::meta::schema;

/// Bytes between two checkpoints of a long request.
const CHECKPOINT_EVERY: u64 = 32 << 20;

impl Ending {
    /// The result of a request that only appends.
    fn standing(self, id: UploadId, offset: u64) -> Result<Standing, RegistryError> {
        match self {
            Self::Complete => Ok(Standing { id, offset }),
            Self::Cut => Err(RegistryError::Cut { offset }),
            Self::WrongLength => Err(RegistryError::SizeInvalid { offset }),
            Self::Refused(error) => Err(error),
        }
    }
}

/// How the reception of a body ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All of it is in the file.
    Complete,
    /// The client disconnected, or another request took the session over.
    Cut,
    /// The body did not have the announced length; the file is as before.
    WrongLength,
    /// There was no room for the rest of the body. What was received before is in the file.
    Refused(RegistryError),
}

impl UploadWriter {
    /// Appends a body to the upload.
    pub async fn append(mut self, body: Body) -> Result<Standing, RegistryError> {
        let (mut state, range) = (self.begin()?, self.range);
        let (registry, session, grant) = self.into_parts();
        let id = session.id;
        let work = Arc::clone(&registry);
        registry
            .detached(async move {
                let ending = work.receive(&session, &mut state, range, body, Some(&grant)).await;
                let kept = work.keep(&session, &mut state, ending, &grant).await?;
                kept.standing(id, state.offset)
            })
            .await
    }
}

impl Registry {
    /// Makes a checkpoint of a session after a body. After an error the session is removed from memory: the
    /// next request finds the bytes that its row says are durable, or no session.
    pub(super) async fn keep(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut SessionGuard,
        ending: Result<Ending, RegistryError>,
        grant: &Grant<Push>,
    ) -> Result<Ending, RegistryError> {
        let result = match ending {
            Ok(ending) => self.checkpoint(session, state, grant).await.map(|()| ending),
            Err(error) => Err(error),
        };
        // A session between two requests may rest for a day, so it has no open file and does not count as
        // dirty bytes.
        state.close_file();
        state.settle_bytes();
        if let Err(error) = &result {
            state.closed = true;
            // If the permission was withdrawn, no caller may continue the upload: its row is removed below.
            if state.row && !matches!(error, RegistryError::Withdrawn) {
                // Counted as resting before it is removed from memory, because the request that loads it
                // again must find the charges.
                if let (Some(place), Some(mut bytes)) = (session.take_place(), state.charge.take()) {
                    bytes.shrink(bytes.amount().saturating_sub(state.checkpoint));
                    self.sessions.rest(session.id, Resting { place, bytes });
                }
                self.sessions.remove(session.id);
            } else {
                self.give_up(session, state.row).await;
            }
        }
        result
    }

    /// Moves a body into the staged file: one batch is hashed and written while the next one is received.
    /// With the grant in `checkpoints`, a long body gets a checkpoint every [`CHECKPOINT_EVERY`] bytes.
    pub(super) async fn receive(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut SessionGuard,
        range: Option<ContentRange>,
        body: Body,
        checkpoints: Option<&Grant<Push>>,
    ) -> Result<Ending, RegistryError> {
        let ending = self.receive_all(session, state, range, body, checkpoints).await;
        session.received_all();
        ending
    }

    async fn receive_all(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut SessionGuard,
        range: Option<ContentRange>,
        mut body: Body,
        checkpoints: Option<&Grant<Push>>,
    ) -> Result<Ending, RegistryError> {
        let start = state.offset;
        let start_hasher = range.map(|_| state.hasher.clone());
        let announced = range.map(|range| range.len());
        let mut checkpoint: Option<JoinHandle<Result<u64, RegistryError>>> = None;
        let ending = loop {
            let chunks = match next_part(session, &mut body).await {
                // The owner lost the permission: the upload ends here.
                None if session.is_withdrawn() => {
                    let _ = self.note_checkpoint(state, checkpoint).await;
                    return Err(RegistryError::Withdrawn);
                }
                // The connection broke, or another request evicted this writer.
                None => break Ending::Cut,
                Some(BodyPart::End) => break Ending::Complete,
                Some(BodyPart::Data(chunks)) => chunks,
            };
            session.touch(self.meta.clock().now().running_s);
            // Longer than its range: refused before the surplus is written.
            if announced.is_some_and(|announced| state.offset - start + chunks.total() > announced) {
                break Ending::WrongLength;
            }
            if let Err(error) = self.admit_batch(session, state, chunks.total()) {
                break Ending::Refused(error);
            }
            if let Err(error) = self.append(session, state, chunks).await {
                // Waits for the running checkpoint: what it makes durable is kept, and its row must not be
                // written after the session was given up.
                let _ = self.note_checkpoint(state, checkpoint).await;
                return Err(error);
            }
            // The checkpoint runs beside the reception; its result is collected between two batches.
            if checkpoint.as_ref().is_some_and(JoinHandle::is_finished) {
                self.note_checkpoint(state, checkpoint.take()).await?;
            }
            if let Some(grant) = checkpoints
                && checkpoint.is_none()
                && state.offset - state.checkpoint >= CHECKPOINT_EVERY
            {
                checkpoint = Some(self.begin_checkpoint(session, state, grant)?);
            }
        };
        // A running checkpoint must end before the file is truncated or sealed.
        self.note_checkpoint(state, checkpoint).await?;
        let short = announced.is_some_and(|announced| state.offset - start < announced);
        let wrong = match ending {
            Ending::WrongLength => true,
            Ending::Complete => short,
            // The client can continue behind what was received.
            Ending::Cut | Ending::Refused(_) => false,
        };
        if let (true, Some(hasher)) = (wrong, start_hasher) {
            self.cut_back(session, state, start, hasher).await?;
            return Ok(Ending::WrongLength);
        }
        Ok(ending)
    }

    /// Checks that the disk and the limit of unfinished bytes have room for more bytes of an upload, and
    /// counts them.
    pub(super) fn admit_batch(
        &self,
        session: &Session,
        state: &mut State,
        bytes: u64,
    ) -> Result<(), RegistryError> {
        if bytes == 0 {
            return Ok(());
        }
        self.check_space(bytes)?;
        state.count_bytes(&self.ledger, &session.holder, state.offset + bytes)?;
        self.sessions.begun(session);
        self.space.took(bytes);
        Ok(())
    }

    /// Hashes and writes one batch on a blocking thread; the file and the hasher move there and back.
    async fn append(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        chunks: Chunks,
    ) -> Result<(), RegistryError> {
        let (registry, id) = (Arc::clone(self), session.id);
        let mut work = state.lend();
        let (work, result) = self
            .blocking(move || {
                let result = work.append(&registry.staging, id, &chunks);
                drop(chunks);
                (work, result)
            })
            .await?;
        state.take_back(work);
        session.received.store(state.offset, Ordering::Release);
        Ok(result?)
    }

    /// Removes what a body of the wrong length has appended.
    async fn cut_back(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        start: u64,
        hasher: Option<Hasher>,
    ) -> Result<(), RegistryError> {
        if let Some(mut staged) = state.staged.take() {
            let (staged, result) = self
                .blocking(move || {
                    let result = staged.truncate(start);
                    (staged, result)
                })
                .await?;
            state.staged = Some(staged);
            result?;
        }
        state.offset = start;
        state.hasher = hasher;
        session.received.store(start, Ordering::Release);
        Ok(())
    }

    /// Makes everything received durable, then writes the row that says so.
    async fn checkpoint(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        grant: &Grant<Push>,
    ) -> Result<(), RegistryError> {
        session.touch(self.meta.clock().now().running_s);
        if state.staged.is_none() || (state.row && state.checkpoint == state.offset) {
            return Ok(());
        }
        let task = self.begin_checkpoint(session, state, grant)?;
        self.note_checkpoint(state, Some(task)).await
    }

    /// Syncs the file as it is now, then writes the session's row. The transaction checks the permission
    /// again, so that no caller whose permission was withdrawn continues, or creates a deleted repository
    /// again.
    fn begin_checkpoint(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &State,
        grant: &Grant<Push>,
    ) -> Result<JoinHandle<Result<u64, RegistryError>>, RegistryError> {
        let staged = state.staged.as_ref().ok_or(RegistryError::Interrupted)?;
        let sync = staged.syncer();
        let row = schema::Upload {
            repository: session.repository,
            owner: session.owner.clone(),
            offset: state.offset,
            algorithm: state.algorithm.byte(),
            hash_state: state.hasher.as_ref().and_then(Hasher::save),
            active_s: self.meta.clock().now().running_s,
        };
        let (registry, id, grant) = (Arc::clone(self), session.id, grant.carry());
        Ok(self.runtime.spawn(async move {
            let _permit = Arc::clone(&registry.syncs).acquire_owned().await;
            registry.blocking(move || sync.run()).await??;
            let offset = row.offset;
            let put = registry.meta.write(move |tx| {
                // Until this row exists, another transaction may remove the repository as empty.
                let repository = repositories::ensure(tx, &grant)?;
                let row = schema::Upload { repository, ..row.clone() };
                upload_rows::put(tx, id, &row).map_err(RegistryError::from)
            });
            put.await?;
            tracing::debug!(upload = %id, offset, "a checkpoint of an upload is durable");
            Ok(offset)
        }))
    }

    async fn note_checkpoint(
        &self,
        state: &mut State,
        task: Option<JoinHandle<Result<u64, RegistryError>>>,
    ) -> Result<(), RegistryError> {
        if let Some(task) = task {
            state.checkpoint = task.await.unwrap_or(Err(RegistryError::Interrupted))?;
            state.row = true;
        }
        Ok(())
    }
}

/// The next part of a body; `None` when the client disconnected, or when another request evicts this writer.
async fn next_part(session: &Session, body: &mut Body) -> Option<BodyPart> {
    let mut evicted = pin!(session.evict.notified());
    // Registered before the flag is read, so that a withdrawal in between is not missed.
    evicted.as_mut().enable();
    if session.is_withdrawn() {
        return None;
    }
    tokio::select! {
        biased;
        () = evicted => None,
        part = body.next() => part,
    }
}

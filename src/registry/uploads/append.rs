//! Receiving bytes: PATCH, and the body of a PUT.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::Standing;
use super::body::{Body, BodyPart, ContentRange, total};
use super::session::{Session, State, Writer};
use crate::auth::{Caller, Grant, Push};
use crate::model::digest::Hasher;
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::repositories;
use crate::store::meta::rows;
use crate::store::meta::tables;

/// Bytes between two checkpoints of a long request.
const CHECKPOINT_EVERY: u64 = 32 << 20;

impl Ending {
    /// The answer to a request that only appended.
    fn standing(self, id: UploadId, offset: u64) -> Result<Standing, RegistryError> {
        match self {
            Self::Complete => Ok(Standing { id, offset }),
            Self::Cut => Err(RegistryError::Cut { offset }),
            Self::WrongLength => Err(RegistryError::SizeInvalid { offset }),
        }
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it is in the file.
    Complete,
    /// The client went away, or another request took the session over.
    Cut,
    /// It did not have the length that was announced; the file is as before.
    WrongLength,
}

impl Registry {
    /// Appends a body to an upload. `range` is where the client believes the upload to stand.
    pub async fn append_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<Standing, RegistryError> {
        let session = self.session(grant, id).await?;
        let start = start_of(&session, range, &body);
        let (registry, caller) = (Arc::clone(self), grant.caller().clone());
        self.detached(async move {
            let mut state = session.take_over(registry.meta.clock()).await?;
            check_start(&state, start)?;
            registry.check_space()?;
            let ending = registry.receive(&session, &mut state, range, body, Some(&caller)).await;
            let kept = registry.keep(&session, &mut state, ending, &caller).await?;
            kept.standing(id, state.offset)
        })
        .await
    }

    /// Brings a session to a checkpoint after a body. A session whose disk failed leaves the memory: the next request
    /// finds what its row promises, which is durable, or nothing.
    pub(super) async fn keep(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut Writer,
        ending: Result<Ending, RegistryError>,
        caller: &Caller,
    ) -> Result<Ending, RegistryError> {
        let result = match ending {
            Ok(ending) => self.checkpoint(session, state, caller).await.map(|()| ending),
            Err(error) => Err(error),
        };
        // A session that rests has no file open, and no part in what is ahead of the disk: it may rest for a day.
        state.staged = None;
        if result.is_err() {
            state.closed = true;
            if state.row {
                self.sessions.remove(session.id);
            } else {
                self.give_up(session, false).await;
            }
        }
        result
    }

    /// Moves a body into the staged file, one batch being hashed and written while the next one comes. With the
    /// caller for `checkpoints` a long body is made durable bit by bit.
    pub(super) async fn receive(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut Writer,
        range: Option<ContentRange>,
        mut body: Body,
        checkpoints: Option<&Caller>,
    ) -> Result<Ending, RegistryError> {
        let start = state.offset;
        let start_hasher = range.map(|_| state.hasher.clone());
        let announced = range.map(|range| range.len());
        let mut checkpoint: Option<JoinHandle<Result<u64, RegistryError>>> = None;
        let ending = loop {
            let part = tokio::select! {
                biased;
                () = session.evict.notified() => None,
                part = body.next() => part,
            };
            let chunks = match part {
                None => break Ending::Cut,
                Some(BodyPart::End) => break Ending::Complete,
                Some(BodyPart::Data(chunks)) => chunks,
            };
            session.touch(self.meta.clock().now().running_s);
            if announced.is_some_and(|announced| state.offset - start + total(&chunks) > announced) {
                break Ending::WrongLength;
            }
            if let Err(error) = self.append(session, state, chunks).await {
                // What is durable by then is kept, and its row does not come after the file is given up.
                let _ = self.note_checkpoint(state, checkpoint).await;
                return Err(error);
            }
            if checkpoint.as_ref().is_some_and(JoinHandle::is_finished) {
                self.note_checkpoint(state, checkpoint.take()).await?;
            }
            if let Some(caller) = checkpoints
                && checkpoint.is_none()
                && state.offset - state.checkpoint >= CHECKPOINT_EVERY
            {
                checkpoint = Some(self.begin_checkpoint(session, state, caller)?);
            }
        };
        self.note_checkpoint(state, checkpoint).await?;
        let short = announced.is_some_and(|announced| state.offset - start < announced);
        let wrong = ending == Ending::WrongLength || (ending == Ending::Complete && short);
        if let (true, Some(hasher)) = (wrong, start_hasher) {
            self.cut_back(session, state, start, hasher).await?;
            return Ok(Ending::WrongLength);
        }
        Ok(ending)
    }

    /// Hashes and writes one batch on a blocking thread; the file and the hash go there and come back.
    async fn append(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        chunks: Vec<Bytes>,
    ) -> Result<(), RegistryError> {
        let (registry, id) = (Arc::clone(self), session.id);
        let mut work = state.lend();
        let (work, result) = self
            .blocking(move || {
                let result = work.append(registry.blobs.as_ref(), id, &chunks);
                (work, result)
            })
            .await?;
        state.take_back(work);
        session.received.store(state.offset, Ordering::Release);
        Ok(result?)
    }

    /// Takes back what a body of the wrong length has added.
    async fn cut_back(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        start: u64,
        hasher: Hasher,
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

    /// Makes everything received durable, and then the row that says so.
    async fn checkpoint(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &mut State,
        caller: &Caller,
    ) -> Result<(), RegistryError> {
        session.touch(self.meta.clock().now().running_s);
        if state.staged.is_none() || (state.row && state.checkpoint == state.offset) {
            return Ok(());
        }
        let task = self.begin_checkpoint(session, state, caller)?;
        self.note_checkpoint(state, Some(task)).await
    }

    fn begin_checkpoint(
        self: &Arc<Self>,
        session: &Arc<Session>,
        state: &State,
        caller: &Caller,
    ) -> Result<JoinHandle<Result<u64, RegistryError>>, RegistryError> {
        let staged = state.staged.as_ref().ok_or(RegistryError::Interrupted)?;
        let sync = staged.syncer()?;
        let row = rows::Upload {
            repository: session.repository,
            owner: session.owner.clone(),
            offset: state.offset,
            algorithm: state.hasher.algorithm().byte(),
            hash_state: state.hasher.save(),
            active_s: self.meta.clock().now().running_s,
        };
        let (registry, session, caller) = (Arc::clone(self), Arc::clone(session), caller.clone());
        Ok(self.runtime.spawn(async move {
            let _permit = Arc::clone(&registry.syncs).acquire_owned().await;
            registry.blocking(sync).await??;
            let offset = row.offset;
            let put = registry.meta.write(move |tx| {
                // Until this row is there, nothing keeps the repository from going with the last thing in it.
                let repository = repositories::find_or_make(tx, &session.name, &caller)?;
                let row = rows::Upload { repository, ..row.clone() };
                tx.put(&tables::UPLOAD, &session.id.bytes()[..], &row).map_err(RegistryError::from)
            });
            put.await?;
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

/// Where a body belongs: where its range says, or where the upload stands while the body is still on its way. `None`
/// for one that is there already and says nothing.
pub(super) fn start_of(session: &Session, range: Option<ContentRange>, body: &Body) -> Option<u64> {
    match (range, body) {
        (Some(range), _) => Some(range.start),
        (None, Body::Stream(_)) => Some(session.received.load(Ordering::Acquire)),
        (None, Body::Whole(_)) => None,
    }
}

/// Refuses bytes that do not go on where the upload stands: of two writers at once, the second.
pub(super) fn check_start(state: &State, start: Option<u64>) -> Result<(), RegistryError> {
    match start {
        Some(start) if start != state.offset => Err(RegistryError::RangeInvalid { offset: state.offset }),
        _ => Ok(()),
    }
}

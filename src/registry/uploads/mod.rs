//! Uploads: sessions that collect the bytes of a blob, survive cut connections and restarts, and end in a
//! commit.
//!
//! A session lives in memory until its first checkpoint; from then on a row says how much of its staged file
//! is durable. One writer at a time holds the session's state. All file work runs on the registry's runtime
//! to its end, also when the client disconnects.

mod append;
mod body;
mod commit;
mod finish;
mod restore;
pub(super) mod rows;
mod session;
mod sessions;
mod sweep;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use body::{Body, BodyPart, Chunks, ContentRange};
#[cfg(test)]
pub(super) use rows::put as put_row;
pub(super) use sessions::Sessions;
pub use writer::{Announced, UploadWriter};

use super::error::RegistryError;
use super::{Registry, repositories};
use crate::access::{Action, Grant, Push, Repository};
use crate::limits::{Charge, Holder, Resource};
use crate::model::audit::Actor;
use crate::model::digest::Algorithm;
use crate::model::names::{RepoId, UploadId};
use crate::store::meta::{Change, StoreError, Tx, WriteTx};
use session::{Origin, Session, State};

/// Seconds that a client has to send the first byte to a new session, before another principal's request may
/// close it.
const FRESH_S: u64 = 60;

/// The state of an upload, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The session.
    pub id: UploadId,
    /// Bytes received so far.
    pub offset: u64,
}

impl Registry {
    /// Opens an upload session. Its repository is created if it does not exist.
    pub async fn start_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        algorithm: Algorithm,
    ) -> Result<UploadId, RegistryError> {
        self.check_space(0)?;
        let holder = grant.caller().holder();
        let place = self.session_place(&holder).await?;
        let repository = if let Some(repository) = grant.repository() {
            repository
        } else {
            let grant = grant.carry();
            self.meta.write(move |tx| repositories::ensure(tx, &grant)).await?
        };
        let owner = grant.caller().principal.owner();
        let origin = Origin { name: grant.name().clone(), repository, owner, holder };
        let running_s = self.meta.clock().now().running_s;
        let session = Session::new(UploadId::random(), origin, place, running_s, State::empty(algorithm));
        let id = session.id;
        self.sessions.insert(session);
        Ok(id)
    }

    /// A charge for one more open session of a principal. At a limit, the oldest session without a byte is
    /// closed first, because some clients open thousands and use none. A session of another principal is
    /// closed only if it is older than [`FRESH_S`].
    async fn session_place(self: &Arc<Self>, holder: &Holder) -> Result<Charge, RegistryError> {
        loop {
            let limit = self.ledger.limit(Resource::UploadSessions);
            let own = self.ledger.held(holder, Resource::UploadSessions) >= limit.each;
            if !own && self.ledger.total(Resource::UploadSessions) < limit.total {
                // Another request may have taken the freed slot.
                match self.ledger.try_charge(holder, Resource::UploadSessions, 1) {
                    Some(place) => return Ok(place),
                    None => continue,
                }
            }
            let fresh_s = self.meta.clock().now().running_s.saturating_sub(FRESH_S);
            let Some(session) = self.sessions.close_oldest_empty(holder.id(), own, fresh_s) else {
                return Ok(self.ledger.charge(holder, Resource::UploadSessions, 1)?);
            };
            self.forget(&session, false).await?;
        }
    }

    /// The state of an upload.
    pub async fn upload_standing(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
    ) -> Result<Standing, RegistryError> {
        let session = self.session(grant, id).await?;
        Ok(Standing { id, offset: session.received.load(Ordering::Acquire) })
    }

    /// Cancels an upload and drops what was received.
    pub async fn cancel_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
    ) -> Result<(), RegistryError> {
        let session = self.session(grant, id).await?;
        let registry = Arc::clone(self);
        self.detached(async move { registry.abandon(&session).await }).await
    }

    /// The session of this caller in this repository; a session of another caller is reported as unknown.
    async fn session<A>(
        self: &Arc<Self>,
        grant: &Grant<A>,
        id: UploadId,
    ) -> Result<Arc<Session>, RegistryError>
    where
        A: Action<Target = Repository>,
    {
        let owner = grant.caller().principal.owner();
        let session = if let Some(session) = self.sessions.get(id) {
            session
        } else {
            let holder = grant.caller().holder();
            self.load_session(id, &owner, holder).await?.ok_or(RegistryError::UploadUnknown)?
        };
        if session.name != *grant.name() || session.owner != owner {
            return Err(RegistryError::UploadUnknown);
        }
        Ok(session)
    }

    /// Evicts the session's writer, then removes the session with its row, its file and, if it is empty, its
    /// repository.
    async fn abandon(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), RegistryError> {
        let mut state = session.take_away().await?;
        state.closed = true;
        state.staged = None;
        self.forget(session, state.row).await?;
        let (staging, id) = (Arc::clone(&self.staging), session.id);
        self.blocking(move || staging.discard(id)).await??;
        Ok(())
    }

    /// Removes an upload that failed. What cannot be removed now is removed at the next start.
    async fn give_up(self: &Arc<Self>, session: &Session, row: bool) {
        let forgotten = self.forget(session, row).await;
        let (staging, id) = (Arc::clone(&self.staging), session.id);
        let discarded = self.blocking(move || Ok(staging.discard(id)?)).await.and_then(|discarded| discarded);
        if let Err(error) = forgotten.and(discarded) {
            tracing::warn!(upload = %session.id, %error, "could not remove a failed upload; the next start removes it");
        }
    }

    /// Removes a session from memory and its row from the store. A restart would find the session as long as
    /// the row exists. The transaction, not the caller, asks whether the repository is empty now: of two
    /// sessions that end at once, each would otherwise find the other one.
    async fn forget(self: &Arc<Self>, session: &Session, row: bool) -> Result<(), RegistryError> {
        let (registry, repository, id) = (Arc::clone(self), session.repository, session.id);
        self.sessions.remove(id);
        if row || (!self.sessions.any_in(repository) && self.is_bare(repository)?) {
            self.meta
                .change(Change::that_frees(), move |tx| {
                    let repository = rows::delete(tx, id)?.map_or(repository, |row| row.repository);
                    registry.remove_if_unused(tx, repository)
                })
                .await?;
        }
        Ok(())
    }

    /// Removes a repository if it is empty and no session in memory will add to it.
    pub(in crate::registry) fn remove_if_unused(
        &self,
        tx: &WriteTx<'_>,
        repository: RepoId,
    ) -> Result<(), StoreError> {
        if self.sessions.any_in(repository) {
            return Ok(());
        }
        repositories::remove_if_empty(tx, repository, Actor::SYSTEM)
    }

    /// Whether an upload to a repository is under way, in memory or in a row.
    pub(super) fn has_uploads(&self, tx: &impl Tx, repository: RepoId) -> Result<bool, StoreError> {
        Ok(self.sessions.any_in(repository) || rows::any_in(tx, repository)?)
    }

    fn is_bare(&self, repository: RepoId) -> Result<bool, StoreError> {
        self.meta.get(|tx| repositories::is_bare(tx, repository))
    }
}

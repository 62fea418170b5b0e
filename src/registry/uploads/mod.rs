//! Uploads: sessions that gather a blob's bytes, survive cut connections and restarts, and end in a commit.
//!
//! A session lives in memory until its first checkpoint; from then on a row tells how much of its staged file is
//! durable. One writer at a time holds the session's state. All file work runs on the registry's runtime and goes on
//! to its end when the client is gone.

mod append;
mod body;
mod commit;
mod finish;
mod restore;
mod session;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use body::{Body, BodyPart, ContentRange};
pub(super) use session::Sessions;

use super::Registry;
use super::error::RegistryError;
use super::repositories;
use crate::auth::{Action, Grant, Push, Repository, System};
use crate::model::digest::Algorithm;
use crate::model::names::RepoId;
use crate::model::names::UploadId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::tables;
use session::Session;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The session.
    pub id: UploadId,
    /// Bytes received so far.
    pub offset: u64,
}

impl Registry {
    /// Opens an upload session. Its repository is made if it does not exist.
    pub async fn start_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        algorithm: Algorithm,
    ) -> Result<UploadId, RegistryError> {
        self.check_space()?;
        let repository = if let Some(repository) = grant.repository() {
            repository
        } else {
            let grant = grant.carry();
            self.meta.write(move |tx| repositories::ensure(tx, &grant)).await?
        };
        let session = Session::new(
            UploadId::random(),
            grant.name().clone(),
            repository,
            grant.caller().principal.owner(),
            algorithm,
            self.meta.clock().now().running_s,
        );
        let id = session.id;
        self.sessions.insert(session);
        Ok(id)
    }

    /// Where an upload stands.
    pub async fn upload_standing(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
    ) -> Result<Standing, RegistryError> {
        let session = self.session(grant, id).await?;
        Ok(Standing { id, offset: session.received.load(Ordering::Acquire) })
    }

    /// Ends an upload and drops what came.
    pub async fn cancel_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
    ) -> Result<(), RegistryError> {
        let session = self.session(grant, id).await?;
        let registry = Arc::clone(self);
        self.detached(async move { registry.abandon(&session).await }).await
    }

    /// Ends the sessions that nothing was sent to for too long, counted in running time; how many there were.
    pub async fn expire_uploads(self: &Arc<Self>, _grant: &Grant<System>) -> Result<usize, RegistryError> {
        let mut ended = self.expire_rows().await?;
        let now = self.meta.clock().now().running_s;
        let idle_s = self.limits.load().upload_idle_s;
        let idle = self
            .sessions
            .all(|session| now.saturating_sub(session.touched_s.load(Ordering::Acquire)) >= idle_s);
        for session in &idle {
            match self.abandon(session).await {
                Ok(()) => ended += 1,
                // It came to its end by itself while its turn was waited for.
                Err(RegistryError::UploadUnknown) => {}
                Err(error) => return Err(error),
            }
        }
        if ended > 0 {
            tracing::info!(uploads = ended, "idle uploads were ended");
        }
        Ok(ended)
    }

    /// The session of this caller in this repository; anybody else's is unknown.
    async fn session<A>(
        self: &Arc<Self>,
        grant: &Grant<A>,
        id: UploadId,
    ) -> Result<Arc<Session>, RegistryError>
    where
        A: Action<Target = Repository>,
    {
        let session = match self.sessions.get(id) {
            Some(session) => session,
            None => self.load_session(id).await?.ok_or(RegistryError::UploadUnknown)?,
        };
        let owner = grant.caller().principal.owner();
        if session.name != *grant.name() || session.owner != owner {
            return Err(RegistryError::UploadUnknown);
        }
        Ok(session)
    }

    /// Waits for the session's writer, then removes the session with its row, its file and, if nothing else is in it,
    /// its repository.
    async fn abandon(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), RegistryError> {
        let mut state = session.take_over(self.meta.clock()).await?;
        state.closed = true;
        state.staged = None;
        self.forget(session, state.row).await?;
        let (blobs, id) = (Arc::clone(&self.blobs), session.id);
        self.blocking(move || blobs.discard(id)).await??;
        Ok(())
    }

    /// Ends an upload that came to nothing. What cannot be removed now is found at the next start.
    async fn give_up(self: &Arc<Self>, session: &Session, row: bool) {
        let forgotten = self.forget(session, row).await;
        let (blobs, id) = (Arc::clone(&self.blobs), session.id);
        let discarded = self.blocking(move || Ok(blobs.discard(id)?)).await.and_then(|discarded| discarded);
        if let Err(error) = forgotten.and(discarded) {
            tracing::warn!(upload = %session.id, %error, "a failed upload could not be removed; the next start removes it");
        }
    }

    /// Removes a session from memory and its row from the store. The order matters: while the row is there, a
    /// restart would find the session again.
    async fn forget(&self, session: &Session, row: bool) -> Result<(), RegistryError> {
        let repository = session.repository;
        self.sessions.remove(session.id);
        let last = !self.sessions.any_in(repository);
        if row || (last && self.is_bare(repository)?) {
            let id = session.id.bytes();
            self.meta
                .write_from_reserve(move |tx| {
                    let row = tx.get(&tables::UPLOAD, &id[..])?;
                    tx.delete(&tables::UPLOAD, &id[..])?;
                    if last {
                        repositories::remove_if_empty(tx, row.map_or(repository, |row| row.repository))?;
                    }
                    Ok::<_, StoreError>(())
                })
                .await?;
        }
        Ok(())
    }

    fn is_bare(&self, repository: RepoId) -> Result<bool, StoreError> {
        self.meta.get(|tx| repositories::is_bare(tx, repository))
    }
}

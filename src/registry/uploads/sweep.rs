//! Ends uploads that no client continues: idle sessions, sessions whose owner may not sign in any more, and
//! leftovers of a killed server. All of it works in slices, so that pushes are not held up.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::rows;
use super::session::Session;
use crate::access::{Grant, System};
use crate::model::names::{UploadId, UserId};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::repositories::BareSearch;
use crate::store::meta::schema::{self, Owner, Upload};
use crate::store::meta::{Change, ReadTx, StoreError, Tx};

/// Rows that one transaction reads or removes. Each removal changes up to five rows.
pub(super) const SLICE: usize = 1_000;

impl Registry {
    /// Ends the sessions that were idle for too long in running time; returns how many.
    pub async fn expire_uploads(self: &Arc<Self>, _grant: &Grant<System>) -> Result<usize, RegistryError> {
        let now = self.meta.clock().now().running_s;
        let idle_s = self.limits.load().upload_idle_s;
        let mut ended = self.drop_rows(move |_, row| Ok(now.saturating_sub(row.active_s) >= idle_s)).await?;
        let idle = self
            .sessions
            .all(|session| now.saturating_sub(session.touched_s.load(Ordering::Acquire)) >= idle_s);
        ended += self.abandon_all(&idle).await?;
        if ended > 0 {
            tracing::info!(uploads = ended, "removed idle uploads");
        }
        Ok(ended)
    }

    /// Ends the sessions of users who were disabled or deleted and of tokens that were revoked, and drops
    /// what was received; returns how many. A body that is being received is cut off.
    pub async fn end_uploads_without_owner(
        self: &Arc<Self>,
        _grant: &Grant<System>,
    ) -> Result<usize, RegistryError> {
        let mut ended = self.drop_rows(|tx, row| Ok(!may_sign_in(tx, &row.owner)?)).await?;
        let owners = self.sessions.owners();
        let gone = self.meta.get(|tx| {
            let mut gone = HashSet::new();
            for owner in &owners {
                if !may_sign_in(tx, owner)? {
                    gone.insert(owner.clone());
                }
            }
            Ok::<_, StoreError>(gone)
        })?;
        let orphans = self.sessions.all(|session| gone.contains(&session.owner));
        for session in &orphans {
            session.withdraw();
        }
        ended += self.abandon_all(&orphans).await?;
        if ended > 0 {
            tracing::info!(
                uploads = ended,
                "uploads of users or tokens that may not sign in any more were ended"
            );
        }
        Ok(ended)
    }

    async fn abandon_all(self: &Arc<Self>, sessions: &[Arc<Session>]) -> Result<usize, RegistryError> {
        let mut ended = 0;
        for session in sessions {
            match self.abandon(session).await {
                Ok(()) => ended += 1,
                // It ended by itself before its turn.
                Err(RegistryError::UploadUnknown) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Removes the rows and files of sessions that are not in memory, if `ends` says so; returns how many.
    async fn drop_rows<F>(self: &Arc<Self>, ends: F) -> Result<usize, RegistryError>
    where
        F: Fn(&ReadTx, &Upload) -> Result<bool, StoreError> + Clone + Send + 'static,
    {
        let (mut after, mut ended) = (None, 0);
        loop {
            let ends = ends.clone();
            let (last, ending) = self
                .meta
                .scan(move |tx| {
                    let page = rows::page(tx, after, SLICE)?;
                    let last = (page.len() == SLICE).then(|| page.last().map(|(id, _)| *id)).flatten();
                    let mut ending = Vec::new();
                    for (id, row) in page {
                        if ends(tx, &row)? {
                            ending.push(id);
                        }
                    }
                    Ok::<_, StoreError>((last, ending))
                })
                .await?;
            ended += self.drop_slice(ending).await?;
            let Some(last) = last else { return Ok(ended) };
            after = Some(last);
        }
    }

    async fn drop_slice(self: &Arc<Self>, ids: Vec<UploadId>) -> Result<usize, RegistryError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let registry = Arc::clone(self);
        let dropped = self
            .meta
            .change(Change::that_frees(), move |tx| {
                let mut dropped = Vec::new();
                for id in &ids {
                    // A session that was loaded meanwhile has a client that continues it.
                    if registry.sessions.get(*id).is_some() {
                        continue;
                    }
                    let Some(row) = rows::delete(tx, *id)? else { continue };
                    dropped.push(*id);
                    registry.remove_if_unused(tx, row.repository)?;
                }
                Ok::<_, StoreError>(dropped)
            })
            .await?;
        for id in &dropped {
            drop(self.sessions.wake(*id));
        }
        let (staging, count) = (Arc::clone(&self.staging), dropped.len());
        self.blocking(move || dropped.into_iter().try_for_each(|id| staging.discard(id))).await??;
        Ok(count)
    }

    /// Removes what uploads without a checkpoint left when the last server stopped: staged files without a
    /// row, and the empty repositories that were created for them. New uploads may begin meanwhile.
    pub async fn sweep_uploads(self: &Arc<Self>, _grant: &Grant<System>) -> Result<usize, RegistryError> {
        let mut search = self.meta.scan(BareSearch::start).await?;
        while !search.is_done() {
            let (rest, bare) = self
                .meta
                .scan(move |tx| {
                    let bare = search.next(tx)?;
                    Ok::<_, StoreError>((search, bare))
                })
                .await?;
            search = rest;
            if bare.is_empty() {
                continue;
            }
            let registry = Arc::clone(self);
            self.meta
                .change(Change::that_frees(), move |tx| {
                    bare.iter().try_for_each(|repository| registry.remove_if_unused(tx, *repository))
                })
                .await
                .map_err(RegistryError::Store)?;
        }
        self.sweep_files().await
    }

    async fn sweep_files(self: &Arc<Self>) -> Result<usize, RegistryError> {
        let staging = Arc::clone(&self.staging);
        let files = self.blocking(move || staging.list()).await??;
        let mut removed = 0;
        for files in files.chunks(SLICE) {
            let (registry, ids) = (Arc::clone(self), files.iter().map(|file| file.id).collect::<Vec<_>>());
            removed += self.blocking(move || registry.remove_orphans(&ids)).await??;
        }
        Ok(removed)
    }

    /// Removes the files that belong to no session. A session is in memory before its file is created, and
    /// when it leaves the memory its row exists or its file is gone. So the memory must be asked before the
    /// rows.
    fn remove_orphans(&self, files: &[UploadId]) -> Result<usize, RegistryError> {
        let unclaimed: Vec<_> = files.iter().filter(|id| self.sessions.get(**id).is_none()).collect();
        let orphans = self.meta.read_blocking(|tx| {
            let mut orphans = Vec::new();
            for id in unclaimed {
                if !tx.has(&schema::UPLOAD, *id)? {
                    orphans.push(*id);
                }
            }
            Ok::<_, StoreError>(orphans)
        })?;
        for id in &orphans {
            self.staging.discard(*id)?;
        }
        Ok(orphans.len())
    }
}

/// Whether the owner of a session may still sign in. An expired token may continue the session that it began.
fn may_sign_in(tx: &impl Tx, owner: &Owner) -> Result<bool, StoreError> {
    if *owner == Owner::Anonymous {
        return Ok(true);
    }
    let Some(user) = user_of(tx, owner)? else { return Ok(false) };
    Ok(tx.get(&schema::USER, user)?.is_some_and(|user| !user.disabled))
}

/// The user who owns a session; `None` for an anonymous session and for a revoked token.
pub(super) fn user_of(tx: &impl Tx, owner: &Owner) -> Result<Option<UserId>, StoreError> {
    match owner {
        Owner::Anonymous => Ok(None),
        Owner::User(user) => Ok(Some(*user)),
        Owner::Token(token) => Ok(tx.get(&schema::TOKEN, *token)?.map(|token| token.user)),
    }
}

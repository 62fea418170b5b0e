//! Sessions of an earlier run: found by their rows, cut off at what is durable, hashed on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use super::finish::hashes_of;
use super::rows;
use super::session::{Origin, Session, State};
use super::sessions::Resting;
use super::sweep::{SLICE, user_of};
use crate::limits::{Holder, Resource};
use crate::model::digest::{Algorithm, Hasher};
use crate::model::names::{RepoId, UploadId};
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::meta::schema::{self, Owner, Upload};
use crate::store::meta::{Change, StoreError, Tx};

impl Registry {
    /// Brings a session of `owner` into memory that has a row, unless its file is gone: then the row goes
    /// too. It counts as one of `holder`'s. The work goes on to its end when the client is gone: the next
    /// request finds it done.
    pub(super) async fn load_session(
        self: &Arc<Self>,
        id: UploadId,
        owner: &Owner,
        holder: Holder,
    ) -> Result<Option<Arc<Session>>, RegistryError> {
        // Ids that never were, and those of others, cost a read and nothing else.
        let row = self.meta.get(|tx| tx.get(&schema::UPLOAD, id))?;
        if row.is_none_or(|row| row.owner != *owner) {
            return Ok(None);
        }
        let registry = Arc::clone(self);
        self.detached(async move { registry.load(id, holder).await }).await
    }

    /// Counts the uploads of an earlier run for the users who began them, whatever the limits say. Of an
    /// upload that was begun without a sign-in nothing tells whose it is. Call it before anything else uses
    /// the registry.
    pub fn count_uploads(&self) -> Result<(), StoreError> {
        let mut holders: HashMap<Owner, Option<Holder>> = HashMap::new();
        self.meta.read_blocking(|tx| {
            let mut after = None;
            loop {
                let page = rows::page(tx, after, SLICE)?;
                let Some((last, _)) = page.last() else { return Ok(()) };
                after = Some(*last);
                for (id, row) in page {
                    let holder = match holders.entry(row.owner) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let holder = holder_of(tx, new.key())?;
                            new.insert(holder)
                        }
                    };
                    if let Some(holder) = holder {
                        let place = self.ledger.count(holder, Resource::UploadSessions, 1);
                        let bytes = self.ledger.count(holder, Resource::StagedBytes, row.offset);
                        self.sessions.rest(id, Resting { place, bytes });
                    }
                }
            }
        })
    }

    async fn load(
        self: &Arc<Self>,
        id: UploadId,
        holder: Holder,
    ) -> Result<Option<Arc<Session>>, RegistryError> {
        // One at a time: a second load would cut the file off under the writer that the first one let in.
        let lock = self.sessions.load_lock(id);
        let _loading = lock.lock().await;
        if let Some(session) = self.sessions.get(id) {
            return Ok(Some(session));
        }
        let found = self.meta.get(|tx| {
            let Some(row) = tx.get(&schema::UPLOAD, id)? else { return Ok(None) };
            let repository = tx.get(&schema::REPOSITORY, row.repository)?;
            Ok::<_, StoreError>(repository.map(|repository| (row, repository.name)))
        })?;
        let Some((row, name)) = found else { return Ok(None) };
        let (Ok(name), Some(algorithm)) = (name.parse(), Algorithm::from_byte(row.algorithm)) else {
            return Ok(None);
        };
        let mut state =
            State { offset: row.offset, checkpoint: row.offset, row: true, ..State::empty(algorithm) };
        let counted = self.sessions.is_resting(id, holder.id());
        let mut place = None;
        if !counted {
            place = Some(self.session_place(&holder).await?);
            state.count_bytes(&self.ledger, &holder, row.offset)?;
        }
        match self.resume(id, &row, algorithm).await? {
            Ok(hasher) => state.hasher = Some(hasher),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                tracing::warn!(upload = %id, %error, "the file of an upload is missing; the upload is discarded");
                self.drop_row(id, &row.repository).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let resting = self.sessions.wake(id).filter(|_| counted);
        if let Some(Resting { place: kept, bytes }) = resting {
            (place, state.charge) = (Some(kept), Some(bytes));
        }
        // It was counted when this began, and has ended meanwhile.
        let Some(place) = place else { return Ok(None) };
        let origin = Origin { name, repository: row.repository, owner: row.owner, holder };
        Ok(Some(self.sessions.insert(Session::new(id, origin, place, row.active_s, state))))
    }

    /// The hash over the part of a staged file that its row speaks of. Nothing behind it is left.
    async fn resume(
        &self,
        id: UploadId,
        row: &Upload,
        algorithm: Algorithm,
    ) -> Result<io::Result<Hasher>, RegistryError> {
        let saved = row.hash_state.as_ref().and_then(|saved| Hasher::restore(algorithm, saved));
        let (staging, offset) = (Arc::clone(&self.staging), row.offset);
        if let Some(hasher) = saved {
            return self.blocking(move || staging.resume(id, offset).map(|_| hasher)).await;
        }
        let permit = Arc::clone(&self.rehashes).acquire_owned().await;
        self.blocking(move || {
            let _permit = permit;
            let hashers = hashes_of(&staging.resume(id, offset)?, &[algorithm])?;
            hashers.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into())
        })
        .await
    }

    async fn drop_row(self: &Arc<Self>, id: UploadId, repository: &RepoId) -> Result<(), RegistryError> {
        drop(self.sessions.wake(id));
        let (registry, repository) = (Arc::clone(self), *repository);
        self.meta
            .change(Change::that_frees(), move |tx| {
                rows::delete(tx, id)?;
                registry.remove_if_unused(tx, repository)
            })
            .await?;
        Ok(())
    }
}

/// Whom the uploads of an owner count for, where the owner is known.
fn holder_of(tx: &impl Tx, owner: &Owner) -> Result<Option<Holder>, StoreError> {
    let Some(id) = user_of(tx, owner)? else { return Ok(None) };
    let user = tx.get(&schema::USER, id)?;
    Ok(user.map(|user| Holder::user(id, user.name.into(), None)))
}

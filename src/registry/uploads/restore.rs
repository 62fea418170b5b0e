//! Loads sessions of a previous run: found by their rows, truncated to the durable part, and hashed up to
//! there.

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
    /// Loads a session of `owner` from its row into memory, and counts it as `holder`'s. If its file is gone,
    /// its row is removed. The work continues when the client disconnects, and the next request finds the
    /// session in memory.
    pub(super) async fn load_session(
        self: &Arc<Self>,
        id: UploadId,
        owner: &Owner,
        holder: Holder,
    ) -> Result<Option<Arc<Session>>, RegistryError> {
        // An unknown id, and one of another owner, cost one read.
        let row = self.meta.get(|tx| tx.get(&schema::UPLOAD, id))?;
        if row.is_none_or(|row| row.owner != *owner) {
            return Ok(None);
        }
        let registry = Arc::clone(self);
        self.detached(async move { registry.load(id, holder).await }).await
    }

    /// Charges the uploads of a previous run to the users who own them, whatever the limits say. Uploads
    /// without a sign-in have no known owner and are not charged. Call it before anything else uses the
    /// registry.
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
        // One load of a session at a time: a second one would truncate the file while the writer of the first
        // one appends to it.
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
        // Its charge is gone: the session ended since this load began.
        let Some(place) = place else { return Ok(None) };
        let origin = Origin { name, repository: row.repository, owner: row.owner, holder };
        Ok(Some(self.sessions.insert(Session::new(id, origin, place, row.active_s, state))))
    }

    /// The hasher over the durable part of a staged file. The rest of the file is truncated.
    async fn resume(
        &self,
        id: UploadId,
        row: &Upload,
        algorithm: Algorithm,
    ) -> Result<io::Result<Hasher>, RegistryError> {
        let saved = row.hash_state.as_ref().and_then(|saved| Hasher::restore(algorithm, saved));
        let (staging, offset) = (Arc::clone(&self.staging), row.offset);
        if let Some(hasher) = saved {
            return self.blocking(move || staging.resume(id, offset, false).map(|_| hasher)).await;
        }
        let permit = Arc::clone(&self.rehashes).acquire_owned().await;
        self.blocking(move || {
            let _permit = permit;
            let hashers = hashes_of(&staging.resume(id, offset, false)?, &[algorithm])?;
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

/// The principal to charge for the uploads of an owner, if the owner is known.
fn holder_of(tx: &impl Tx, owner: &Owner) -> Result<Option<Holder>, StoreError> {
    let Some(id) = user_of(tx, owner)? else { return Ok(None) };
    let user = tx.get(&schema::USER, id)?;
    Ok(user.map(|user| Holder::user(id, user.name.into(), None)))
}

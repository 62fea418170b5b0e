//! Sessions of an earlier run: found by their rows, cut off at what is durable, hashed on.

use std::collections::HashSet;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::finish::hash_of;
use super::session::{Session, State};
use crate::auth::{Grant, System};
use crate::model::digest::{Algorithm, Hasher};
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::repositories;
use crate::store::blob::BlobStore;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Upload;
use crate::store::meta::tables;

impl Registry {
    /// Brings a session into memory that has a row, unless its file is gone: then the row goes too.
    pub(super) async fn load_session(
        self: &Arc<Self>,
        id: UploadId,
    ) -> Result<Option<Arc<Session>>, RegistryError> {
        // One at a time: a second load would cut the file off under the writer that the first one let in.
        let _loading = self.sessions.loading.lock().await;
        if let Some(session) = self.sessions.get(id) {
            return Ok(Some(session));
        }
        let found = self.meta.get(|tx| {
            let Some(row) = tx.get(&tables::UPLOAD, &id.bytes()[..])? else { return Ok(None) };
            let repository = tx.get(&tables::REPOSITORY, row.repository.0)?;
            Ok::<_, StoreError>(repository.map(|repository| (row, repository.name)))
        })?;
        let Some((row, name)) = found else { return Ok(None) };
        let (Ok(name), Some(algorithm)) = (name.parse(), Algorithm::from_byte(row.algorithm)) else {
            return Ok(None);
        };
        let (blobs, offset, saved) = (Arc::clone(&self.blobs), row.offset, row.hash_state);
        let resumed =
            self.blocking(move || resume(blobs.as_ref(), id, offset, algorithm, saved.as_deref())).await?;
        let hasher = match resumed {
            Ok(hasher) => hasher,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                tracing::warn!(upload = %id, %error, "the file of an upload is gone; the upload is given up");
                self.drop_row(id, &row.repository).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let state = State { staged: None, hasher, offset, checkpoint: offset, row: true, closed: false };
        let session = Session::with_state(id, name, row.repository, row.owner, row.active_s, state);
        Ok(Some(self.sessions.insert(session)))
    }

    /// Removes the rows of sessions that are not in memory and have been idle for too long.
    pub(super) async fn expire_rows(self: &Arc<Self>) -> Result<usize, RegistryError> {
        let now = self.meta.clock().now().running_s;
        let idle_s = self.limits.load().upload_idle_s;
        let rows = self.meta.scan(upload_rows).await?;
        let mut ended = 0;
        for (id, row) in rows {
            if self.sessions.get(id).is_none() && now.saturating_sub(row.active_s) >= idle_s {
                self.drop_row(id, &row.repository).await?;
                let blobs = Arc::clone(&self.blobs);
                self.blocking(move || blobs.discard(id)).await??;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Removes what uploads left that had no checkpoint when the last server stopped: staged files that no row speaks
    /// of, and repositories that were made for them. Call it before the first request.
    pub async fn sweep_uploads(self: &Arc<Self>, _grant: &Grant<System>) -> Result<usize, RegistryError> {
        let bare = self.meta.scan(repositories::bare).await?;
        if !bare.is_empty() {
            let remove = move |tx: &WriteTx<'_>| {
                bare.iter().try_for_each(|repository| repositories::remove_if_empty(tx, *repository))
            };
            self.meta.write_from_reserve(remove).await.map_err(RegistryError::Store)?;
        }
        let rows: HashSet<UploadId> =
            self.meta.scan(upload_rows).await?.into_iter().map(|(id, _)| id).collect();
        let blobs = Arc::clone(&self.blobs);
        self.blocking(move || {
            let orphans: Vec<_> =
                blobs.uploads()?.into_iter().filter(|entry| !rows.contains(&entry.id)).collect();
            for orphan in &orphans {
                blobs.discard(orphan.id)?;
            }
            Ok(orphans.len())
        })
        .await?
    }

    async fn drop_row(
        &self,
        id: UploadId,
        repository: &crate::model::names::RepoId,
    ) -> Result<(), RegistryError> {
        let (id, repository) = (id.bytes(), *repository);
        let last = !self.sessions.any_in(repository);
        self.meta
            .write_from_reserve(move |tx| {
                tx.delete(&tables::UPLOAD, &id[..])?;
                if last {
                    repositories::remove_if_empty(tx, repository)?;
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }
}

/// The hash over the part of a staged file that its row speaks of. Nothing behind it is left.
fn resume(
    blobs: &dyn BlobStore,
    id: UploadId,
    offset: u64,
    algorithm: Algorithm,
    saved: Option<&[u8]>,
) -> io::Result<Hasher> {
    let staged = blobs.resume(id, offset)?;
    match saved.and_then(|saved| Hasher::restore(algorithm, saved)) {
        Some(hasher) => Ok(hasher),
        None => hash_of(staged.as_ref(), algorithm),
    }
}

/// All upload rows. There are as many as uploads under way: few.
pub(in crate::registry) fn upload_rows(tx: &impl Tx) -> Result<Vec<(UploadId, Upload)>, RegistryError> {
    let mut rows = Vec::new();
    tx.scan(&tables::UPLOAD, Bound::Unbounded, Bound::Unbounded, |key, row| {
        if let Ok(bytes) = key.try_into() {
            rows.push((UploadId::from_bytes(bytes), row));
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

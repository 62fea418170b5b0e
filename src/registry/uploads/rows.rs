//! The rows of upload sessions, and the index that finds them by repository.

use std::ops::{Bound, ControlFlow};

use crate::model::names::RepoId;
use crate::model::names::UploadId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::schema;
use crate::store::meta::schema::Upload;

/// Sets the row of a session. Its entry in the index goes along when it moves to another repository.
pub(in crate::registry) fn put(tx: &WriteTx<'_>, id: UploadId, row: &Upload) -> Result<(), StoreError> {
    let key = id.bytes();
    match tx.get(&schema::UPLOAD, &key[..])? {
        Some(old) if old.repository == row.repository => {}
        old => {
            if let Some(old) = old {
                tx.delete(&schema::UPLOAD_BY_REPOSITORY, (old.repository.0, &key[..]))?;
            }
            tx.put(&schema::UPLOAD_BY_REPOSITORY, (row.repository.0, &key[..]), &())?;
        }
    }
    tx.put(&schema::UPLOAD, &key[..], row)
}

/// Removes the row of a session, if there is one, and returns it.
pub(super) fn delete(tx: &WriteTx<'_>, id: UploadId) -> Result<Option<Upload>, StoreError> {
    let key = id.bytes();
    let Some(row) = tx.get(&schema::UPLOAD, &key[..])? else { return Ok(None) };
    tx.delete(&schema::UPLOAD, &key[..])?;
    tx.delete(&schema::UPLOAD_BY_REPOSITORY, (row.repository.0, &key[..]))?;
    Ok(Some(row))
}

/// Whether a session of the repository has a row.
pub(in crate::registry) fn any_in(tx: &impl Tx, repository: RepoId) -> Result<bool, StoreError> {
    tx.any(&schema::UPLOAD_BY_REPOSITORY, repository.0)
}

/// Up to `limit` rows behind the session `after`, in the order of their ids.
pub(super) fn page(
    tx: &impl Tx,
    after: Option<UploadId>,
    limit: usize,
) -> Result<Vec<(UploadId, Upload)>, StoreError> {
    let after = after.map(|id| id.bytes());
    let from = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(&id[..]));
    let mut rows = Vec::new();
    tx.scan(&schema::UPLOAD, from, Bound::Unbounded, |key, row| {
        rows.extend(key.try_into().ok().map(|id| (UploadId::from_bytes(id), row)));
        if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(rows)
}

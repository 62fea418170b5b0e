//! The rows of upload sessions, and the index that finds them by repository.

use std::ops::{Bound, ControlFlow};

use crate::model::names::{RepoId, UploadId};
use crate::store::meta::schema::{self, Upload};
use crate::store::meta::{StoreError, Tx, WriteTx};

/// Writes the row of a session. If the session belongs to another repository now, its entry in the index
/// moves too.
pub(in crate::registry) fn put(tx: &WriteTx<'_>, id: UploadId, row: &Upload) -> Result<(), StoreError> {
    match tx.get(&schema::UPLOAD, id)? {
        Some(old) if old.repository == row.repository => {}
        old => {
            if let Some(old) = old {
                tx.delete(&schema::UPLOAD_BY_REPOSITORY, (old.repository, id))?;
            }
            tx.put(&schema::UPLOAD_BY_REPOSITORY, (row.repository, id), &())?;
        }
    }
    tx.put(&schema::UPLOAD, id, row)
}

/// Removes the row of a session, if there is one, and returns it.
pub(super) fn delete(tx: &WriteTx<'_>, id: UploadId) -> Result<Option<Upload>, StoreError> {
    let Some(row) = tx.get(&schema::UPLOAD, id)? else { return Ok(None) };
    tx.delete(&schema::UPLOAD, id)?;
    tx.delete(&schema::UPLOAD_BY_REPOSITORY, (row.repository, id))?;
    Ok(Some(row))
}

/// Whether a session of the repository has a row.
pub(in crate::registry) fn any_in(tx: &impl Tx, repository: RepoId) -> Result<bool, StoreError> {
    tx.any(&schema::UPLOAD_BY_REPOSITORY, repository)
}

/// Up to `limit` rows after the session `after`, in the order of ids.
pub(super) fn page(
    tx: &impl Tx,
    after: Option<UploadId>,
    limit: usize,
) -> Result<Vec<(UploadId, Upload)>, StoreError> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rows = Vec::new();
    tx.scan_range(&schema::UPLOAD, (from, Bound::Unbounded), |id, row| {
        rows.push((id, row));
        if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(rows)
}

//! Repositories come with their first upload and go when nothing is left in them.

use std::ops::Bound;
use std::ops::ControlFlow;

use super::error::RegistryError;
use super::events;
use crate::auth::{Action, Caller, Grant, Repository as Target};
use crate::model::event::EventKind;
use crate::model::names::ProjectId;
use crate::model::names::RepoId;
use crate::model::names::RepoName;
use crate::store::meta::ROOT_PROJECT;
use crate::store::meta::ReadTx;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Repository;
use crate::store::meta::tables;

/// Numbers of repositories that are looked at together.
const LOOKED_AT_ONCE: u64 = 1_000;

/// Checks the grant again in the transaction and returns the number of its repository, which is made if need be.
pub(super) fn ensure<A>(tx: &WriteTx<'_>, grant: &Grant<A>) -> Result<RepoId, RegistryError>
where
    A: Action<Target = Target>,
{
    grant.recheck(tx)??;
    Ok(find_or_make(tx, grant.name(), grant.caller())?)
}

/// The number of the repository `name`, which is made if need be.
pub(super) fn find_or_make(tx: &WriteTx<'_>, name: &RepoName, caller: &Caller) -> Result<RepoId, StoreError> {
    if let Some(id) = tx.get(&tables::REPOSITORY_NAME, name.as_str())? {
        return Ok(RepoId(id));
    }
    let id = tx.next_id();
    let row = Repository {
        name: name.as_str().to_owned(),
        project: project_of(tx, name)?,
        created_ms: tx.now().wall_ms,
    };
    tx.put(&tables::REPOSITORY, id, &row)?;
    tx.put(&tables::REPOSITORY_NAME, name.as_str(), &id)?;
    events::record(tx, caller, EventKind::RepositoryCreated { repository: name.clone() })?;
    Ok(RepoId(id))
}

/// Checks the grant again in the transaction and returns the number of its repository, if there is one.
pub(super) fn existing<A>(tx: &WriteTx<'_>, grant: &Grant<A>) -> Result<RepoId, RegistryError>
where
    A: Action<Target = Target>,
{
    grant.recheck(tx)??;
    tx.get(&tables::REPOSITORY_NAME, grant.name().as_str())?
        .map(RepoId)
        .ok_or_else(|| RegistryError::RepositoryUnknown(grant.name().clone()))
}

/// The project with the longest path above a name.
fn project_of(tx: &impl Tx, name: &RepoName) -> Result<ProjectId, StoreError> {
    for prefix in name.prefixes() {
        if let Some(project) = tx.get(&tables::PROJECT_PATH, prefix)? {
            return Ok(ProjectId(project));
        }
    }
    Ok(ProjectId(ROOT_PROJECT))
}

/// Whether nothing is in a repository: no manifest, no blob, no reference, no upload session with a row.
pub(super) fn is_bare(tx: &impl Tx, id: RepoId) -> Result<bool, StoreError> {
    let (first, last): (&[u8], &[u8]) = (&[], &[u8::MAX; 66]);
    let (from, to) = (Bound::Included((id.0, first)), Bound::Included((id.0, last)));
    if tx.any(&tables::MANIFEST, from, to)? || tx.any(&tables::LINK, from, to)? {
        return Ok(false);
    }
    let mut uploads = false;
    tx.scan(&tables::UPLOAD, Bound::Unbounded, Bound::Unbounded, |_, row| {
        uploads |= row.repository == id;
        if uploads { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(!uploads)
}

/// The repositories in which nothing is. Every other one but those of uploads has a row of usage, so the numbers of rows
/// tell how many are to be looked for. They were made last, so the newest are looked at first: the work does not grow
/// with the repositories that are there.
pub(super) fn bare(tx: &ReadTx) -> Result<Vec<RepoId>, StoreError> {
    let all = tx.count(&tables::REPOSITORY)?;
    let mut wanted = all.saturating_sub(tx.count(&tables::USAGE_REPOSITORY)?);
    let clock = tx.get(&tables::CLOCK, ())?.ok_or(StoreError::Corrupt { table: tables::CLOCK.name() })?;
    let mut end = clock.last_id;
    let mut bare = Vec::new();
    while wanted > 0 && end > 0 {
        let start = end.saturating_sub(LOOKED_AT_ONCE);
        let mut ids = Vec::new();
        tx.scan(&tables::REPOSITORY.raw(), Bound::Excluded(start), Bound::Included(end), |id, _| {
            ids.push(id);
            ControlFlow::Continue(())
        })?;
        for id in ids.into_iter().rev() {
            if wanted == 0 || tx.has(&tables::USAGE_REPOSITORY, id)? {
                continue;
            }
            wanted -= 1;
            if is_bare(tx, RepoId(id))? {
                bare.push(RepoId(id));
            }
        }
        end = start;
    }
    Ok(bare)
}

/// Removes a repository in which nothing is left.
pub(super) fn remove_if_empty(tx: &WriteTx<'_>, id: RepoId) -> Result<(), StoreError> {
    let Some(row) = tx.get(&tables::REPOSITORY, id.0)? else { return Ok(()) };
    if !is_bare(tx, id)? {
        return Ok(());
    }
    tx.delete(&tables::REPOSITORY, id.0)?;
    tx.delete(&tables::REPOSITORY_NAME, row.name.as_str())?;
    tx.delete(&tables::DIRTY_REPOSITORY, id.0)?;
    Ok(())
}

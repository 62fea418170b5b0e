//! Repositories: created by their first upload, removed when nothing is left in them.

use std::ops::{Bound, ControlFlow};

use super::error::RegistryError;
use super::trash;
use super::uploads::rows;
use crate::access::{Action, Caller, Grant, Repository as Target};
use crate::model::audit::Actor;
use crate::model::event::EventKind;
use crate::model::names::{ProjectId, RepoId, RepoName};
use crate::store::meta::schema::{self, Repository};
use crate::store::meta::{ReadTx, StoreError, Tx, WriteTx};

/// Numbers of repositories in one slice of a [`BareSearch`].
const LOOKED_AT_ONCE: u64 = 1_000;

/// Checks the grant again in the transaction and returns the number of its repository, which is created if
/// necessary.
pub(super) fn ensure<A>(tx: &WriteTx<'_>, grant: &Grant<A>) -> Result<RepoId, RegistryError>
where
    A: Action<Target = Target>,
{
    grant.recheck(tx)??;
    Ok(find_or_make(tx, grant.name(), grant.caller())?)
}

/// The number of the repository `name`, which is created if necessary. The caller's grant must have been
/// checked again.
fn find_or_make(tx: &WriteTx<'_>, name: &RepoName, caller: &Caller) -> Result<RepoId, StoreError> {
    if let Some(id) = tx.get(&schema::REPOSITORY_NAME, name.as_str())? {
        return Ok(id);
    }
    let id = tx.next_repository();
    let row = Repository {
        name: name.as_str().to_owned(),
        project: project_of(tx, name)?,
        created_ms: tx.now().wall_ms,
    };
    tx.put(&schema::REPOSITORY, id, &row)?;
    tx.put(&schema::REPOSITORY_NAME, name.as_str(), &id)?;
    tx.record(caller.actor(), EventKind::RepositoryCreated { repository: name.clone() })?;
    Ok(id)
}

/// Checks the grant again in the transaction and returns the number of its repository, if it exists.
pub(super) fn existing<A>(tx: &WriteTx<'_>, grant: &Grant<A>) -> Result<RepoId, RegistryError>
where
    A: Action<Target = Target>,
{
    grant.recheck(tx)??;
    tx.get(&schema::REPOSITORY_NAME, grant.name().as_str())?
        .ok_or_else(|| RegistryError::RepositoryUnknown(grant.name().clone()))
}

/// The name of a repository; `None` while it is in the trash: then its name may be that of another one.
pub(super) fn name(tx: &impl Tx, id: RepoId) -> Result<Option<String>, StoreError> {
    let row = tx.get(&schema::REPOSITORY, id)?;
    Ok(if trash::has_repository(tx, id)? { None } else { row.map(|row| row.name) })
}

/// The project whose path is the longest prefix of a name.
fn project_of(tx: &impl Tx, name: &RepoName) -> Result<ProjectId, StoreError> {
    for prefix in name.prefixes() {
        if let Some(project) = tx.get(&schema::PROJECT_PATH, prefix)? {
            return Ok(project);
        }
    }
    Ok(ProjectId::ROOT)
}

/// Whether a repository is empty: no manifest, no blob, no reference, no upload session with a row, nothing
/// in the trash. Four point reads.
pub(super) fn is_bare(tx: &impl Tx, id: RepoId) -> Result<bool, StoreError> {
    Ok(!tx.any(&schema::MANIFEST, id)?
        && !tx.any(&schema::LINK, id)?
        && !tx.any(&schema::TRASH_BY_REPOSITORY, id)?
        && !rows::any_in(tx, id)?)
}

/// Searches, in slices, for repositories with nothing in them. Only such repositories and those with uploads
/// have no row of usage, so the number of rows says how many there can be. They were created last, so the
/// search starts at the newest number: its cost does not grow with the number of other repositories.
pub(super) struct BareSearch {
    wanted: u64,
    /// Only numbers up to this one are left to search.
    end: u64,
}

impl BareSearch {
    pub(super) fn start(tx: &ReadTx) -> Result<Self, StoreError> {
        let all = tx.count(&schema::REPOSITORY)?;
        let wanted = all.saturating_sub(tx.count(&schema::USAGE_REPOSITORY)?);
        let clock = tx.get(&schema::CLOCK, ())?.ok_or(StoreError::Corrupt { table: schema::CLOCK.name() })?;
        Ok(Self { wanted, end: clock.last_id })
    }

    pub(super) const fn is_done(&self) -> bool {
        self.wanted == 0 || self.end == 0
    }

    /// The empty repositories of the next slice.
    pub(super) fn next(&mut self, tx: &ReadTx) -> Result<Vec<RepoId>, StoreError> {
        let start = self.end.saturating_sub(LOOKED_AT_ONCE);
        let mut ids = Vec::new();
        let range = (Bound::Excluded(RepoId(start)), Bound::Included(RepoId(self.end)));
        tx.scan_range(&schema::REPOSITORY.raw(), range, |id, _| {
            ids.push(id);
            ControlFlow::Continue(())
        })?;
        let mut bare = Vec::new();
        for id in ids.into_iter().rev() {
            if self.wanted == 0 || tx.has(&schema::USAGE_REPOSITORY, id)? {
                continue;
            }
            self.wanted -= 1;
            if is_bare(tx, id)? {
                bare.push(id);
            }
        }
        self.end = start;
        Ok(bare)
    }
}

/// Removes a repository if it is empty.
pub(super) fn remove_if_empty(tx: &WriteTx<'_>, id: RepoId, actor: Actor<'_>) -> Result<(), StoreError> {
    let Some(row) = tx.get(&schema::REPOSITORY, id)? else { return Ok(()) };
    if !is_bare(tx, id)? {
        return Ok(());
    }
    tx.delete(&schema::REPOSITORY, id)?;
    tx.delete(&schema::DIRTY_REPOSITORY, id)?;
    // One that was in the trash has no name: it may be that of another one.
    if tx.get(&schema::REPOSITORY_NAME, row.name.as_str())? != Some(id) {
        return Ok(());
    }
    tx.delete(&schema::REPOSITORY_NAME, row.name.as_str())?;
    // An event names a repository; a name that no longer parses is damage, which `fsck` reports.
    let Ok(repository) = row.name.parse() else { return Ok(()) };
    tx.record(actor, EventKind::RepositoryRemoved { repository })
}

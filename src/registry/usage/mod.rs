//! Usage: what repositories and projects hold, updated with every change and never computed by a scan.
//!
//! A blob counts once in each holder. The root project contains every repository, so its count of a blob is
//! the number of repositories that hold the blob. Bytes are unique to a holder while no repository outside of
//! it has them.

pub(in crate::registry) mod recompute;

use std::ops::ControlFlow;

use crate::model::digest::Digest;
use crate::model::names::{ProjectId, RepoId};
use crate::store::meta::schema::{self, Usage};
use crate::store::meta::{StoreError, Tx, WriteTx};

/// The project of `repository` and all its ancestors, the root last.
pub(super) fn projects(tx: &impl Tx, repository: RepoId) -> Result<Vec<ProjectId>, StoreError> {
    let row = tx
        .get(&schema::REPOSITORY, repository)?
        .ok_or(StoreError::Corrupt { table: schema::REPOSITORY.name() })?;
    let mut chain = vec![row.project];
    while let Some(parent) = tx
        .get(&schema::PROJECT, chain[chain.len() - 1])?
        .ok_or(StoreError::Corrupt { table: schema::PROJECT.name() })?
        .parent
    {
        chain.push(parent);
    }
    Ok(chain)
}

/// Counts a blob that `repository` is about to hold; its `blob_link` row does not exist yet.
pub(super) fn blob_added(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    size: u64,
) -> Result<(), StoreError> {
    let mine = projects(tx, repository)?;
    let holders = tx.get(&schema::PROJECT_BLOB, (digest, ProjectId::ROOT))?.unwrap_or(0);
    if let Some(other) = any_holder(tx, digest)? {
        // From 1 to 2 holders: the bytes are no longer unique to the first one.
        if holders == 1 {
            change_repository(tx, other, |usage| usage.unique_bytes -= size)?;
        }
        for project in projects(tx, other)? {
            // A project that contained every holder, but does not contain this one, loses its unique bytes.
            let all_inside = tx.get(&schema::PROJECT_BLOB, (digest, project))?.unwrap_or(0) == holders;
            if all_inside && !mine.contains(&project) {
                change_project(tx, project, |usage| usage.unique_bytes -= size)?;
            }
        }
    }
    change_repository(tx, repository, |usage| {
        usage.blobs += 1;
        usage.bytes += size;
        if holders == 0 {
            usage.unique_bytes += size;
        }
    })?;
    for project in mine {
        let count = tx.get(&schema::PROJECT_BLOB, (digest, project))?.unwrap_or(0);
        tx.put(&schema::PROJECT_BLOB, (digest, project), &(count + 1))?;
        // The first holder in a project adds the bytes to the project; they are unique to the project if the
        // blob has no other holder. A further holder in the project changes neither figure.
        if count == 0 {
            change_project(tx, project, |usage| {
                usage.blobs += 1;
                usage.bytes += size;
                if holders == 0 {
                    usage.unique_bytes += size;
                }
            })?;
        }
    }
    Ok(())
}

/// Counts a blob that `repository` no longer holds; its `blob_link` row is already deleted.
pub(super) fn blob_removed(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    size: u64,
) -> Result<(), StoreError> {
    let mine = projects(tx, repository)?;
    let holders = tx.get(&schema::PROJECT_BLOB, (digest, ProjectId::ROOT))?.unwrap_or(0);
    change_repository(tx, repository, |usage| {
        usage.blobs -= 1;
        usage.bytes -= size;
        if holders == 1 {
            usage.unique_bytes -= size;
        }
    })?;
    for project in &mine {
        let count = tx.get(&schema::PROJECT_BLOB, (digest, *project))?.unwrap_or(0);
        // Another repository of the project still holds the blob.
        if count > 1 {
            tx.put(&schema::PROJECT_BLOB, (digest, *project), &(count - 1))?;
            continue;
        }
        tx.delete(&schema::PROJECT_BLOB, (digest, *project))?;
        change_project(tx, *project, |usage| {
            usage.blobs -= 1;
            usage.bytes -= size;
            if holders == 1 {
                usage.unique_bytes -= size;
            }
        })?;
    }
    let Some(other) = any_holder(tx, digest)? else { return Ok(()) };
    // From 2 to 1 holders: the bytes become unique to the one that is left.
    if holders == 2 {
        change_repository(tx, other, |usage| usage.unique_bytes += size)?;
    }
    for project in projects(tx, other)? {
        // A project that contains every holder that is left, but not this repository, gains unique bytes.
        let all_inside = tx.get(&schema::PROJECT_BLOB, (digest, project))?.unwrap_or(0) == holders - 1;
        if all_inside && !mine.contains(&project) {
            change_project(tx, project, |usage| usage.unique_bytes += size)?;
        }
    }
    Ok(())
}

/// Applies a change of the counts that are plain sums (manifests and tags) to the repository and its
/// projects.
pub(super) fn change(
    tx: &WriteTx<'_>,
    repository: RepoId,
    change: impl Fn(&mut Usage),
) -> Result<(), StoreError> {
    change_repository(tx, repository, &change)?;
    for project in projects(tx, repository)? {
        change_project(tx, project, &change)?;
    }
    Ok(())
}

fn any_holder(tx: &impl Tx, digest: &Digest) -> Result<Option<RepoId>, StoreError> {
    let mut found = None;
    tx.scan_prefix(&schema::BLOB_LINK, digest, |repository, ()| {
        found = Some(repository);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn change_repository(
    tx: &WriteTx<'_>,
    repository: RepoId,
    change: impl Fn(&mut Usage),
) -> Result<(), StoreError> {
    let mut usage = tx.get(&schema::USAGE_REPOSITORY, repository)?.unwrap_or_default();
    change(&mut usage);
    if usage == Usage::default() {
        tx.delete(&schema::USAGE_REPOSITORY, repository).map(drop)
    } else {
        tx.put(&schema::USAGE_REPOSITORY, repository, &usage)
    }
}

fn change_project(
    tx: &WriteTx<'_>,
    project: ProjectId,
    change: impl Fn(&mut Usage),
) -> Result<(), StoreError> {
    let mut usage = tx.get(&schema::USAGE_PROJECT, project)?.unwrap_or_default();
    change(&mut usage);
    tx.put(&schema::USAGE_PROJECT, project, &usage)
}

//! The usage of repositories and projects, compared with a new count.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::check::Check;
use super::place::Place;
use crate::model::names::{ProjectId, RepoId};
use crate::model::units::{counted, exact_size};
use crate::registry::disk;
use crate::registry::usage::recompute::Tally;
use crate::store::meta::schema::{self, Disk, Usage};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// Checks that the stored figures equal a new count.
pub(super) fn usage(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::BLOB)?;
    let meta = check.meta;
    let Tally { mut repositories, mut projects, .. } = Tally::of_store(meta, &mut |tx, key, counts| {
        check.tick();
        blob_counts(check, tx, key, counts)
    })?;
    check.rows(&schema::PROJECT_BLOB, |check, tx, (key, project), count| {
        if !tx.any(&schema::BLOB_LINK.raw().raw_keys(), key)? {
            let found = repositories_of(ProjectId(project), count);
            check.inconsistency("project_blob", Place::digest(key), "no repositories that hold it", found);
        }
        Ok(())
    })?;
    check.rows(&schema::USAGE_REPOSITORY, |check, _, repository, found| {
        let expected = repositories.remove(&RepoId(repository)).unwrap_or_default();
        compare(check, Place::repository(repository), "", &expected, &found);
        Ok(())
    })?;
    for (repository, expected) in repositories {
        compare(check, Place::repository(repository.0), "", &expected, &Usage::default());
    }
    check.rows(&schema::USAGE_PROJECT, |check, _, project, found| {
        let expected = projects.remove(&ProjectId(project)).unwrap_or_default();
        compare(check, Place::STORE, &format!("project {project}: "), &expected, &found);
        Ok(())
    })?;
    let (expected, found) =
        (disk::count(meta)?, meta.read(|tx| tx.get(&schema::DISK, ()))?.unwrap_or_default());
    if expected != found {
        let text = |disk: Disk| {
            format!(
                "{}, {}, of them {} unused",
                counted(disk.blobs, "blob", "blobs"),
                exact_size(disk.bytes),
                disk.unused_bytes
            )
        };
        check.inconsistency("usage", Place::STORE, text(expected), text(found));
    }
    for (project, expected) in projects {
        compare(check, Place::STORE, &format!("project {project}: "), &expected, &Usage::default());
    }
    Ok(())
}

fn blob_counts(
    check: &mut Check<'_>,
    tx: &ReadTx,
    key: &[u8],
    counts: &BTreeMap<ProjectId, u64>,
) -> Result<(), StoreError> {
    let mut found = BTreeMap::new();
    let stored = tx.scan_prefix(&schema::PROJECT_BLOB.raw_keys(), key, |project, count| {
        found.insert(ProjectId(project), count);
        ControlFlow::Continue(())
    });
    match stored {
        // The damaged row is reported with its own table.
        Err(StoreError::Corrupt { .. }) => return Ok(()),
        other => other?,
    }
    if found != *counts {
        let text = |counts: &BTreeMap<ProjectId, u64>| {
            let counts: Vec<_> =
                counts.iter().map(|(project, count)| repositories_of(*project, *count)).collect();
            counts.join(", ")
        };
        check.inconsistency("project_blob", Place::digest(key), text(counts), text(&found));
    }
    Ok(())
}

/// Reports the figures that differ.
fn compare(check: &mut Check<'_>, place: Place<'_>, whose: &str, expected: &Usage, found: &Usage) {
    let figures = |usage: &Usage| {
        [
            ("blobs", usage.blobs),
            ("bytes", usage.bytes),
            ("unique bytes", usage.unique_bytes),
            ("manifests", usage.manifests),
            ("manifest bytes", usage.manifest_bytes),
            ("tags", usage.tags),
        ]
    };
    let differ =
        figures(expected).into_iter().zip(figures(found)).filter(|(expected, found)| expected != found);
    let (expected, found): (Vec<_>, Vec<_>) = differ
        .map(|((what, expected), (_, found))| (format!("{expected} {what}"), format!("{found} {what}")))
        .unzip();
    if !expected.is_empty() {
        check.inconsistency("usage", place, format!("{whose}{}", expected.join(", ")), found.join(", "));
    }
}

fn repositories_of(project: ProjectId, count: u64) -> String {
    format!("{} of project {project}", counted(count, "repository", "repositories"))
}

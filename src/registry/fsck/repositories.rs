//! Projects and repositories: their names, their projects, and the catalogue.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::check::Check;
use super::place::Place;
use crate::model::names::{ProjectId, RepoId, RepoName};
use crate::model::units::counted;
use crate::registry::repositories::is_bare;
use crate::store::meta::schema::{self, Project, Repository};
use crate::store::meta::{Key, ReadTx, Row, StoreError, Stored, Table, Tx as _};

/// Checks that paths lead to projects and projects to their paths, and that each project lies in its parent.
pub(super) fn projects(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::PROJECT)?;
    check.rows(&schema::PROJECT, |check, tx, id, row| {
        check.last_id = check.last_id.max(id);
        let listed = tx.get(&schema::PROJECT_PATH, row.path.as_str())?;
        if listed != Some(ProjectId(id)) {
            let expected = format!("the path `{}` leads to project {id}", row.path);
            check.inconsistency("project_path", Place::STORE, expected, number(listed.map(|id| id.0)));
        }
        if !lies_in_parent(tx, id, &row)? {
            let expected = format!("project {id} with the path `{}` lies in its parent", row.path);
            check.inconsistency(
                "project_parent",
                Place::STORE,
                expected,
                number(row.parent.map(|parent| parent.0)),
            );
        }
        Ok(())
    })?;
    check.rows(&schema::PROJECT_PATH, |check, tx, path, id| {
        let row = tx.get(&schema::PROJECT, id)?;
        if row.as_ref().is_none_or(|row| row.path != path) {
            let found = row.map_or("no project".to_owned(), |row| format!("the path `{}`", row.path));
            check.inconsistency(
                "project_path",
                Place::STORE,
                format!("project {id} has the path `{path}`"),
                found,
            );
        }
        Ok(())
    })
}

fn lies_in_parent(tx: &ReadTx, id: u64, row: &Project) -> Result<bool, StoreError> {
    let Some(parent) = row.parent else { return Ok(id == ProjectId::ROOT.0 && row.path.is_empty()) };
    Ok(tx.get(&schema::PROJECT, parent)?.is_some_and(|parent| {
        let rest = row.path.strip_prefix(&parent.path);
        rest.is_some_and(|rest| if parent.path.is_empty() { !rest.is_empty() } else { rest.starts_with('/') })
    }))
}

fn number(id: Option<u64>) -> String {
    id.map_or("nothing".to_owned(), |id| format!("number {id}"))
}

/// Checks that names lead to repositories and repositories to their names and projects, and that the
/// catalogue lists those with a manifest.
pub(super) fn repositories(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::REPOSITORY)?;
    let mut bare = 0;
    let mut unreadable = BTreeSet::new();
    ids(check, &schema::REPOSITORY, |id| id, |id| id, &mut unreadable)?;
    check.rows(&schema::REPOSITORY, |check, tx, id, row| {
        check.report.checked.repositories += 1;
        check.last_id = check.last_id.max(id);
        check.repositories.insert(id, Some(row.name.clone()));
        bare += u64::from(is_bare(tx, RepoId(id))?);
        repository(check, tx, id, &row)
    })?;
    check.rows(&schema::REPOSITORY_NAME, |check, tx, name, id| {
        let row = tx.get(&schema::REPOSITORY, id)?;
        if row.as_ref().is_none_or(|row| row.name != name) {
            let found = row.map_or("no repository".to_owned(), |row| format!("the name `{}`", row.name));
            check.inconsistency(
                "repository_name",
                Place::repository(id.0),
                format!("the name `{name}`"),
                found,
            );
        }
        Ok(())
    })?;
    check.rows(&schema::CATALOG, |check, tx, name, ()| {
        if !tx.has(&schema::REPOSITORY_NAME, name)? {
            check.inconsistency("catalog", Place::STORE, "names of repositories", format!("`{name}`"));
        }
        Ok(())
    })?;
    if bare > 0 {
        let holding = counted(bare, "repository holds", "repositories hold");
        check.note(format!("{holding} nothing: the first upload did not end"));
    }
    strays(check, &unreadable)
}

fn repository(check: &mut Check<'_>, tx: &ReadTx, id: u64, row: &Repository) -> Result<(), StoreError> {
    let place = Place::repository(id);
    let listed = tx.get(&schema::REPOSITORY_NAME, row.name.as_str())?;
    // The name of one in the trash leads to none, or to another one.
    let is_trashed = tx.has(&schema::TRASH_REPOSITORY, RepoId(id))?;
    if row.name.parse::<RepoName>().is_err() {
        check.damage("repository_name", place, "a name", format!("`{}`", row.name));
    } else if is_trashed && listed == Some(RepoId(id)) {
        let found = format!("the name `{}` leads to it", row.name);
        check.inconsistency("repository_name", place, "no name, for it is in the trash", found);
    } else if !is_trashed && listed != Some(RepoId(id)) {
        let expected = format!("the name `{}` leads to number {id}", row.name);
        check.inconsistency("repository_name", place, expected, number(listed.map(|id| id.0)));
    }
    if !tx.has(&schema::PROJECT, row.project)? {
        check.inconsistency("repository_project", place, "a project", format!("no project {}", row.project));
    }
    let holds = tx.any(&schema::MANIFEST.raw().raw_keys(), id)?;
    let listed = tx.has(&schema::CATALOG, row.name.as_str())?;
    if !is_trashed && holds != listed {
        let said = |listed| if listed { "in the catalogue" } else { "not in the catalogue" };
        check.inconsistency("catalog", place, said(holds), said(listed));
    }
    Ok(())
}

/// Reports rows of repositories that do not exist.
fn strays(check: &mut Check<'_>, listed: &BTreeSet<u64>) -> Result<(), StoreError> {
    let none: &[u8] = &[];
    macro_rules! find {
        ($($table:ident: $id:pat => $key:expr, $found:pat => $repository:expr;)*) => { $(
            let mut found = BTreeSet::new();
            ids(check, &schema::$table, |$id| $key, |$found| $repository, &mut found)?;
            for id in found.difference(listed) {
                check.repositories.entry(*id).or_default();
                let found = format!("rows in the table {}", schema::$table.name());
                check.inconsistency("repository_unknown", Place::repository(*id), "no rows of it", found);
            }
        )* };
    }
    find! {
        MANIFEST: id => (id, none), (id, _) => id;
        LINK: id => (id, none), (id, _) => id;
        PULLS: id => (id, none), (id, _) => id;
        PARENT: id => (id, none, none), (id, _, _) => id;
        REFERRER: id => (id, none, none), (id, _, _) => id;
        DIRTY_REPOSITORY: id => id, id => id;
        TAG: id => (id, ""), (id, _) => id;
        TAG_BY_DIGEST: id => (id, none, ""), (id, _, _) => id;
        TAG_BY_SEQUENCE: id => (id, 0), (id, _) => id;
        USAGE_REPOSITORY: id => id, id => id;
        UPLOAD_BY_REPOSITORY: id => (id, none), (id, _) => id;
        TRASH_BY_REPOSITORY: id => (id, 0), (id, _) => id;
        TRASH_REPOSITORY: id => id, id => id;
        TRASH_ROOT: id => (id, none, 0), (id, _, _) => id;
        TRASH_MANIFEST: id => (id, none), (id, _) => id;
        TRASH_REFERRER: id => (id, none, none), (id, _, _) => id;
    }
    let mut remembered = BTreeSet::new();
    ids(check, &schema::TAG_HISTORY, |id| (id, "", 0), |(id, _, _)| id, &mut remembered)?;
    let gone = remembered.difference(listed).count();
    if gone > 0 {
        let repositories =
            counted(gone as u64, "deleted repository still has", "deleted repositories still have");
        check.note(format!("{repositories} tag history"));
    }
    Ok(())
}

/// The repositories that occur in a table, found by seeking from each to the next.
fn ids<K: Key, R: Row>(
    check: &Check<'_>,
    table: &Table<K, R>,
    key: impl Fn(u64) -> Stored<'static, K>,
    repository: impl Fn(Stored<'_, K>) -> u64,
    found: &mut BTreeSet<u64>,
) -> Result<(), StoreError> {
    let mut from = Some(0);
    while let Some(first) = from {
        from = check.meta.read(|tx| {
            let mut next = None;
            tx.scan(&table.raw(), Bound::Included(key(first)), Bound::Unbounded, |key, _| {
                let id = repository(key);
                found.insert(id);
                next = id.checked_add(1);
                ControlFlow::Break(())
            })?;
            Ok::<_, StoreError>(next)
        })?;
    }
    Ok(())
}

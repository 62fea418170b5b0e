//! The trash: every entry has its repository, every manifest and tag in it its entry.

use super::check::Check;
use super::manifests::is_there;
use super::place::Place;
use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence};
use crate::model::units::{counted, human_size};
use crate::store::meta::schema::{self, TrashKind, Trashed};
use crate::store::meta::{StoreError, Tx as _};

/// Checks the rows of the trash and the indexes over them.
pub(super) fn rows(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::TRASH)?;
    check.expect(&schema::TRASH_MANIFEST)?;
    let (mut entries, mut bytes) = (0, 0_u64);
    check.rows(&schema::TRASH, |check, tx, id, row| {
        check.last_sequence = check.last_sequence.max(id);
        entries += 1;
        bytes = bytes.saturating_add(row.bytes);
        let place = Place::repository(row.repository.0);
        if !tx.has(&schema::REPOSITORY, row.repository)? {
            check.damage("trash_repository", place, format!("the repository of entry {id}"), "none");
        }
        if !tx.has(&schema::TRASH_BY_REPOSITORY, (row.repository, Sequence(id)))? {
            check.inconsistency("trash_index", place, format!("a row that entry {id} is in it"), "no row");
        }
        if let Some(digest) = &row.digest
            && !tx.has(&schema::TRASH_ROOT, (row.repository, digest, Sequence(id)))?
        {
            check.inconsistency(
                "trash_index",
                place,
                format!("a row that entry {id} is of {digest}"),
                "no row",
            );
        }
        let listed = tx.get(&schema::TRASH_REPOSITORY, row.repository)? == Some(Sequence(id));
        if listed != (row.kind == TrashKind::Repository) {
            let found = format!("another repository in the trash at entry {id}");
            check.inconsistency("trash_index", place, "itself in the trash", found);
        }
        Ok(())
    })?;
    if entries > 0 {
        let entries = counted(entries, "deletion is", "deletions are");
        check.note(format!("{entries} in the trash ({}): stowage trash list", human_size(bytes)));
    }
    manifests(check)?;
    indexes(check)
}

fn manifests(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&schema::TRASH_MANIFEST, |check, tx, (repository, key), row| {
        let place = Place::within(repository, key);
        check.last_sequence = check.last_sequence.max(row.manifest.sequence.0);
        if Digest::from_key(key).is_none() {
            check.damage("key", place, "a digest in the table trash_manifest", "other bytes");
        }
        if tx.has(&schema::MANIFEST.raw_keys(), (repository, key))? {
            check.inconsistency("trash_manifest", place, "in the trash only", "in the repository, too");
        }
        if !tx.has(&schema::TRASH, row.entry)? {
            let found = format!("entry {}, which is not there", row.entry);
            check.inconsistency("trash_manifest", place, "an entry of the trash", found);
        }
        if !tx.has(&schema::TRASH_CONTENT.raw_keys(), (row.entry.0, key))? {
            check.inconsistency("trash_index", place, "a row that its entry has it", "no row");
        }
        if !tx.has(&schema::MANIFEST_REPO.raw_keys(), (key, repository))? {
            check.inconsistency("manifest_holder", place, "a row that the trash holds it", "no row");
        }
        if !tx.has(&schema::MANIFEST_BODY.raw_keys(), key)? {
            check.damage("manifest_missing", place, "its bytes", "none");
        }
        Ok(())
    })
}

fn indexes(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&schema::TRASH_BY_REPOSITORY, |check, tx, (repository, id), ()| {
        let row = tx.get(&schema::TRASH, Sequence(id))?;
        if row.is_none_or(|row| row.repository.0 != repository) {
            let found = format!("a row that entry {id} is in it");
            check.inconsistency("trash_index", Place::repository(repository), "no row", found);
        }
        Ok(())
    })?;
    check.rows(&schema::TRASH_REPOSITORY, |check, tx, repository, id| {
        let row = tx.get(&schema::TRASH, id)?;
        if row.is_none_or(|row| row.kind != TrashKind::Repository || row.repository.0 != repository) {
            let found = format!("in the trash with entry {id}");
            check.inconsistency("trash_index", Place::repository(repository), "not in the trash", found);
        }
        Ok(())
    })?;
    check.rows(&schema::TRASH_CONTENT, |check, tx, (id, key), ()| {
        let entry = tx.get(&schema::TRASH, Sequence(id))?;
        let row = match entry {
            Some(entry) => tx.get(&schema::TRASH_MANIFEST.raw_keys(), (entry.repository.0, key))?,
            None => None,
        };
        if row.is_none_or(|row| row.entry.0 != id) {
            check.inconsistency("trash_index", Place::digest(key), "no row", format!("a row in entry {id}"));
        }
        Ok(())
    })?;
    check.rows(&schema::TRASH_REFERRER, |check, tx, (repository, subject, key), _| {
        let row = tx.get(&schema::TRASH_MANIFEST.raw_keys(), (repository, key))?;
        if row.and_then(|row| row.manifest.subject).is_none_or(|other| *other.key() != *subject) {
            let found = format!("a row that it refers to {}", Place::digest_text(subject));
            check.inconsistency("trash_index", Place::within(repository, key), "no row", found);
        }
        Ok(())
    })?;
    tags(check)
}

fn tags(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&schema::TRASH_TAG, |check, tx, (id, tag), row| {
        check.last_sequence = check.last_sequence.max(row.sequence.0);
        let Some(entry) = tx.get(&schema::TRASH, Sequence(id))? else {
            let found = format!("the tag {tag} of entry {id}");
            check.inconsistency("trash_tag", Place::STORE, "tags of entries of the trash", found);
            return Ok(());
        };
        let (key, repository) = (row.digest.key(), entry.repository.0);
        let place = Place::within(repository, &key);
        if entry.digest != Some(row.digest) {
            let expected = format!("the manifest of entry {id} at the deleted tag {tag}");
            check.inconsistency("trash_tag", place, expected, "another one");
        }
        if !is_there(tx, repository, &key)? {
            let expected = format!("the manifest that the deleted tag {tag} points to");
            check.inconsistency("trash_tag", place, expected, "none");
        }
        Ok(())
    })?;
    check.rows(&schema::TRASH_ROOT, |check, tx, (repository, key, id), ()| {
        let row = tx.get(&schema::TRASH, Sequence(id))?;
        let is_root = |row: &Trashed| {
            row.repository == RepoId(repository) && row.digest.is_some_and(|digest| digest.key()[..] == *key)
        };
        if !row.is_some_and(|row| is_root(&row)) {
            let found = format!("a row that entry {id} is of it");
            check.inconsistency("trash_index", Place::within(repository, key), "no row", found);
        }
        Ok(())
    })
}

//! Tags and the two indexes over them.

use super::check::Check;
use super::place::Place;
use crate::model::digest::Digest;
use crate::model::names::Tag;
use crate::store::meta::{StoreError, Tx as _, schema};

/// Checks that every tag points to a manifest of its repository, and that both indexes have exactly the tags.
pub(super) fn tags(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::TAG)?;
    check.expect(&schema::TAG_BY_DIGEST)?;
    check.expect(&schema::TAG_BY_SEQUENCE)?;
    check.expect(&schema::TAG_HISTORY)?;
    check.rows(&schema::TAG, |check, tx, (repository, name), row| {
        check.report.checked.tags += 1;
        check.last_sequence = check.last_sequence.max(row.sequence.0);
        let key = row.digest.key();
        let place = Place::within(repository, &key);
        if name.parse::<Tag>().is_err() {
            check.damage("tag_name", place, "a tag", format!("`{name}`"));
        }
        match tx.get(&schema::MANIFEST.raw_keys(), (repository, &key[..]))? {
            None => {
                check.damage(
                    "tag_target",
                    place,
                    format!("a manifest that the tag {name} points to"),
                    "none",
                );
            }
            Some(manifest)
                if (row.content_bytes, &row.platform) != (manifest.content_bytes, &manifest.platform) =>
            {
                let expected = format!("size and platform of its manifest at the tag {name}");
                check.inconsistency("tag_row", place, expected, "others");
            }
            Some(_) => {}
        }
        if !tx.has(&schema::TAG_BY_DIGEST.raw_keys(), (repository, &key[..], name))? {
            check.inconsistency("tag_by_digest", place, format!("a row for the tag {name}"), "no row");
        }
        let listed = tx.get(&schema::TAG_BY_SEQUENCE.raw_keys(), (repository, row.sequence.0))?;
        if listed.as_deref() != Some(name) {
            let found = listed.map_or("no row".to_owned(), |other| format!("the tag {other}"));
            check.inconsistency(
                "tag_by_sequence",
                place,
                format!("the tag {name} at {}", row.sequence),
                found,
            );
        }
        Ok(())
    })?;
    check.rows(&schema::TAG_BY_DIGEST, |check, tx, (repository, key, name), ()| {
        let row = tx.get(&schema::TAG.raw_keys(), (repository, name))?;
        if row.is_none_or(|row| Some(row.digest) != Digest::from_key(key)) {
            let place = Place::within(repository, key);
            check.inconsistency("tag_by_digest", place, "no row", format!("a row for the tag {name}"));
        }
        Ok(())
    })?;
    check.rows(&schema::TAG_BY_SEQUENCE, |check, tx, (repository, sequence), name| {
        let row = tx.get(&schema::TAG.raw_keys(), (repository, name.as_str()))?;
        if row.is_none_or(|row| row.sequence.0 != sequence) {
            let found = format!("the tag {name} at {sequence}");
            check.inconsistency("tag_by_sequence", Place::repository(repository), "no row", found);
        }
        Ok(())
    })?;
    check.rows(&schema::TAG_HISTORY, |check, _, (_, _, sequence), _| {
        check.last_sequence = check.last_sequence.max(sequence);
        Ok(())
    })
}

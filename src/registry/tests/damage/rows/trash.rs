//! Damage to the trash.

use super::*;
use crate::store::meta::schema::{TrashKind, Trashed, TrashedManifest};

const ENTRY: Sequence = Sequence(1);

fn row(kind: TrashKind, repository: RepoId) -> Trashed {
    Trashed {
        kind,
        repository,
        name: NAME.to_owned(),
        tag: None,
        digest: None,
        bytes: 0,
        by: "hanna".to_owned(),
        at_ms: 0,
        since: RunningSecond(0),
        emptying: false,
    }
}

/// An entry for a deleted manifest.
fn entry(tx: &WriteTx<'_>, id: RepoId) -> Result<(), StoreError> {
    tx.put(&schema::TRASH, ENTRY, &row(TrashKind::Manifest, id))?;
    tx.put(&schema::TRASH_BY_REPOSITORY, (id, ENTRY), &())
}

/// The row of the image of the sample, as that of one in the trash.
fn manifest(tx: &WriteTx<'_>, sample: &Sample, id: RepoId) -> Result<(), StoreError> {
    let manifest = tx.get(&schema::MANIFEST, (id, &sample.image))?.unwrap();
    tx.put(&schema::TRASH_MANIFEST, (id, &sample.image), &TrashedManifest { entry: ENTRY, manifest })
}

#[test]
fn damage_to_the_trash_is_found() {
    assert_found(&[
        ("trash_repository", |tx, _, _| {
            tx.put(&schema::TRASH, ENTRY, &row(TrashKind::Manifest, RepoId(77)))?;
            tx.put(&schema::TRASH_BY_REPOSITORY, (RepoId(77), ENTRY), &())
        }),
        ("trash_index", |tx, _, id| tx.put(&schema::TRASH, ENTRY, &row(TrashKind::Manifest, id))),
        ("trash_index", |tx, _, id| tx.put(&schema::TRASH_BY_REPOSITORY, (id, ENTRY), &())),
        ("trash_index", |tx, _, id| {
            tx.put(&schema::TRASH, ENTRY, &row(TrashKind::Repository, id))?;
            tx.put(&schema::TRASH_BY_REPOSITORY, (id, ENTRY), &())
        }),
        ("trash_index", |tx, _, id| tx.put(&schema::TRASH_REPOSITORY, id, &ENTRY)),
        ("repository_name", |tx, _, id| {
            tx.put(&schema::TRASH, ENTRY, &row(TrashKind::Repository, id))?;
            tx.put(&schema::TRASH_BY_REPOSITORY, (id, ENTRY), &())?;
            tx.put(&schema::TRASH_REPOSITORY, id, &ENTRY)
        }),
        ("trash_manifest", |tx, sample, id| {
            entry(tx, id)?;
            tx.put(&schema::TRASH_CONTENT, (ENTRY, &sample.image), &())?;
            manifest(tx, sample, id)
        }),
        ("trash_manifest", |tx, sample, id| manifest(tx, sample, id)),
        ("trash_index", |tx, sample, id| {
            entry(tx, id)?;
            manifest(tx, sample, id)
        }),
        ("trash_index", |tx, sample, id| {
            entry(tx, id)?;
            tx.put(&schema::TRASH_CONTENT, (ENTRY, &sample.image), &())
        }),
        ("link_references", |tx, sample, id| {
            change_link(tx, id, &sample.layer, |link| link.trash_references += 1)
        }),
        ("link_zero", |tx, sample, id| {
            change_link(tx, id, &sample.layer, |link| (link.references, link.trash_references) = (0, 0))
        }),
        ("trash_tag", |tx, _, id| {
            let tag = tx.get(&schema::TAG, (id, "latest"))?.unwrap();
            tx.put(&schema::TRASH_TAG, (ENTRY, "latest"), &tag)
        }),
        ("trash_index", |tx, sample, id| {
            entry(tx, id)?;
            let of_image = Trashed { digest: Some(sample.image), ..row(TrashKind::Manifest, id) };
            tx.put(&schema::TRASH, ENTRY, &of_image)
        }),
        ("trash_tag", |tx, sample, id| {
            entry(tx, id)?;
            let tag = tx.get(&schema::TAG, (id, "latest"))?.unwrap();
            let tag = Tag { digest: sample.layer, ..tag };
            tx.put(&schema::TRASH_TAG, (ENTRY, "latest"), &tag)
        }),
        ("trash_index", |tx, sample, id| tx.put(&schema::TRASH_ROOT, (id, &sample.image, ENTRY), &())),
        ("repository_unknown", |tx, sample, _| {
            tx.put(&schema::TRASH_ROOT, (RepoId(77), &sample.image, ENTRY), &())
        }),
        ("clock", |tx, _, id| {
            tx.put(&schema::TRASH, Sequence(1 << 40), &row(TrashKind::Manifest, id))?;
            tx.put(&schema::TRASH_BY_REPOSITORY, (id, Sequence(1 << 40)), &())
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::TRASH.raw(), ENTRY, &Raw(vec![9]))),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::TRASH_MANIFEST.raw(), (id, &sample.image), &Raw(vec![9]))
        }),
        ("row_unreadable", |tx, _, _| tx.put(&schema::TRASH_TAG.raw(), (ENTRY, "latest"), &Raw(vec![9]))),
        ("row_unreadable", |tx, _, id| tx.put(&schema::TRASH_REPOSITORY.raw(), id, &Raw(Vec::new()))),
    ]);
}

//! Damage to the rows of manifests and tags.

use super::*;
use crate::store::meta::schema::Referrer;

#[test]
fn damage_to_manifests_is_found() {
    assert_found(&[
        ("tag_target", |tx, sample, id| delete(tx.delete(&schema::MANIFEST, (id, &sample.image.key()[..])))),
        ("manifest_holder", |tx, sample, id| {
            delete(tx.delete(&schema::MANIFEST, (id, &sample.image.key()[..])))
        }),
        ("manifest_row", |tx, sample, id| change_manifest(tx, id, &sample.image, |row| row.size += 1)),
        ("manifest_row", |tx, sample, id| {
            change_manifest(tx, id, &sample.image, |row| drop(row.blobs.pop()))
        }),
        ("link_references", |tx, sample, id| {
            change_manifest(tx, id, &sample.image, |row| drop(row.blobs.pop()))
        }),
        ("manifest_row", |tx, sample, id| {
            change_manifest(tx, id, &sample.index, |row| drop(row.children.pop()))
        }),
        ("manifest_row", |tx, sample, id| {
            change_manifest(tx, id, &sample.referrer, |row| row.subject = None)
        }),
        ("referrer", |tx, sample, id| change_manifest(tx, id, &sample.referrer, |row| row.subject = None)),
        ("manifest_row", |tx, sample, id| {
            change_manifest(tx, id, &sample.image, |row| row.media_type = "text/html".to_owned())
        }),
        ("manifest_mark", |tx, sample, id| change_manifest(tx, id, &sample.image, |row| row.corrupt = true)),
        ("untagged_since", |tx, sample, id| {
            change_manifest(tx, id, &sample.image, |row| row.untagged_since = Some(1))
        }),
        ("untagged_since", |tx, sample, id| {
            change_manifest(tx, id, &sample.other, |row| row.untagged_since = None)
        }),
        ("manifest_content", |tx, sample, _| {
            tx.put(&schema::MANIFEST_BODY, &sample.image.key()[..], &Raw(b"{}".to_vec()))
        }),
        ("manifest_missing", |tx, sample, _| {
            delete(tx.delete(&schema::MANIFEST_BODY, &sample.image.key()[..]))
        }),
        ("manifest_body", |tx, sample, _| {
            tx.put(&schema::MANIFEST_BODY, &sample.absent.key()[..], &Raw(b"absent".to_vec()))
        }),
        ("key", |tx, _, _| tx.put(&schema::MANIFEST_BODY, &[9, 9][..], &Raw(Vec::new()))),
        ("manifest_holder", |tx, sample, id| {
            delete(tx.delete(&schema::MANIFEST_REPO, (&sample.image.key()[..], id)))
        }),
        ("manifest_holder", |tx, sample, id| {
            tx.put(&schema::MANIFEST_REPO, (&sample.absent.key()[..], id), &())
        }),
        ("parent", |tx, sample, id| {
            delete(tx.delete(&schema::PARENT, (id, &sample.image.key()[..], &sample.index.key()[..])))
        }),
        ("parent", |tx, sample, id| {
            tx.put(&schema::PARENT, (id, &sample.image.key()[..], &sample.index.key()[..]), &listed())
        }),
        ("parent", |tx, sample, id| {
            tx.put(&schema::PARENT, (id, &sample.absent.key()[..], &sample.index.key()[..]), &listed())
        }),
        ("parent", |tx, sample, id| {
            tx.put(&schema::PARENT, (id, &sample.image.key()[..], &sample.absent.key()[..]), &listed())
        }),
        ("referrer", |tx, sample, id| {
            delete(tx.delete(&schema::REFERRER, (id, &sample.image.key()[..], &sample.referrer.key()[..])))
        }),
        ("referrer", |tx, sample, id| {
            let (subject, referrer) = (sample.image.key(), sample.referrer.key());
            let row = tx.get(&schema::REFERRER, (id, &subject[..], &referrer[..]))?.unwrap();
            tx.put(
                &schema::REFERRER,
                (id, &subject[..], &referrer[..]),
                &Referrer { artifact_type: None, ..row },
            )
        }),
        ("referrer", |tx, sample, id| {
            let row = tx
                .get(&schema::REFERRER, (id, &sample.image.key()[..], &sample.referrer.key()[..]))?
                .unwrap();
            tx.put(&schema::REFERRER, (id, &sample.other.key()[..], &sample.referrer.key()[..]), &row)
        }),
        ("pulls", |tx, sample, id| tx.put(&schema::PULLS, (id, &sample.absent.key()[..]), &Pulls::default())),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::MANIFEST.raw(), (id, &sample.image.key()[..]), &Raw(vec![1, 1]))
        }),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::PULLS.raw(), (id, &sample.image.key()[..]), &Raw(vec![2, 0, 0]))
        }),
    ]);
}

#[test]
fn damage_to_tags_is_found() {
    assert_found(&[
        ("tag_target", |tx, sample, id| {
            let absent = sample.absent;
            change_tag(tx, id, |row| row.digest = absent)
        }),
        ("tag_by_digest", |tx, sample, id| {
            let other = sample.other;
            change_tag(tx, id, |row| row.digest = other)
        }),
        ("tag_by_sequence", |tx, _, id| change_tag(tx, id, |row| row.sequence -= 1)),
        ("tag_by_digest", |tx, _, id| delete(tx.delete(&schema::TAG, (id, "latest")))),
        ("usage", |tx, _, id| delete(tx.delete(&schema::TAG, (id, "latest")))),
        ("tag_name", |tx, _, id| {
            let row = tx.get(&schema::TAG, (id, "latest"))?.unwrap();
            tx.put(&schema::TAG, (id, "no tag"), &row)
        }),
        ("tag_by_digest", |tx, sample, id| {
            delete(tx.delete(&schema::TAG_BY_DIGEST, (id, &sample.image.key()[..], "latest")))
        }),
        ("tag_by_digest", |tx, sample, id| {
            tx.put(&schema::TAG_BY_DIGEST, (id, &sample.other.key()[..], "latest"), &())
        }),
        ("tag_by_digest", |tx, sample, id| {
            tx.put(&schema::TAG_BY_DIGEST, (id, &sample.image.key()[..], "v7"), &())
        }),
        ("tag_by_sequence", |tx, _, id| {
            let sequence = tx.get(&schema::TAG, (id, "latest"))?.unwrap().sequence;
            delete(tx.delete(&schema::TAG_BY_SEQUENCE, (id, sequence)))
        }),
        ("tag_by_sequence", |tx, _, id| {
            let sequence = tx.get(&schema::TAG, (id, "latest"))?.unwrap().sequence;
            tx.put(&schema::TAG_BY_SEQUENCE, (id, sequence), &"v1".to_owned())
        }),
        ("tag_by_sequence", |tx, _, id| tx.put(&schema::TAG_BY_SEQUENCE, (id, 0), &"latest".to_owned())),
        ("row_unreadable", |tx, _, id| tx.put(&schema::TAG.raw(), (id, "latest"), &Raw(vec![1, 7, 7]))),
        ("row_unreadable", |tx, _, id| tx.put(&schema::TAG_HISTORY.raw(), (id, "latest", 3), &Raw(vec![7]))),
    ]);
}

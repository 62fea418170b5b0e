//! Damage to the rows of manifests and tags.

use super::*;
use crate::store::meta::schema::Referrer;

#[test]
fn damage_to_manifests_is_found() {
    assert_found(&[
        ("tag_target", |tx, sample, id| delete(tx.delete(&schema::MANIFEST, (id, &sample.image)))),
        ("manifest_holder", |tx, sample, id| delete(tx.delete(&schema::MANIFEST, (id, &sample.image)))),
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
            change_manifest(tx, id, &sample.image, |row| row.untagged_since = Some(RunningSecond(1)))
        }),
        ("untagged_since", |tx, sample, id| {
            change_manifest(tx, id, &sample.other, |row| row.untagged_since = None)
        }),
        ("manifest_content", |tx, sample, _| {
            tx.put(&schema::MANIFEST_BODY, &sample.image, &Raw(b"{}".to_vec()))
        }),
        ("manifest_missing", |tx, sample, _| delete(tx.delete(&schema::MANIFEST_BODY, &sample.image))),
        ("manifest_body", |tx, sample, _| {
            tx.put(&schema::MANIFEST_BODY, &sample.absent, &Raw(b"absent".to_vec()))
        }),
        ("key", |tx, _, _| tx.put(&schema::MANIFEST_BODY.raw_keys(), &[9, 9][..], &Raw(Vec::new()))),
        ("manifest_holder", |tx, sample, id| delete(tx.delete(&schema::MANIFEST_REPO, (&sample.image, id)))),
        ("manifest_holder", |tx, sample, id| tx.put(&schema::MANIFEST_REPO, (&sample.absent, id), &())),
        ("parent", |tx, sample, id| delete(tx.delete(&schema::PARENT, (id, &sample.image, &sample.index)))),
        ("parent", |tx, sample, id| tx.put(&schema::PARENT, (id, &sample.image, &sample.index), &listed())),
        ("parent", |tx, sample, id| tx.put(&schema::PARENT, (id, &sample.absent, &sample.index), &listed())),
        ("parent", |tx, sample, id| tx.put(&schema::PARENT, (id, &sample.image, &sample.absent), &listed())),
        ("referrer", |tx, sample, id| {
            delete(tx.delete(&schema::REFERRER, (id, &sample.image, &sample.referrer)))
        }),
        ("referrer", |tx, sample, id| {
            let key = (id, &sample.image, &sample.referrer);
            let row = tx.get(&schema::REFERRER, key)?.unwrap();
            tx.put(&schema::REFERRER, key, &Referrer { artifact_type: None, ..row })
        }),
        ("referrer", |tx, sample, id| {
            let row = tx.get(&schema::REFERRER, (id, &sample.image, &sample.referrer))?.unwrap();
            tx.put(&schema::REFERRER, (id, &sample.other, &sample.referrer), &row)
        }),
        ("pulls", |tx, sample, id| tx.put(&schema::PULLS, (id, &sample.absent), &Pulls::default())),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::MANIFEST.raw(), (id, &sample.image), &Raw(vec![1, 1]))
        }),
        ("row_unreadable", |tx, sample, id| {
            tx.put(&schema::PULLS.raw(), (id, &sample.image), &Raw(vec![2, 0, 0]))
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
        ("tag_by_sequence", |tx, _, id| change_tag(tx, id, |row| row.sequence.0 -= 1)),
        ("tag_by_digest", |tx, _, id| delete(tx.delete(&schema::TAG, (id, "latest")))),
        ("usage", |tx, _, id| delete(tx.delete(&schema::TAG, (id, "latest")))),
        ("tag_name", |tx, _, id| {
            let row = tx.get(&schema::TAG, (id, "latest"))?.unwrap();
            tx.put(&schema::TAG, (id, "no tag"), &row)
        }),
        ("tag_by_digest", |tx, sample, id| {
            delete(tx.delete(&schema::TAG_BY_DIGEST, (id, &sample.image, "latest")))
        }),
        ("tag_by_digest", |tx, sample, id| {
            tx.put(&schema::TAG_BY_DIGEST, (id, &sample.other, "latest"), &())
        }),
        ("tag_by_digest", |tx, sample, id| tx.put(&schema::TAG_BY_DIGEST, (id, &sample.image, "v7"), &())),
        ("tag_by_sequence", |tx, _, id| {
            let sequence = tx.get(&schema::TAG, (id, "latest"))?.unwrap().sequence;
            delete(tx.delete(&schema::TAG_BY_SEQUENCE, (id, sequence)))
        }),
        ("tag_by_sequence", |tx, _, id| {
            let sequence = tx.get(&schema::TAG, (id, "latest"))?.unwrap().sequence;
            tx.put(&schema::TAG_BY_SEQUENCE, (id, sequence), &"v1".to_owned())
        }),
        ("tag_by_sequence", |tx, _, id| {
            tx.put(&schema::TAG_BY_SEQUENCE, (id, Sequence(0)), &"latest".to_owned())
        }),
        ("row_unreadable", |tx, _, id| tx.put(&schema::TAG.raw(), (id, "latest"), &Raw(vec![1, 7, 7]))),
        ("row_unreadable", |tx, _, id| {
            tx.put(&schema::TAG_HISTORY.raw(), (id, "latest", Sequence(3)), &Raw(vec![7]))
        }),
    ]);
}

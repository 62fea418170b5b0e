//! Deletions in slices, the figures of the disk, and bounds.

use super::*;
use crate::model::audit::{Actor, AuditAction};
use crate::model::digest::Algorithm;
use crate::model::event::EventKind;
use crate::model::names::Tag;
use crate::registry::Below;
use crate::registry::manifests::TAGS_AT_ONCE;
use crate::store::meta::schema::{self, Disk, OutboxEntry};
use crate::store::meta::{Pages, Row as _, Tx as _};

const BODY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

fn digest(text: &str) -> Digest {
    Digest::of(Algorithm::Sha256, text.as_bytes())
}

/// Sets tags on one manifest, 50 in each push.
fn tag(server: &Server<'_>, repository: &str, count: usize) -> Result<(), RegistryError> {
    let tags: Vec<Tag> = (0..count).map(|number| format!("t{number}").parse().unwrap()).collect();
    for tags in tags.chunks(50) {
        let put = PutManifest {
            reference: Reference::Digest(digest(BODY)),
            tags: tags.to_vec(),
            content_type: None,
            body: Bytes::from_static(BODY.as_bytes()),
            condition: Condition::default(),
        };
        server.wait(server.registry.put_manifest(&server.grant(repository), put, Vec::new()))?;
    }
    Ok(())
}

fn events(server: &Server<'_>) -> Vec<EventKind> {
    let mut events = Vec::new();
    let read = server.meta.sweep(&schema::OUTBOX, Pages::all(), |_, _, row| {
        let event = row.unwrap().0;
        assert!(OutboxEntry(event.clone()).encode().len() < 64 << 10);
        events.push(event.kind);
        Ok::<_, StoreError>(())
    });
    read.unwrap();
    events
}

fn rows(server: &Server<'_>) -> [u64; 4] {
    let count = server.meta.get(|tx| {
        Ok::<_, StoreError>([
            tx.count(&schema::TAG)?,
            tx.count(&schema::TAG_BY_DIGEST)?,
            tx.count(&schema::MANIFEST)?,
            tx.count(&schema::REPOSITORY)?,
        ])
    });
    count.unwrap()
}

#[test]
fn a_manifest_with_very_many_tags_goes_in_slices_and_every_tag_is_told_once() {
    for whole_repository in [false, true] {
        let place = Place::new();
        let server = place.open(true);
        let count = 2 * TAGS_AT_ONCE + 50;
        tag(&server, "a", count).unwrap();
        let (grant, reference) = (server.grant("a"), Reference::Digest(digest(BODY)));
        if whole_repository {
            server.wait(server.registry.delete_repository(&grant)).unwrap();
        } else {
            server.wait(server.registry.delete_manifest(&grant, reference, Below::Stays)).unwrap();
        }
        assert_eq!(rows(&server), [0, 0, 0, 0]);
        let mut told: Vec<Tag> = Vec::new();
        let mut slices = 0;
        for event in events(&server) {
            match event {
                EventKind::TagsDeleted { tags, .. } | EventKind::ManifestDeleted { tags, .. } => {
                    assert!(tags.len() <= TAGS_AT_ONCE);
                    told.extend(tags);
                    slices += 1;
                }
                EventKind::TagDeleted { .. } => panic!("a tag that goes with its manifest is told with it"),
                _ => {}
            }
        }
        assert_eq!(slices, 3);
        told.sort();
        told.dedup();
        assert_eq!(told.len(), count);
        let removed = EventKind::RepositoryRemoved { repository: "a".parse().unwrap() };
        assert_eq!(events(&server).iter().filter(|event| **event == removed).count(), 1);
        assert_eq!(events(&server).last(), Some(&removed), "after what was in it");
        server.assert_clean("after the deletion");
    }
}

#[test]
fn between_two_slices_the_store_is_whole() {
    let place = Place::new();
    let server = place.open(true);
    tag(&server, "a", 2 * TAGS_AT_ONCE).unwrap();
    let grant: Grant<crate::access::Delete> = server.grant("a");
    let slice = server.wait(server.meta.write(move |tx| {
        let repository = crate::registry::repositories::existing(tx, &grant)?;
        crate::registry::manifests::delete_slice(tx, &grant, repository)
    }));
    assert!(slice.unwrap().is_continue());
    assert_eq!(rows(&server)[..3], [TAGS_AT_ONCE as u64, TAGS_AT_ONCE as u64, 1]);
    server.assert_clean("after the first slice");
}

#[test]
fn a_repository_has_as_many_tags_as_are_permitted_and_the_same_ones_again() {
    let place = Place::new();
    let server = place.open(true);
    let most = usize::try_from(server.registry.limits.load().tags_per_repository).unwrap();
    tag(&server, "a", most).unwrap();
    let more = server.put("a", Reference::Tag("more".parse().unwrap()), BODY);
    assert!(matches!(more, Err(RegistryError::TooManyTags { limit }) if limit == most as u64));
    server.put("a", Reference::Tag("t7".parse().unwrap()), BODY).unwrap();
    server.put("b", Reference::Tag("more".parse().unwrap()), BODY).unwrap();
    let grant = server.grant("a");
    server
        .wait(server.registry.delete_manifest(&grant, Reference::Tag("t8".parse().unwrap()), Below::Stays))
        .unwrap();
    server.put("a", Reference::Tag("more".parse().unwrap()), BODY).unwrap();
}

#[test]
fn histories_of_repositories_that_are_gone_and_old_audit_entries_are_removed() {
    let place = Place::new();
    let server = place.open(true);
    tag(&server, "kept", 2).unwrap();
    tag(&server, "gone", 600).unwrap();
    server.wait(server.registry.delete_repository(&server.grant("gone"))).unwrap();
    server.forge(|tx| {
        for _ in 0..2_500 {
            tx.audit(Actor::SYSTEM, AuditAction::BlobDelete, "test".to_owned())?;
        }
        Ok(())
    });
    let count = |server: &Server<'_>| {
        server
            .meta
            .get(|tx| Ok::<_, StoreError>((tx.count(&schema::TAG_HISTORY)?, tx.count(&schema::AUDIT)?)))
    };
    assert_eq!(count(&server).unwrap(), (1_202, 2_502));
    let system = server.access.system("test");
    assert_eq!(server.wait(server.registry.trim(&system)).unwrap(), 1_200);
    assert_eq!(count(&server).unwrap(), (2, 2_502));
    assert_eq!(server.wait(server.registry.trim_audit(1_000)).unwrap(), 1_502);
    assert_eq!(count(&server).unwrap(), (2, 1_000));
    assert_eq!(server.wait(server.registry.trim(&system)).unwrap(), 0);
    server.assert_clean("after trimming");
}

fn disk(server: &Server<'_>) -> Disk {
    server.assert_clean("counted");
    server.meta.get(|tx| tx.get(&schema::DISK, ())).unwrap().unwrap_or_default()
}

#[test]
fn what_nothing_uses_is_known_at_every_moment() {
    let place = Place::new();
    let server = place.open(true);
    let manifest = |layer: &str| {
        let layers = format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}"#,
            digest(layer),
            layer.len()
        );
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}}"#,
            digest("{}")
        );
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{layers}]}}"#
        )
    };
    let (one, two) = (manifest("layer"), manifest("other layer"));
    for repository in ["a", "b"] {
        for blob in ["{}", "layer", "other layer"] {
            server.push_blob(repository, blob.as_bytes(), digest(blob)).unwrap();
        }
    }
    let all = Disk { blobs: 3, bytes: 18, unused_blobs: 3, unused_bytes: 18 };
    assert_eq!(disk(&server), all, "pushed, but not used yet");
    server.put("a", Reference::Tag("1".parse().unwrap()), &one).unwrap();
    assert_eq!(disk(&server), Disk { unused_blobs: 1, unused_bytes: 11, ..all });
    server.put("b", Reference::Tag("1".parse().unwrap()), &one).unwrap();
    server.put("b", Reference::Tag("2".parse().unwrap()), &two).unwrap();
    assert_eq!(disk(&server), Disk { unused_blobs: 0, unused_bytes: 0, ..all });
    server.wait(server.registry.delete_repository(&server.grant("b"))).unwrap();
    assert_eq!(disk(&server), Disk { unused_blobs: 1, unused_bytes: 11, ..all });
    let reference = Reference::Digest(digest(&one));
    server.wait(server.registry.delete_manifest(&server.grant("a"), reference, Below::Stays)).unwrap();
    assert_eq!(disk(&server), all, "nothing is removed from the disk yet");
    server.push_blob("c", b"layer", digest("layer")).unwrap();
    assert_eq!(disk(&server), all, "it was there");
}

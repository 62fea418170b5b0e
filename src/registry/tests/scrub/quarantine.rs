//! What is hidden is listed with the images that need it; dropping it removes its bytes and nothing else.

use super::*;
use crate::access::{ReadServer, Site};
use crate::registry::scrub::{Kind, Quarantined};
use crate::registry::tests::ages::GRACE_S;
use crate::registry::{Below, CollectMode, Collected, Untagged};

impl Server<'_> {
    pub(super) fn site_of<A: Action<Target = Site>>(&self) -> Grant<A> {
        let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
        self.access.site::<A>(&caller).unwrap()
    }

    /// Everything in quarantine, read in parts of this size.
    pub(super) fn quarantine_in(&self, limit: usize) -> Vec<Quarantined> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let grant = self.site_of::<ReadServer>();
            let part = self.wait(self.registry.quarantine(&grant, after, limit)).unwrap();
            assert!(part.items.len() <= limit);
            all.extend(part.items);
            match part.next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }

    pub(super) fn drop_damaged(&self, digest: &Digest) -> Result<u64, RegistryError> {
        self.wait(self.registry.drop_damaged(&self.site_of(), digest))
    }

    fn audited(&self) -> Vec<String> {
        let read = self.meta.read_blocking(|tx| {
            let mut found = Vec::new();
            tx.scan_all(&schema::AUDIT, |_, entry| {
                if entry.action == "quarantine.drop" {
                    found.push(entry.target);
                }
                ControlFlow::Continue(())
            })?;
            Ok::<_, StoreError>(found)
        });
        read.unwrap()
    }
}

#[test]
fn what_is_hidden_is_listed_in_parts_with_the_images_that_need_it() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    assert_eq!(server.quarantine_in(7), []);
    let others: Vec<Blob> = (0..30).map(|number| blob(&format!("other {number}"))).collect();
    for other in &others {
        server.push_blob("other", &other.content, other.digest).unwrap();
        server.flip(&other.digest);
    }
    server.flip(&scene.layer.digest);
    scene.manifests.iter().for_each(|manifest| server.flip_manifest(manifest));
    server.scrub();
    let all = server.quarantine_in(500);
    assert_eq!(all.len(), others.len() + 3);
    for limit in [1, 7, 31, 32] {
        assert_eq!(server.quarantine_in(limit), all, "in parts of {limit}");
    }
    let layer = all.iter().find(|damaged| damaged.digest == scene.layer.digest).unwrap();
    assert_eq!((layer.kind, layer.size, layer.kept), (Kind::Blob, 7, 7));
    assert_eq!(layer.images, ["one:1", "two:1"]);
    let manifests = &all[all.len() - 2..];
    assert!(manifests.iter().all(|damaged| damaged.kind == Kind::Manifest && damaged.images.len() == 1));
}

#[test]
fn what_is_dropped_is_gone_from_the_disk_and_healed_by_a_push() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let (layer, manifest) = (&scene.layer, &scene.manifests[0]);
    for digest in [layer.digest, manifest.digest(), blob("absent").digest] {
        assert!(matches!(server.drop_damaged(&digest), Err(RegistryError::NotDamaged(_))));
    }
    server.flip(&layer.digest);
    server.flip_manifest(manifest);
    assert!(
        matches!(server.drop_damaged(&layer.digest), Err(RegistryError::NotDamaged(_))),
        "not proven yet"
    );
    assert_eq!(fs::read(server.file(&layer.digest)).unwrap().len(), 7);
    server.scrub();
    assert_eq!(server.drop_damaged(&layer.digest).unwrap(), 7);
    assert_eq!(server.drop_damaged(&manifest.digest()).unwrap(), manifest.body.len() as u64);
    assert!(!server.file(&layer.digest).exists());
    assert_eq!(server.drop_damaged(&layer.digest).unwrap(), 0, "it stays hidden");
    assert_eq!(server.audited().len(), 3);
    let kept: Vec<u64> = server.quarantine_in(10).iter().map(|damaged| damaged.kept).collect();
    assert_eq!(kept, [0, 0]);
    assert_eq!(kinds(&server.scrub()), ["manifest_missing", "blob_corrupt"]);

    // The client asks before it pushes, and is told that both are absent.
    assert!(server.wait(server.registry.blob_size(&server.grant("one"), &layer.digest)).is_err());
    server.push_blob("two", &layer.content, layer.digest).unwrap();
    server.put("one", tag("1"), &manifest.body).unwrap();
    assert_eq!(server.pull_blob("one", &layer.digest).unwrap(), layer.content);
    assert_eq!(server.pull_manifest("one", &tag("1")).unwrap(), manifest.body.as_bytes());
    assert_eq!(server.quarantine_in(10), []);
    server.assert_clean("after the pushes");
}

#[test]
fn what_was_dropped_is_deleted_and_collected_like_everything_else() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    server.flip(&scene.configs[0].digest);
    server.flip_manifest(&scene.manifests[0]);
    server.scrub();
    for digest in [scene.configs[0].digest, scene.manifests[0].digest()] {
        server.drop_damaged(&digest).unwrap();
    }
    let manifest = Reference::Digest(scene.manifests[0].digest());
    server.wait(server.registry.delete_manifest(&server.grant("one"), manifest, Below::Stays)).unwrap();
    server.meta.clock().skip(GRACE_S);
    let grant = server.access.system("collect");
    let (mode, untagged) = (CollectMode::Scheduled, Untagged::Never);
    let goes_on = &mut |_: &Collected| true;
    let collected = server.wait(server.registry.collect(&grant, mode, untagged, goes_on)).unwrap();
    assert_eq!((collected.blobs, collected.spared), (1, 0));
    assert_eq!(server.quarantine_in(10), []);
    server.assert_clean("after the collection");
}

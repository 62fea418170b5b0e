//! What only the trash holds is read, too, and what is damaged there stays damaged when it is restored.

use super::*;
use crate::access::{ManageTrash, ReadServer};
use crate::model::names::Sequence;
use crate::registry::fsck;
use crate::registry::scrub::Kind;
use crate::registry::tests::samples;

impl Server<'_> {
    fn keep_trash(&self) {
        let limits = Limits { trash_s: 7 * 24 * 3600, ..**self.registry.limits.load() };
        self.registry.limits.store(Arc::new(limits));
    }

    fn move_to_trash(&self, name: &str) -> Sequence {
        self.wait(self.registry.discard_tag(&self.grant(name), "1".parse().unwrap())).unwrap();
        let all = self.wait(self.registry.trash(&self.site_of::<ReadServer>(), (None, None), 100)).unwrap();
        all.entries.last().unwrap().id
    }

    fn take_out_of_trash(&self, id: Sequence, name: Option<&str>) {
        let name = name.map(str::to_owned);
        self.wait(self.registry.restore(&self.site_of::<ManageTrash>(), id, name)).unwrap();
    }

    fn needing(&self, digest: &Digest) -> Vec<String> {
        fsck::needing(self.meta.reader(), digest).unwrap()
    }

    fn has_manifest(&self, name: &str, manifest: &Manifest) -> bool {
        let reference = Reference::Digest(manifest.digest());
        self.wait(self.registry.manifest_head(&self.grant(name), &reference)).is_ok()
    }
}

#[test]
fn a_damaged_manifest_that_only_the_trash_holds_stays_hidden_when_it_is_restored() {
    let place = Place::new();
    let server = place.open(true);
    server.keep_trash();
    let scene = Scene::set(&server);
    let manifest = &scene.manifests[0];
    let id = server.move_to_trash("one");
    server.flip_manifest(manifest);
    let done = server.scrub();
    assert_eq!((kinds(&done), done.hidden), (vec!["manifest_content"], 1));
    assert_eq!(done.findings[0].images, [format!("one@{} (in the trash)", manifest.digest())]);
    let listed = server.quarantine_in(10);
    assert_eq!((listed.len(), listed[0].kind, listed[0].digest), (1, Kind::Manifest, manifest.digest()));
    server.take_out_of_trash(id, None);
    assert!(!server.has_manifest("one", manifest), "a push would be skipped");
    assert!(server.pull_manifest("one", &tag("1")).is_err());
    server.put("one", tag("1"), &manifest.body).unwrap();
    assert!(server.has_manifest("one", manifest));
    server.assert_clean("after the push");
}

#[test]
fn a_push_to_another_repository_heals_what_is_in_the_trash() {
    let place = Place::new();
    let server = place.open(false);
    server.keep_trash();
    let manifest = image(&[blob("config")]);
    for name in NAMES {
        server.put(name, tag("1"), &manifest.body).unwrap();
    }
    let id = server.move_to_trash("one");
    server.flip_manifest(&manifest);
    assert_eq!(server.scrub().hidden, 1);
    assert!(server.drop_damaged(&manifest.digest()).unwrap() > 0);
    server.take_out_of_trash(id, None);
    assert!(!server.has_manifest("one", &manifest), "it has no bytes");
    let id = server.move_to_trash("one");
    server.put("two", tag("1"), &manifest.body).unwrap();
    server.take_out_of_trash(id, None);
    for name in NAMES {
        assert!(server.has_manifest(name, &manifest), "{name}");
    }
    server.assert_clean("after the last restore");
}

#[test]
fn images_in_the_trash_are_named_as_such() {
    let place = Place::new();
    let server = place.open(true);
    server.keep_trash();
    let scene = Scene::set(&server);
    let (layer, config) = (&scene.layer, &scene.configs[0]);
    server.move_to_trash("one");
    let of_trash = format!("one@{} (in the trash)", scene.manifests[0].digest());
    assert_eq!(server.needing(&layer.digest), [&*of_trash, "two:1"]);
    assert_eq!(server.needing(&config.digest), [&*of_trash]);
    // The name of a repository in the trash may be that of another one.
    server.wait(server.registry.delete_repository(&server.grant("two"))).unwrap();
    server.push_blob("two", b"other", blob("other").digest).unwrap();
    server.put("two", tag("1"), &image(&[blob("other")]).body).unwrap();
    assert_eq!(server.needing(&layer.digest), [&*of_trash, "two:1 (in the trash)"]);
    assert_eq!(server.needing(&blob("other").digest), ["two:1"]);
    server.flip(&layer.digest);
    let done = server.scrub();
    assert_eq!(done.findings[0].images, [&*of_trash, "two:1 (in the trash)"]);
}

#[test]
fn indexes_that_list_each_other_on_many_ways_are_climbed_once() {
    let place = Place::new();
    let server = place.open(false);
    let config = blob("config");
    let bottom = image(std::slice::from_ref(&config));
    server.put("deep", Reference::Digest(bottom.digest()), &bottom.body).unwrap();
    let mut below = vec![bottom.clone()];
    for layer in 0..7 {
        below = {
            let children: Vec<&Manifest> = below.iter().collect();
            (0..12).map(|number| samples::index(&children, layer * 100 + number)).collect()
        };
        for index in &below {
            server.put("deep", Reference::Digest(index.digest()), &index.body).unwrap();
        }
    }
    server.put("deep", tag("top"), &below[0].body).unwrap();
    let started = Instant::now();
    let images = server.needing(&bottom.digest());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(images.contains(&"deep:top".to_owned()), "{images:?}");
}

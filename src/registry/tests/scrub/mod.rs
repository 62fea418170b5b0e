//! The scrub: it finds what has changed on the disk, hides it, and hides nothing that is whole.

mod faults;
mod quarantine;
mod races;
mod trash;
mod verdicts;

use std::fs;
use std::path::PathBuf;

use super::samples::{Blob, Manifest, image};
use super::*;
use crate::access::RunJobs;
use crate::model::digest::Algorithm;
use crate::model::names::RepoId;
use crate::registry::scrub::{Position, Scope, Scrubbed, Stage};
use crate::store::meta::schema::{self, BlobState};
use crate::store::meta::{Raw, Tx as _};

fn blob(content: &str) -> Blob {
    let content = content.as_bytes().to_vec();
    Blob { digest: Digest::of(Algorithm::Sha256, &content), content }
}

fn tag(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

/// Two images with a config of their own and a layer that they share, in the repositories `one` and `two`.
struct Scene {
    layer: Blob,
    configs: [Blob; 2],
    manifests: [Manifest; 2],
}

impl Scene {
    fn set(server: &Server<'_>) -> Self {
        let (layer, configs) = (blob("a layer"), [blob("config one"), blob("config two")]);
        let manifests = configs.each_ref().map(|config| image(&[config.clone(), layer.clone()]));
        let scene = Self { layer, configs, manifests };
        for (name, (config, manifest)) in NAMES.into_iter().zip(scene.configs.iter().zip(&scene.manifests)) {
            for blob in [config, &scene.layer] {
                server.push_blob(name, &blob.content, blob.digest).unwrap();
            }
            server.put(name, tag("1"), &manifest.body).unwrap();
        }
        scene
    }
}

const NAMES: [&str; 2] = ["one", "two"];

impl Server<'_> {
    fn scrub_until(&self, scope: &Scope, goes_on: &mut dyn FnMut(&Scrubbed) -> bool) -> Scrubbed {
        let mut done = Scrubbed::default();
        self.registry.scrub(&self.access.system("scrub"), scope, &mut done, goes_on).unwrap();
        done
    }

    fn scrub_of(&self, scope: &Scope) -> Scrubbed {
        self.scrub_until(scope, &mut |_| true)
    }

    fn scrub(&self) -> Scrubbed {
        self.scrub_of(&Scope::Everything(None))
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        FileBlobs::path_in(self.place.dir.path(), digest)
    }

    /// Changes a byte of a blob's file, whose size stays.
    fn flip(&self, digest: &Digest) {
        let mut content = fs::read(self.file(digest)).unwrap();
        content[0] ^= 1;
        fs::write(self.file(digest), content).unwrap();
    }

    /// Changes a byte of a manifest, whose size stays.
    fn flip_manifest(&self, manifest: &Manifest) {
        let (digest, mut body) = (manifest.digest(), manifest.body.clone().into_bytes());
        body[0] ^= 1;
        self.forge(move |tx| tx.put(&schema::MANIFEST_BODY, &digest, &Raw(body.clone())));
    }

    fn state(&self, digest: &Digest) -> BlobState {
        self.meta.get(|tx| tx.get(&schema::BLOB, digest)).unwrap().unwrap().state
    }

    fn pull_manifest(&self, name: &str, reference: &Reference) -> Result<Bytes, RegistryError> {
        self.wait(self.registry.manifest(&self.grant(name), reference)).map(|found| found.body)
    }
}

fn figures(done: &Scrubbed) -> [u64; 4] {
    [done.manifests, done.blobs, done.hidden, done.shown]
}

fn kinds(done: &Scrubbed) -> Vec<&'static str> {
    done.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_store_that_is_whole_is_read_once_and_left_as_it_is() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let done = server.scrub();
    assert!(done.complete && done.findings.is_empty() && done.damaged == 0, "{done:?}");
    assert_eq!(figures(&done), [2, 3, 0, 0], "a blob that two repositories hold is read once");
    let bytes = scene.configs.iter().chain([&scene.layer]).map(|blob| blob.content.len());
    let bytes = bytes.chain(scene.manifests.iter().map(|manifest| manifest.body.len())).sum::<usize>();
    assert_eq!(done.bytes, bytes as u64);
    server.assert_clean("after the scrub");
}

#[test]
fn a_blob_of_the_same_size_and_other_bytes_is_found_hidden_and_healed_by_a_push() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let Blob { content, digest } = &scene.layer;
    server.flip(digest);
    let done = server.scrub();
    assert_eq!((figures(&done), done.damaged), ([2, 3, 1, 0], 1));
    let [finding] = &done.findings[..] else { panic!("{done:?}") };
    assert_eq!((finding.kind, &finding.digest), ("blob_content", &Some(digest.to_string())));
    assert_eq!(finding.images, ["one:1", "two:1"]);
    assert!(server.wait(server.registry.blob_size(&server.grant("one"), digest)).is_err());

    let again = server.scrub();
    assert_eq!((again.damaged, again.hidden, kinds(&again)), (1, 0, vec!["blob_corrupt"]));
    server.push_blob("two", content, *digest).unwrap();
    assert_eq!(server.pull_blob("one", digest).unwrap(), *content);
    assert_eq!(server.scrub().damaged, 0);
    server.assert_clean("after the push");
}

#[test]
fn each_damage_of_a_file_is_found_and_what_comes_back_is_shown() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let digest = scene.layer.digest;
    let path = server.file(&digest);
    let damages: [(&str, &dyn Fn()); 4] = [
        ("blob_file_missing", &|| ()),
        ("blob_size", &|| fs::write(&path, b"a lay").unwrap()),
        ("blob_content", &|| fs::write(&path, b"a lazer").unwrap()),
        ("blob_unreadable", &|| fs::create_dir(&path).unwrap()),
    ];
    for (kind, damage) in damages {
        fs::remove_file(&path).unwrap();
        damage();
        let done = server.scrub();
        assert_eq!((kinds(&done), figures(&done)), (vec![kind], [2, 3, 1, 0]));
        assert_eq!(server.state(&digest), BlobState::Corrupt);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        fs::write(&path, &scene.layer.content).unwrap();
        let done = server.scrub();
        assert_eq!((kinds(&done), figures(&done)), (Vec::new(), [2, 3, 0, 1]));
        assert_eq!(server.pull_blob("one", &digest).unwrap(), scene.layer.content);
    }
    server.assert_clean("after all of it");
}

#[test]
fn a_damaged_manifest_is_hidden_in_all_repositories_and_healed_by_a_push_to_one() {
    let place = Place::new();
    let server = place.open(false);
    let manifest = image(&[blob("config")]);
    let (digest, reference) = (manifest.digest(), Reference::Digest(manifest.digest()));
    for name in NAMES {
        server.put(name, tag("1"), &manifest.body).unwrap();
    }
    let damages: [(&str, &dyn Fn()); 2] = [
        ("manifest_content", &|| server.flip_manifest(&manifest)),
        ("manifest_missing", &|| {
            server.forge(move |tx| tx.delete(&schema::MANIFEST_BODY, &digest).map(drop));
        }),
    ];
    for (kind, damage) in damages {
        damage();
        let done = server.scrub();
        assert_eq!((kinds(&done), figures(&done)), (vec![kind], [1, 0, 1, 0]));
        assert_eq!(done.findings[0].images, ["one:1", "two:1"]);
        for name in NAMES {
            let look = server.wait(server.registry.manifest_head(&server.grant(name), &reference));
            assert!(look.is_err(), "{name}: a push would be skipped");
        }
        assert_eq!(figures(&server.scrub()), [1, 0, 0, 0], "it is hidden already");
        server.put("one", reference.clone(), &manifest.body).unwrap();
        for name in NAMES {
            assert_eq!(server.pull_manifest(name, &reference).unwrap(), manifest.body.as_bytes(), "{name}");
        }
        assert_eq!(server.scrub().damaged, 0);
    }
    // A mark that is wrong, of a page that could not be read for a while.
    server.flip_manifest(&manifest);
    server.scrub();
    let whole = manifest.body.clone().into_bytes();
    server.forge(move |tx| tx.put(&schema::MANIFEST_BODY, &digest, &Raw(whole.clone())));
    assert_eq!(figures(&server.scrub()), [1, 0, 0, 1]);
    server.assert_clean("after the last scrub");
}

#[test]
fn a_run_that_was_ended_is_continued_and_nothing_is_read_twice_or_left_out() {
    const BLOBS: usize = 150;
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    for number in 0..BLOBS {
        let blob = blob(&format!("blob {number}"));
        server.push_blob("many", &blob.content, blob.digest).unwrap();
    }
    server.flip(&scene.layer.digest);
    let all = BLOBS as u64 + 3;
    for stop_after in [1, 2, 3, 66, 130, all + 1] {
        let (mut from, mut sum, mut runs) = (None, [0; 2], 0);
        loop {
            let mut looks = 0;
            let done = server.scrub_until(&Scope::Everything(from), &mut |_| {
                looks += 1;
                looks < stop_after
            });
            sum = [sum[0] + done.manifests, sum[1] + done.blobs];
            runs += 1;
            if done.complete {
                break;
            }
            assert!(from != Some(done.at), "each run reads something: {from:?}");
            from = Some(done.at);
        }
        assert_eq!(sum, [2, all], "{runs} runs of {stop_after}");
        assert!(runs > 1 || stop_after > all, "{runs}");
    }
    let blobs = Position { stage: Stage::Blobs, after: None };
    let behind = server.scrub_of(&Scope::Everything(Some(blobs)));
    assert_eq!([behind.manifests, behind.blobs], [0, all], "manifests come before all blobs");
}

#[test]
fn a_part_is_read_alone_and_an_unknown_one_refused() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let free = blob("in no manifest");
    server.push_blob("one", &free.content, free.digest).unwrap();
    server.flip(&scene.configs[1].digest);
    let of = |name: &str| Scope::Repository(name.parse().unwrap());
    let one = server.scrub_of(&of("one"));
    assert_eq!((figures(&one), one.complete), ([1, 3, 0, 0], true));
    assert_eq!(figures(&server.scrub_of(&of("two"))), [1, 2, 1, 0]);

    let layer = Scope::Digest(scene.layer.digest);
    let manifest = Scope::Digest(scene.manifests[0].digest());
    assert_eq!(figures(&server.scrub_of(&layer)), [0, 1, 0, 0]);
    assert_eq!(figures(&server.scrub_of(&manifest)), [1, 0, 0, 0]);
    let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
    let grant = server.access.site::<RunJobs>(&caller).unwrap();
    for known in [Scope::Everything(None), of("one"), layer, manifest] {
        server.registry.check_scope(&grant, &known).unwrap();
    }
    let unknown = server.registry.check_scope(&grant, &of("none"));
    assert!(matches!(unknown, Err(RegistryError::RepositoryUnknown(_))));
    let unknown = server.registry.check_scope(&grant, &Scope::Digest(blob("absent").digest));
    assert!(matches!(unknown, Err(RegistryError::ContentUnknown(_))));
}

#[test]
fn a_damaged_row_hides_no_other_damage() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let others: Vec<Blob> = (0..20).map(|number| blob(&format!("other {number}"))).collect();
    for other in &others {
        server.push_blob("other", &other.content, other.digest).unwrap();
        server.flip(&other.digest);
    }
    let (blob, manifest) = (scene.configs[0].digest, scene.manifests[0].digest());
    server.forge(move |tx| {
        let one = tx.get(&schema::REPOSITORY_NAME, "one")?.unwrap();
        tx.put(&schema::BLOB.raw(), &blob, &Raw(vec![9]))?;
        tx.put(&schema::MANIFEST.raw(), (one, &manifest), &Raw(vec![9]))?;
        tx.put(&schema::LINK.raw(), (one, &blob), &Raw(vec![9]))?;
        tx.put(&schema::MANIFEST_REPO.raw(), (&manifest, RepoId(99)), &Raw(vec![9]))
    });
    server.flip_manifest(&scene.manifests[1]);
    let done = server.scrub();
    assert_eq!((done.complete, done.damaged, done.hidden), (true, 22, 21), "{done:?}");
    assert_eq!(kinds(&done).iter().filter(|kind| **kind == "row_unreadable").count(), 1);
    assert_eq!(kinds(&done).iter().filter(|kind| **kind == "manifest_content").count(), 1);
    assert!(others.iter().all(|other| server.state(&other.digest) == BlobState::Corrupt));
}

#[test]
fn the_stamp_of_a_file_that_was_hashed_is_noted() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let digest = scene.layer.digest;
    let stamps = || {
        let row = server.meta.get(|tx| tx.get(&schema::BLOB, &digest)).unwrap().unwrap();
        (row.verified, server.store.open(&digest).unwrap().unwrap().stamp())
    };
    // As a restored backup does it.
    fs::write(server.file(&digest), &scene.layer.content).unwrap();
    assert_ne!(stamps().0, stamps().1);
    server.scrub();
    assert_eq!(stamps().0, stamps().1);
}

//! What a preview says of a deletion is what the collector frees after it.

use super::*;
use crate::access::{Delete, Pull};
use crate::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::registry::{Deletion, KeptBy, Selection, TagSize};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn descriptor(media_type: &str, content: &[u8]) -> String {
    let (digest, size) = (digest(content), content.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn list(media_type: &str, content: &[Vec<u8>]) -> String {
    content.iter().map(|content| descriptor(media_type, content)).collect::<Vec<_>>().join(",")
}

/// A manifest with its media type, and the blobs that it needs.
#[derive(Clone)]
pub(super) struct Made {
    body: String,
    media_type: &'static str,
    pub(super) blobs: Vec<Vec<u8>>,
}

impl Made {
    pub(super) fn image(name: &str, layers: &[Vec<u8>], subject: Option<&Self>) -> Self {
        let config = format!("config of {name}").into_bytes();
        let subject = subject.map_or(String::new(), |subject| {
            format!(r#","subject":{}"#, descriptor(subject.media_type, subject.body.as_bytes()))
        });
        let body = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[{}]{subject}}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", &config),
            list(LAYER, layers),
        );
        Self { body, media_type: OCI_MANIFEST, blobs: [&[config], layers].concat() }
    }

    pub(super) fn index(name: &str, children: &[&Self]) -> Self {
        let listed = |child: &&Self| descriptor(child.media_type, child.body.as_bytes());
        let children = children.iter().map(listed).collect::<Vec<_>>().join(",");
        let annotations = format!(r#""annotations":{{"name":"{name}"}}"#);
        let body = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{children}],{annotations}}}"#
        );
        Self { body, media_type: OCI_INDEX, blobs: Vec::new() }
    }

    fn digest(&self) -> Digest {
        digest(self.body.as_bytes())
    }
}

pub(super) fn tags(names: &[&str]) -> Selection {
    Selection::Of { tags: names.iter().map(|name| name.parse().unwrap()).collect(), manifests: Vec::new() }
}

impl Server<'_> {
    /// Pushes a manifest with its blobs; without a tag, by its digest.
    pub(super) fn push_made(&self, repository: &str, made: &Made, tag: Option<&str>) {
        for blob in &made.blobs {
            self.push(repository, blob);
        }
        let by_digest = || Reference::Digest(made.digest());
        let reference = tag.map_or_else(by_digest, |tag| Reference::Tag(tag.parse().unwrap()));
        self.put(repository, reference, &made.body).unwrap();
    }

    pub(super) fn preview(&self, selected: &[(&str, Selection)]) -> Deletion {
        let selected = selected
            .iter()
            .map(|(repository, selection)| (self.grant::<Delete>(repository), selection.clone()));
        self.wait(self.registry.plan_deletion(selected.collect())).unwrap()
    }

    fn delete_selected(&self, repository: &str, selection: &Selection) {
        let grant = self.grant::<Delete>(repository);
        let Selection::Of { tags, manifests } = selection else {
            return self.wait(self.registry.delete_repository(&grant)).unwrap();
        };
        for manifest in manifests {
            let deleted = self.registry.delete_manifest(&grant, Reference::Digest(*manifest), Below::Stays);
            self.wait(deleted).unwrap();
        }
        for tag in tags {
            // It may have gone with its manifest.
            let _ =
                self.wait(self.registry.delete_manifest(&grant, Reference::Tag(tag.clone()), Below::Stays));
        }
    }

    pub(super) fn sizes(&self, repository: &str, limit: usize) -> Vec<TagSize> {
        let (grant, mut all, mut last) = (self.grant::<Pull>(repository), Vec::new(), None);
        loop {
            let page = self.wait(self.registry.tag_sizes(&grant, last, limit)).unwrap();
            assert!(page.sizes.len() <= limit);
            all.extend(page.sizes);
            last = page.next;
            if last.is_none() {
                return all;
            }
        }
    }

    fn manifests_in(&self, repository: &str) -> u64 {
        let Some(id) = self.grant::<Delete>(repository).repository() else { return 0 };
        let usage = self.meta.get(|tx| tx.get(&schema::USAGE_REPOSITORY, id)).unwrap();
        usage.map_or(0, |usage| usage.manifests)
    }
}

pub(super) fn open(place: &Place) -> Server<'_> {
    let server = place.open(true);
    server.wait(server.registry.recall_promises(&server.access.system("start"), true));
    server
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn some<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        all.iter().filter(|_| self.below(3) == 0).cloned().collect()
    }
}

/// Pushes some images, indexes and referrers to a repository, and returns those that were pushed.
fn fill(server: &Server<'_>, random: &mut Random, repository: &str, layers: &[Vec<u8>]) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for number in 0..3 + random.below(6) {
        let name = format!("{repository} {number}");
        let subject = made.get(random.below(10)).cloned();
        let next = if random.below(4) == 0 && !made.is_empty() {
            let children: Vec<&Made> = made.iter().filter(|_| random.below(2) == 0).collect();
            Made::index(&name, &children)
        } else {
            Made::image(&name, &random.some(layers), subject.as_ref())
        };
        let tag = ["1", "2", "3", "4"].get(random.below(7)).copied();
        server.push_made(repository, &next, tag);
        if random.below(4) == 0 {
            server.push_made(repository, &next, Some("extra"));
        }
        made.push(next);
    }
    made
}

/// Something to delete in a repository.
fn choose(server: &Server<'_>, random: &mut Random, repository: &str) -> Selection {
    if random.below(6) == 0 {
        return Selection::All;
    }
    let sizes = server.sizes(repository, 3);
    let (mut tags, mut manifests) = (Vec::new(), Vec::new());
    for TagSize { name, digest, .. } in &sizes {
        match random.below(4) {
            0 => manifests.push(*digest),
            1 | 2 => tags.push(name.parse().unwrap()),
            _ => {}
        }
    }
    manifests.sort_unstable();
    manifests.dedup();
    Selection::Of { tags, manifests }
}

#[test]
fn a_preview_is_what_the_collector_frees_after_the_deletion() {
    let place = Place::new();
    let server = open(&place);
    let (mut deletions, mut freed) = (0, 0);
    for round in 0..60_u64 {
        let mut random = Random(round);
        let layer = |number: usize| format!("layer {round} {}", "x".repeat(number * 10)).into_bytes();
        let layers: Vec<Vec<u8>> = (0..6).map(layer).collect();
        let [one, other] = [format!("one/{round}"), format!("other/{round}")];
        fill(&server, &mut random, &one, &layers);
        // What nothing holds in another repository would keep a blob until it is collected.
        server.push_made(&other, &Made::image(&format!("{other} a"), &random.some(&layers), None), Some("a"));
        server.push_made(&other, &Made::image(&format!("{other} b"), &random.some(&layers), None), Some("b"));
        server.push(&other, &layers[0]);
        server.skip(3 * PROMISE_S);

        let here = choose(&server, &mut random, &one);
        let there = (random.below(3) == 0).then(|| choose(&server, &mut random, &other));
        // What nothing holds already now goes with a whole repository, and in one of several repositories it
        // keeps what the others have.
        if here == Selection::All || there.is_some() {
            server.collect_untagged(Mode::Now, Untagged::For(0));
        }
        let mut selected = vec![(one.as_str(), here)];
        selected.extend(there.map(|there| (other.as_str(), there)));
        let base = server.plan_untagged(Mode::Now, Untagged::For(0));
        let preview = server.preview(&selected);
        let before = server.manifests_in(&one) + server.manifests_in(&other);
        for (repository, selection) in &selected {
            server.delete_selected(repository, selection);
        }
        server.skip(3 * PROMISE_S);
        let done = server.collect_untagged(Mode::Now, Untagged::For(0));
        let told = (preview.freed_bytes + base.freed_bytes, preview.blobs + base.blobs);
        assert_eq!((done.freed_bytes, done.blobs), told, "round {round}: {selected:?} {preview:?} {base:?}");
        let gone = before - server.manifests_in(&one) - server.manifests_in(&other);
        assert_eq!(gone, preview.manifests + base.manifests, "round {round}: {selected:?} {preview:?}");
        assert!(!preview.at_least);
        deletions += u64::from(preview.tags > 0);
        freed += u64::from(preview.freed_bytes > 0);
    }
    assert!(deletions > 40 && freed > 20, "{deletions} {freed}");
    server.assert_clean("after all rounds");
}

#[test]
fn what_a_tag_alone_would_free_is_in_the_list_of_sizes() {
    let place = Place::new();
    let server = open(&place);
    for round in 0..20_u64 {
        let mut random = Random(round);
        let layers: Vec<Vec<u8>> =
            (0..6).map(|number| format!("{round} {}", "y".repeat(number * 7)).into_bytes()).collect();
        let repository = format!("sizes/{round}");
        fill(&server, &mut random, &repository, &layers);
        let sizes = server.sizes(&repository, 500);
        assert_eq!(sizes, server.sizes(&repository, 2), "pages");
        for size in &sizes {
            let alone = server.preview(&[(&repository, tags(&[&size.name]))]);
            assert_eq!(alone.freed_bytes, size.unique_bytes, "round {round}: {size:?}");
            let kept = alone.kept_bytes + alone.elsewhere_bytes;
            assert_eq!(size.blob_bytes, alone.freed_bytes + kept, "round {round}: {size:?}");
            assert_eq!(size.manifests, alone.manifests + alone.kept_manifests);
        }
    }
}

#[test]
fn the_size_of_an_index_is_that_of_its_images_and_of_what_refers_to_them() {
    let place = Place::new();
    let server = open(&place);
    let layer = |letter: &str, bytes: usize| letter.repeat(bytes).into_bytes();
    let (base, amd, arm) = (layer("b", 1000), layer("m", 200), layer("r", 300));
    let amd = Made::image("amd64", &[base.clone(), amd], None);
    let arm = Made::image("arm64", &[base.clone(), arm], None);
    let index = Made::index("latest", &[&amd, &arm]);
    let signature = Made::image("signature", &[layer("s", 40)], Some(&index));
    for made in [&amd, &arm] {
        server.push_made("a", made, None);
    }
    server.push_made("a", &index, Some("latest"));
    server.push_made("a", &signature, None);
    let old = Made::image("old", &[base, layer("o", 5)], None);
    server.push_made("a", &old, Some("old"));

    let config = |name: &str| format!("config of {name}").len() as u64;
    let sizes = server.sizes("a", 10);
    let own = 200 + 300 + 40 + config("amd64") + config("arm64") + config("signature");
    assert_eq!((sizes[0].name.as_str(), sizes[0].manifests), ("latest", 4));
    assert_eq!((sizes[0].unique_bytes, sizes[0].blob_bytes), (own, own + 1000));
    let bodies = [&amd, &arm, &index, &signature].iter().map(|made| made.body.len() as u64).sum::<u64>();
    assert_eq!(sizes[0].manifest_bytes, bodies);
    assert_eq!((sizes[1].unique_bytes, sizes[1].blob_bytes), (5 + config("old"), 1005 + config("old")));

    // Another tag on one of the images keeps that image, and only that.
    server.push_made("a", &arm, Some("arm"));
    let kept = server.preview(&[("a", tags(&["latest"]))]);
    assert_eq!(kept.freed_bytes, own - 300 - config("arm64"));
    assert_eq!((kept.manifests, kept.kept_manifests), (3, 1));
    assert_eq!(kept.kept, [("a".parse().unwrap(), arm.digest(), KeptBy::Tag("arm".to_owned()))]);
    assert_eq!(kept.tag_names, ["a:latest"]);

    // A manifest goes although an index lists it; with it go its tags and what refers to it.
    let manifests = vec![arm.digest()];
    let direct = server.preview(&[("a", Selection::Of { tags: Vec::new(), manifests })]);
    assert_eq!((direct.tags, direct.manifests, direct.freed_bytes), (1, 1, 300 + config("arm64")));
}

#[test]
fn when_it_is_collected_follows_from_the_settings() {
    let place = Place::new();
    let server = open(&place);
    let image = Made::image("image", &[], None);
    server.push_made("a", &image, Some("1"));
    let by_tag = || server.preview(&[("a", tags(&["1"]))]).due_in_s;
    let by_digest = Selection::Of { tags: Vec::new(), manifests: vec![image.digest()] };
    assert_eq!(server.preview(&[("a", by_digest)]).due_in_s, Some(GRACE_S));
    assert_eq!(server.preview(&[("a", Selection::All)]).due_in_s, Some(0));
    assert_eq!(by_tag(), None, "manifests without a tag stay for ever");
    let set = |untagged_s| {
        let limits = Limits { untagged_s: Some(untagged_s), ..**server.registry.limits.load() };
        server.registry.set_limits(limits);
    };
    server.forge(|tx| tx.put(&schema::COLLECTION, (), &schema::Collection { untagged: true }));
    set(1_000_000);
    assert_eq!(by_tag(), Some(1_000_000 + GRACE_S));
    set(0);
    assert_eq!(by_tag(), Some(PROMISE_S + GRACE_S), "what was pushed or pulled within the promise stays");
    server.forge(|tx| tx.put(&schema::COLLECTION, (), &schema::Collection { untagged: false }));
    assert_eq!(by_tag(), None, "an admin has to start a run first");
}

#[test]
fn what_is_not_there_is_named_and_a_damaged_manifest_ends_the_preview() {
    let place = Place::new();
    let server = open(&place);
    let image = Made::image("image", &[b"layer".to_vec()], None);
    server.push_made("a", &image, Some("1"));
    server.push_made("a", &Made::image("untagged", &[b"layer".to_vec()], None), None);
    let refused = |repository: &str, selection| {
        let selected = vec![(server.grant::<Delete>(repository), selection)];
        server.wait(server.registry.plan_deletion(selected)).unwrap_err().to_string()
    };
    assert!(refused("a", tags(&["1", "2"])).contains("a:2 is not in the repository"));
    let absent = Selection::Of { tags: Vec::new(), manifests: vec![digest(b"absent")] };
    assert!(refused("a", absent).contains(&format!("a@{} is not", digest(b"absent"))));
    assert!(refused("b", Selection::All).contains("repository name not known"));
    let repository = server.grant::<Delete>("a").repository().unwrap();
    server.forge(move |tx| tx.put(&schema::MANIFEST.raw(), (repository, &digest(b"damaged")), &Raw(vec![9])));
    assert!(
        refused("a", tags(&["1"])).contains("manifest"),
        "the collector would leave the repository alone"
    );
}

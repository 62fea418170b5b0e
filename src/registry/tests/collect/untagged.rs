//! Manifests that no tag leads to: what holds them, when they go, and what goes with them.

use super::*;
use crate::model::media_type::{OCI_INDEX, OCI_MANIFEST};

const AGE_S: u64 = 14 * 24 * 3600;

fn config(number: u32) -> Vec<u8> {
    format!("config {number}").into_bytes()
}

fn descriptor(media_type: &str, content: &str) -> String {
    let (digest, size) = (digest(content.as_bytes()), content.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn index(children: &[&str]) -> String {
    let children: Vec<_> = children.iter().map(|child| descriptor(OCI_MANIFEST, child)).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, children.join(","))
}

/// An image that refers to another manifest.
fn referrer(config: &[u8], subject: &str, media_type: &str) -> String {
    let subject = format!(r#""subject":{},"layers""#, descriptor(media_type, subject));
    image(config).replace(r#""layers""#, &subject)
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn by_digest(content: &str) -> Reference {
    Reference::Digest(digest(content.as_bytes()))
}

impl Server<'_> {
    /// Pushes an image by its digest.
    fn push_untagged(&self, number: u32) -> String {
        self.push("a", &config(number));
        let image = image(&config(number));
        self.put("a", by_digest(&image), &image).unwrap();
        image
    }

    fn has(&self, manifest: &str) -> bool {
        let repository = self.grant::<Push>("a").repository();
        let digest = digest(manifest.as_bytes());
        repository.is_some_and(|id| self.meta.get(|tx| tx.has(&schema::MANIFEST, (id, &digest))).unwrap())
    }

    fn delete(&self, reference: Reference) {
        self.wait(self.registry.delete_manifest(&self.grant("a"), reference, Below::Stays)).unwrap();
    }

    fn pull(&self, manifest: &str) {
        self.wait(self.registry.manifest(&self.grant("a"), &by_digest(manifest))).unwrap();
    }

    /// Deletes what is older than two weeks.
    fn collect_old(&self) -> u64 {
        self.collect_untagged(Mode::Scheduled, Untagged::For(AGE_S)).manifests
    }
}

fn open(place: &Place) -> Server<'_> {
    let server = place.open(true);
    server.wait(server.registry.recall_promises(&server.access.system("start"), true));
    server
}

#[test]
fn a_manifest_without_a_tag_goes_when_it_is_old_and_its_blobs_follow() {
    let place = Place::new();
    let server = open(&place);
    let (old, kept) = (server.push_untagged(1), server.push_untagged(2));
    server.put("a", tag("2"), &kept).unwrap();
    server.skip(AGE_S - 60);
    assert_eq!(server.collect_old(), 0);
    server.skip(61);
    assert_eq!(server.collect_untagged(Mode::Scheduled, Untagged::Never).manifests, 0);
    assert_eq!(server.collect_old(), 1);
    assert!(!server.has(&old) && server.has(&kept) && server.has_file(&config(1)));
    server.skip(GRACE_S);
    server.collect(Mode::SpaceIsShort);
    assert!(!server.has_file(&config(1)) && server.has_file(&config(2)));
    server.assert_clean("after the blobs");
}

#[test]
fn a_pull_a_push_and_a_tag_begin_the_time_again() {
    let place = Place::new();
    let server = open(&place);
    let images: Vec<String> = (0..5).map(|number| server.push_untagged(number)).collect();
    server.skip(AGE_S - 60);
    server.pull(&images[0]);
    server.pull(&images[1]);
    server.wait(server.registry.store_pulls(&server.access.system("pulls"))).unwrap();
    server.pull(&images[0]);
    server.put("a", by_digest(&images[2]), &images[2]).unwrap();
    server.put("a", tag("3"), &images[3]).unwrap();
    server.delete(tag("3"));
    server.skip(120);
    assert_eq!(server.collect_old(), 1);
    assert!(images[..4].iter().all(|image| server.has(image)) && !server.has(&images[4]));
    server.skip(AGE_S);
    assert_eq!(server.collect_old(), 4);
    assert_eq!(server.rows()[5], 1, "its links are left");
}

#[test]
fn a_look_keeps_a_manifest_for_the_promise_also_when_all_go() {
    let place = Place::new();
    let server = open(&place);
    let (looked_at, other) = (server.push_untagged(1), server.push_untagged(2));
    server.skip(PROMISE_S + 1);
    server.wait(server.registry.manifest_head(&server.grant("a"), &by_digest(&looked_at))).unwrap();
    let collected = server.collect_untagged(Mode::Now, Untagged::For(0));
    assert_eq!(collected.manifests, 1);
    assert!(server.has(&looked_at) && !server.has(&other) && !server.has_file(&config(2)));
    server.skip(2 * PROMISE_S);
    assert_eq!(server.collect_untagged(Mode::Now, Untagged::For(0)).manifests, 1);
    assert_eq!(server.rows(), [0; 6]);
}

#[test]
fn the_images_of_an_index_and_what_refers_to_them_live_and_die_with_it() {
    let place = Place::new();
    let server = open(&place);
    let images: Vec<String> = (0..3).map(|number| server.push_untagged(number)).collect();
    let inner = index(&[&images[0], &images[1]]);
    server.put("a", by_digest(&inner), &inner).unwrap();
    let outer = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{},{}]}}"#,
        descriptor(OCI_INDEX, &inner),
        descriptor(OCI_MANIFEST, &images[2])
    );
    server.put("a", tag("latest"), &outer).unwrap();
    server.push("a", b"signature");
    let signature = referrer(b"signature", &images[1], OCI_MANIFEST);
    server.put("a", by_digest(&signature), &signature).unwrap();
    server.push("a", b"of the signature");
    let of_signature = referrer(b"of the signature", &signature, OCI_MANIFEST);
    server.put("a", by_digest(&of_signature), &of_signature).unwrap();
    server.skip(10 * AGE_S);
    assert_eq!(server.collect_old(), 0);
    server.delete(tag("latest"));
    server.skip(AGE_S - 60);
    assert_eq!(server.collect_old(), 0, "the index lost its tag lately");
    server.skip(120);
    assert_eq!(server.collect_old(), 7);
    server.skip(GRACE_S);
    server.collect(Mode::SpaceIsShort);
    assert_eq!(server.rows(), [0; 6]);
}

#[test]
fn what_refers_to_a_manifest_that_never_came_lives_for_its_own_time() {
    let place = Place::new();
    let server = open(&place);
    server.push("a", b"signature");
    let signature = referrer(b"signature", "{}", OCI_MANIFEST);
    server.put("a", by_digest(&signature), &signature).unwrap();
    server.skip(AGE_S - 60);
    assert_eq!(server.collect_old(), 0);
    server.skip(120);
    assert_eq!(server.collect_old(), 1);
}

#[test]
fn manifests_that_hold_each_other_in_a_circle_go_together() {
    let place = Place::new();
    let server = open(&place);
    // The image is listed by an index that a second index refers to; that one lists the first, and has the
    // image as its subject.
    let image = server.push_untagged(1);
    let first = index(&[&image]);
    server.put("a", by_digest(&first), &first).unwrap();
    let second = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}],"subject":{}}}"#,
        descriptor(OCI_INDEX, &first),
        descriptor(OCI_MANIFEST, &image)
    );
    server.put("a", tag("1"), &second).unwrap();
    server.skip(AGE_S + 1);
    assert_eq!(server.collect_old(), 0);
    server.delete(tag("1"));
    server.skip(AGE_S + 1);
    assert_eq!(server.collect_old(), 3);
    server.assert_clean("after the circle");
}

#[test]
fn a_manifest_that_very_many_hold_goes_in_slices_after_them() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_untagged(0);
    let plain = index(&[&image]);
    for number in 0..600 {
        let fat =
            plain.replace("\"manifests\"", &format!("\"annotations\":{{\"n\":\"{number}\"}},\"manifests\""));
        server.put("a", by_digest(&fat), &fat).unwrap();
    }
    server.skip(AGE_S + 1);
    let grant = server.access.system("collect");
    let mut most = (0, 0);
    let mut observer = |collected: &Collected| {
        most = (collected.manifests, most.1.max(collected.manifests - most.0));
        true
    };
    let run = server.registry.collect(&grant, Mode::Scheduled, Untagged::For(AGE_S), &mut observer);
    assert_eq!(server.wait(run).unwrap().manifests, 601);
    assert!(most.1 <= 260, "{} manifests in one slice", most.1);
    server.assert_clean("after the slices");
}

#[test]
fn a_plan_says_what_goes_with_untagged_manifests_and_a_damaged_row_spares_the_repository() {
    let place = Place::new();
    let server = open(&place);
    let images: Vec<String> = (0..50).map(|number| server.push_untagged(number)).collect();
    server.put("a", tag("kept"), &images[0]).unwrap();
    server.push("b", &config(1));
    server.skip(GRACE_S + 1);
    server.look("b", &config(1)).unwrap();
    let plan = server.plan_untagged(Mode::Now, Untagged::For(0));
    assert_eq!((plan.manifests, plan.links, plan.blobs, plan.promised), (49, 49, 48, 1), "{plan:?}");
    let later = server.plan_untagged(Mode::Scheduled, Untagged::For(0));
    assert_eq!((later.manifests, later.blobs), (49, 0));
    let repository = server.grant::<Push>("a").repository().unwrap();
    let damaged = digest(images[7].as_bytes());
    let whole =
        server.meta.get(|tx| tx.get(&schema::MANIFEST.raw(), (repository, &damaged))).unwrap().unwrap();
    server.forge(move |tx| tx.put(&schema::MANIFEST.raw(), (repository, &damaged), &Raw(vec![9])));
    let spared = server.collect_untagged(Mode::Now, Untagged::For(0));
    assert_eq!((spared.manifests, spared.blobs, spared.spared), (0, 0, 1), "{spared:?}");
    server.forge(move |tx| tx.put(&schema::MANIFEST.raw(), (repository, &damaged), &whole));
    let done = server.collect_untagged(Mode::Now, Untagged::For(0));
    let told = (plan.manifests, plan.links, plan.blobs, plan.freed_bytes, plan.promised);
    assert_eq!(told, (done.manifests, done.links, done.blobs, done.freed_bytes, done.promised));
    server.assert_clean("after the run");
}

#[test]
fn a_plan_deletes_nothing_in_a_repository_whose_last_page_is_damaged() {
    let place = Place::new();
    let server = open(&place);
    let images: Vec<Digest> =
        (0..1_001).map(|number| digest(server.push_untagged(number).as_bytes())).collect();
    let (repository, last) = (server.grant::<Push>("a").repository().unwrap(), *images.iter().max().unwrap());
    server.forge(move |tx| tx.put(&schema::MANIFEST.raw(), (repository, &last), &Raw(vec![9])));
    server.skip(GRACE_S + 1);
    let plan = server.plan_untagged(Mode::Now, Untagged::For(0));
    assert_eq!((plan.manifests, plan.later, plan.links), (0, 0, 0), "{plan:?}");
    assert_eq!(server.collect_untagged(Mode::Now, Untagged::For(0)).manifests, 0);
}

#[test]
fn a_repository_is_read_again_only_after_a_change() {
    let place = Place::new();
    let server = open(&place);
    let dirty = || server.meta.get(|tx| tx.count(&schema::DIRTY_REPOSITORY)).unwrap();
    let image = server.push_untagged(1);
    server.put("a", tag("1"), &image).unwrap();
    assert_eq!(dirty(), 1);
    server.collect_old();
    assert_eq!(dirty(), 0, "every manifest has a tag");
    server.push_untagged(2);
    server.collect_old();
    assert_eq!(dirty(), 1, "one of them may go later");
    server.skip(AGE_S + 1);
    assert_eq!(server.collect_old(), 1);
    server.collect_old();
    assert_eq!(dirty(), 0);
}

#[test]
fn scheduled_runs_of_a_rebuilt_store_wait_for_an_admin() {
    let place = Place::new();
    let server = open(&place);
    let limits = Limits { untagged_s: Some(AGE_S), ..**server.registry.limits.load() };
    server.registry.set_limits(limits);
    server.push_untagged(1);
    server.forge(|tx| tx.put(&schema::COLLECTION, (), &schema::Collection { untagged: false }));
    server.skip(AGE_S + 1);
    assert!(server.registry.untagged_waits(&server.site()).unwrap());
    assert_eq!(server.collect(Mode::Scheduled).manifests, 0);
    let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
    let admin = server.access.site(&caller).unwrap();
    server.wait(server.registry.permit_untagged(&admin)).unwrap();
    assert!(!server.registry.untagged_waits(&server.site()).unwrap());
    assert_eq!(server.collect(Mode::Scheduled).manifests, 1);
}

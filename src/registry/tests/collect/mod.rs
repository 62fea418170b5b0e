//! The collector: what it takes and when, what it leaves, and what is left when it is cut off.

mod audit;
mod costs;
mod deletion;
mod now;
mod pins;
mod status;
mod untagged;

use super::*;
use crate::model::digest::Algorithm;
use crate::model::names::{RepoId, Sequence};
use crate::registry::Below;
use crate::registry::collect::{Collected, Mode, Untagged};
use crate::store::meta::schema::{self, Blob, BlobState, Disk};
use crate::store::meta::{Raw, Tx as _};

/// The promise of [`Place::open`], in running seconds.
const PROMISE_S: u64 = 3600;
const GRACE_S: u64 = 2 * PROMISE_S;

pub(super) fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

pub(super) fn image(config: &[u8]) -> String {
    let (digest, size) = (digest(config), config.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{size}}},"layers":[]}}"#
    )
}

impl Server<'_> {
    fn push(&self, repository: &str, content: &[u8]) {
        self.push_blob(repository, content, digest(content)).unwrap();
    }

    pub(super) fn skip(&self, seconds: u64) {
        self.meta.clock().skip(seconds);
    }

    fn collect(&self, mode: Mode) -> Collected {
        self.collect_untagged(mode, Untagged::AsSet)
    }

    pub(super) fn collect_untagged(&self, mode: Mode, untagged: Untagged) -> Collected {
        let grant = self.access.system("collect");
        self.wait(self.registry.collect(&grant, mode, untagged, &mut |_: &Collected| true)).unwrap()
    }

    /// Ends a look of a client that lets it skip an upload.
    fn look(&self, repository: &str, content: &[u8]) -> Result<u64, RegistryError> {
        self.wait(self.registry.blob_size(&self.grant(repository), &digest(content)))
    }

    /// Pushes an image with this config, under the tag `1`.
    fn push_image(&self, repository: &str, config: &[u8]) {
        self.push(repository, config);
        self.put(repository, Reference::Tag("1".parse().unwrap()), &image(config)).unwrap();
    }

    fn delete_image(&self, repository: &str, config: &[u8]) {
        let manifest = Reference::Digest(digest(image(config).as_bytes()));
        self.wait(self.registry.delete_manifest(&self.grant(repository), manifest, Below::Stays)).unwrap();
    }

    fn has_file(&self, content: &[u8]) -> bool {
        self.store.open(&digest(content)).unwrap().is_some()
    }

    pub(super) fn rows(&self) -> [u64; 6] {
        let count = self.meta.get(|tx| {
            Ok::<_, StoreError>([
                tx.count(&schema::BLOB)?,
                tx.count(&schema::LINK)?,
                tx.count(&schema::LINK_ZERO)?,
                tx.count(&schema::BLOB_FREE)?,
                tx.count(&schema::QUARANTINE)?,
                tx.count(&schema::REPOSITORY)?,
            ])
        });
        count.unwrap()
    }
}

#[test]
fn what_nothing_refers_to_goes_when_its_grace_is_over_and_not_before() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"garbage");
    server.push("a", b"used");
    server.put("a", Reference::Tag("1".parse().unwrap()), &image(b"used")).unwrap();

    server.skip(GRACE_S - 60);
    assert_eq!(server.collect(Mode::Scheduled), Collected::default());

    server.skip(60);
    let collected = server.collect(Mode::Scheduled);
    assert_eq!((collected.links, collected.blobs, collected.bytes), (1, 1, 7));
    assert_eq!(collected.freed_bytes, 0, "it is in quarantine");
    assert!(!server.has_file(b"garbage") && server.has_file(b"used"));
    assert!(server.pull_blob("a", &digest(b"garbage")).is_err());
    server.assert_clean("after the collection");

    server.skip(24 * 3600);
    assert_eq!(server.collect(Mode::Scheduled).freed_bytes, 7);
    assert_eq!(server.rows(), [1, 1, 0, 0, 0, 1]);
    server.assert_clean("after quarantine");
}

#[test]
fn when_space_is_needed_files_go_at_once_also_from_quarantine() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"first");
    server.skip(GRACE_S);
    server.collect(Mode::Scheduled);
    server.push("b", b"second one");
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.freed_bytes), (1, 15));
    assert_eq!(server.rows(), [0; 6], "repositories go with the last thing in them");
    let disk = server.meta.get(|tx| tx.get(&schema::DISK, ())).unwrap().unwrap();
    assert_eq!(disk, Disk::default());
    server.assert_clean("after all of it");
}

#[test]
fn a_look_that_lets_a_client_skip_the_upload_keeps_the_blob_for_the_whole_promise() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"looked at");
    for _ in 0..3 {
        server.skip(PROMISE_S);
        server.look("a", b"looked at").unwrap();
        server.skip(PROMISE_S);
        assert_eq!(server.collect(Mode::SpaceIsShort), Collected::default());
    }
    server.skip(PROMISE_S);
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 1);
}

#[test]
fn a_blob_stays_as_long_as_any_repository_has_it() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"shared");
    server.skip(PROMISE_S);
    server.push("b", b"shared");
    server.skip(PROMISE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.links, collected.blobs), (1, 0));
    assert!(server.pull_blob("a", &digest(b"shared")).is_err());
    server.pull_blob("b", &digest(b"shared")).unwrap();
    server.assert_clean("between the two");
}

#[test]
fn a_push_of_a_condemned_blob_saves_it() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"condemned");
    server.wait(server.registry.delete_blob(&server.grant("a"), &digest(b"condemned"))).unwrap();
    server.forge(|tx| {
        let blob = tx.get(&schema::BLOB, &digest(b"condemned"))?.unwrap();
        tx.put(&schema::BLOB, &digest(b"condemned"), &Blob { state: BlobState::Deleting, ..blob })
    });
    server.push("b", b"condemned");
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 0);
    server.pull_blob("b", &digest(b"condemned")).unwrap();
    server.assert_clean("after the push");
}

#[test]
fn a_damaged_row_spares_what_it_holds_and_nothing_else() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"behind a damaged row");
    server.push("a", b"garbage");
    let repository = server.grant::<Push>("a").repository().unwrap();
    server.forge(move |tx| {
        tx.put(&schema::LINK.raw(), (repository, &digest(b"behind a damaged row")), &Raw(vec![1, 2, 3]))
    });
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.spared), (1, 1));
    assert!(collected.spared_names[0].contains(&digest(b"behind a damaged row").to_string()));
    assert!(server.has_file(b"behind a damaged row"));
}

#[test]
fn a_blob_whose_own_row_is_damaged_keeps_no_other_from_being_collected() {
    let place = Place::new();
    let server = place.open(true);
    for content in [&b"one"[..], b"damaged", b"three"] {
        server.push("a", content);
    }
    server.forge(|tx| tx.put(&schema::BLOB.raw(), &digest(b"damaged"), &Raw(vec![1, 2, 3])));
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.links, collected.blobs, collected.spared), (2, 2, 1), "{collected:?}");
    assert!(server.has_file(b"damaged") && !server.has_file(b"one") && !server.has_file(b"three"));
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other_from_being_collected() {
    let place = Place::new();
    let server = place.open(true);
    for content in [&b"one"[..], b"stays", b"three"] {
        server.push("a", content);
    }
    // A directory in its place cannot be unlinked.
    let hex = digest(b"stays").hex();
    let path = place.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    server.skip(GRACE_S);
    let collected = server.collect(Mode::SpaceIsShort);
    assert_eq!((collected.blobs, collected.spared), (2, 1), "{collected:?}");
    assert!(collected.spared_names[0].contains("its file cannot be removed"), "{collected:?}");
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 1, "the next run tries again");
}

#[test]
fn who_observes_a_run_may_wait_for_the_writer() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"garbage");
    server.skip(GRACE_S);
    let (grant, mut seen) = (server.access.system("collect"), 0);
    let mut observer = |_: &Collected| {
        server.forge(|tx| tx.put(&schema::OUTBOX_CURSOR, "an observer", &Sequence(1)));
        seen += 1;
        true
    };
    let run = server.registry.collect_blocking(&grant, Mode::SpaceIsShort, Untagged::Never, &mut observer);
    assert_eq!(run.unwrap().blobs, 1);
    assert!(seen >= 2, "{seen}");
    let mut slices = 0;
    server.push("a", b"more garbage");
    server.skip(GRACE_S);
    let ended = server.registry.collect_blocking(&grant, Mode::SpaceIsShort, Untagged::Never, &mut |_| {
        slices += 1;
        false
    });
    assert!(ended.unwrap().links <= 1 && slices >= 1);
}

#[test]
fn a_damaged_row_of_any_index_ends_no_run() {
    type Damage = fn(&meta::WriteTx<'_>, RepoId) -> Result<(), StoreError>;
    let damages: [(&str, Damage); 7] = [
        ("link_zero", |tx, id| {
            let since = tx.get(&schema::LINK, (id, &digest(b"damaged")))?.unwrap().zero_since;
            tx.put(&schema::LINK_ZERO.raw(), (since, id, &digest(b"damaged")), &Raw(vec![9]))
        }),
        ("blob_free", |tx, _| {
            tx.put(&schema::BLOB_FREE.raw(), (tx.now().running_second(), &digest(b"none")), &Raw(vec![9]))
        }),
        ("blob_link", |tx, id| tx.put(&schema::BLOB_LINK.raw(), (&digest(b"damaged"), id), &Raw(vec![9]))),
        ("quarantine", |tx, _| tx.put(&schema::QUARANTINE.raw(), tx.next_sequence(), &Raw(vec![9]))),
        ("dirty_repository", |tx, id| tx.put(&schema::DIRTY_REPOSITORY.raw(), id, &Raw(vec![9]))),
        ("collection", |tx, _| tx.put(&schema::COLLECTION.raw(), (), &Raw(vec![9]))),
        ("usage_repository", |tx, id| tx.put(&schema::USAGE_REPOSITORY.raw(), id, &Raw(vec![9]))),
    ];
    for (table, damage) in damages {
        let place = Place::new();
        let server = place.open(true);
        server.push("a", b"damaged");
        server.push("b", b"other");
        let repository = server.grant::<Push>("a").repository().unwrap();
        server.forge(move |tx| damage(tx, repository));
        server.skip(GRACE_S);
        server.wait(server.registry.recall_promises(&server.access.system("start"), true));
        let collected = server.collect_untagged(Mode::SpaceIsShort, Untagged::For(0));
        assert!(!server.has_file(b"other"), "{table}: {collected:?}");
        server.wait(server.registry.garbage(&server.site())).unwrap();
        server.plan_untagged(Mode::Now, Untagged::AsSet);
    }
}

#[test]
fn a_file_that_a_crash_has_left_in_quarantine_gets_a_row_and_goes() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"cut off");
    server.wait(server.registry.delete_blob(&server.grant("a"), &digest(b"cut off"))).unwrap();
    server.forge(|tx| {
        let blob = tx.get(&schema::BLOB, &digest(b"cut off"))?.unwrap();
        tx.put(&schema::BLOB, &digest(b"cut off"), &Blob { state: BlobState::Deleting, ..blob })
    });
    server.store.set_aside(&digest(b"cut off")).unwrap().unwrap();
    server.stop();
    let server = place.open(true);
    let collected = server.collect(Mode::Scheduled);
    assert_eq!((collected.blobs, collected.freed_bytes), (1, 0));
    assert_eq!(server.rows(), [0, 0, 0, 0, 1, 0]);
    server.skip(24 * 3600);
    assert_eq!(server.collect(Mode::Scheduled).freed_bytes, 7);
    assert!(server.store.list_aside().unwrap().is_empty());
}

#[test]
fn a_run_that_is_ended_goes_on_with_the_next_one() {
    let place = Place::new();
    let server = place.open(true);
    for number in 0..100_u32 {
        server.push("a", &number.to_be_bytes());
    }
    server.skip(GRACE_S);
    let grant = server.access.system("collect");
    let mut slices = 0;
    let mut once = |_: &Collected| {
        slices += 1;
        slices < 2
    };
    let first =
        server.wait(server.registry.collect(&grant, Mode::SpaceIsShort, Untagged::Never, &mut once)).unwrap();
    assert!(first.links == 100 && first.blobs < 100, "{first:?}");
    server.assert_clean("between two runs");
    let second = server.collect(Mode::SpaceIsShort);
    assert_eq!(first.blobs + second.blobs, 100);
    assert_eq!(server.rows(), [0; 6]);
}

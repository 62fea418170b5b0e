//! The trash: what goes into it, what comes back, and what becomes of the rest.

mod dependence;
mod histories;
mod space;

use super::collect::{digest, image};
use super::samples::{self, Blob, Manifest};
use super::*;
use crate::access::{ManageTrash, ReadServer};
use crate::model::digest::Algorithm;
use crate::model::names::{RepoId, Sequence};
use crate::registry::collect::{Mode, Untagged};
use crate::registry::{Below, TrashView, trash};
use crate::store::meta::schema::{self, TrashKind};
use crate::store::meta::{Raw, Tx as _};

const WEEK_S: u64 = 7 * 24 * 3600;

/// A registry that keeps what is deleted for a week.
fn open(place: &Place) -> Server<'_> {
    let server = place.open(true);
    let limits = Limits { trash_s: WEEK_S, ..**server.registry.limits.load() };
    server.registry.limits.store(Arc::new(limits));
    server.wait(server.registry.recall_promises(&server.access.system("start"), true));
    server
}

impl Server<'_> {
    fn at_site<A: Action<Target = crate::access::Site>>(&self) -> Grant<A> {
        let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
        self.access.site(&caller).unwrap()
    }

    fn discard(&self, repository: &str, tag: &str) -> Result<(), RegistryError> {
        self.wait(self.registry.discard_tag(&self.grant(repository), tag.parse().unwrap()))
    }

    fn delete_by(&self, repository: &str, reference: Reference, below: Below) -> Result<(), RegistryError> {
        self.wait(self.registry.delete_manifest(&self.grant(repository), reference, below))
    }

    fn entries(&self) -> Vec<TrashView> {
        let grant = self.at_site::<ReadServer>();
        self.wait(self.registry.trash(&grant, (None, None), 1_000)).unwrap().entries
    }

    fn restore(&self, id: Sequence, name: Option<&str>) -> Result<TrashView, RegistryError> {
        let grant = self.at_site::<ManageTrash>();
        self.wait(self.registry.restore(&grant, id, name.map(str::to_owned)))
    }

    fn empty(&self, id: Sequence) -> Result<(), RegistryError> {
        self.wait(self.registry.empty_trash_entry(&self.at_site::<ManageTrash>(), id))
    }

    fn id_of(&self, name: &str) -> Option<RepoId> {
        self.meta.get(|tx| tx.get(&schema::REPOSITORY_NAME, name)).unwrap()
    }

    fn name_of(&self, repository: RepoId) -> String {
        self.meta.get(|tx| tx.get(&schema::REPOSITORY, repository)).unwrap().unwrap().name
    }

    fn tags_of(&self, name: &str) -> Vec<(String, schema::Tag)> {
        let mut tags = Vec::new();
        let Some(id) = self.id_of(name) else { return tags };
        let read = |tx: &meta::ReadTx| {
            tags.clear();
            tx.scan_prefix(&schema::TAG, id, |tag, row| {
                tags.push((tag.to_owned(), row));
                ControlFlow::Continue(())
            })
        };
        self.meta.read_blocking(read).unwrap();
        tags
    }

    fn can_pull(&self, name: &str, digest: &Digest) -> bool {
        let reference = Reference::Digest(*digest);
        self.wait(self.registry.manifest_head(&self.grant(name), &reference)).is_ok()
    }

    fn rows_of_trash(&self) -> [u64; 8] {
        let count = self.meta.get(|tx| {
            Ok::<_, StoreError>([
                tx.count(&schema::TRASH)?,
                tx.count(&schema::TRASH_BY_REPOSITORY)?,
                tx.count(&schema::TRASH_REPOSITORY)?,
                tx.count(&schema::TRASH_TAG)?,
                tx.count(&schema::TRASH_ROOT)?,
                tx.count(&schema::TRASH_MANIFEST)?,
                tx.count(&schema::TRASH_CONTENT)?,
                tx.count(&schema::TRASH_REFERRER)?,
            ])
        });
        count.unwrap()
    }

    /// Pushes so many images, and an index of them under the tag `all`; returns it and them.
    fn push_index(&self, images: u32) -> (String, Vec<String>) {
        let push = |number: u32| {
            let config = number.to_be_bytes();
            self.push_blob("team/a", &config, digest(&config)).unwrap();
            let image = image(&config);
            self.put("team/a", by_digest(&image), &image).unwrap();
            image
        };
        let images: Vec<String> = (0..images).map(push).collect();
        let index = index_of(&images);
        self.put("team/a", Reference::Tag("all".parse().unwrap()), &index).unwrap();
        (index, images)
    }

    /// Pushes an image with this config, under a tag.
    fn push_as(&self, repository: &str, config: &[u8], tag: &str) -> String {
        self.push_blob(repository, config, digest(config)).unwrap();
        let image = image(config);
        self.put(repository, Reference::Tag(tag.parse().unwrap()), &image).unwrap();
        image
    }
}

fn of(body: &str) -> Digest {
    digest(body.as_bytes())
}

fn by_digest(body: &str) -> Reference {
    Reference::Digest(of(body))
}

fn index_of(children: &[String]) -> String {
    let listed: Vec<String> = children
        .iter()
        .map(|child| {
            let (digest, size) = (of(child), child.len());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        listed.join(",")
    )
}

#[test]
fn a_tag_comes_back_with_its_manifest_as_they_were() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    let before = server.tags_of("team/a");
    server.discard("team/a", "1").unwrap();
    assert!(!server.can_pull("team/a", &of(&image)), "the manifest goes with its last tag");
    assert!(matches!(server.discard("team/a", "1"), Err(RegistryError::ManifestUnknown(_))));
    server.assert_clean("while it is in the trash");
    server.collect_untagged(Mode::Now, Untagged::For(0));
    server.skip(WEEK_S - 60);
    server.collect_untagged(Mode::Scheduled, Untagged::For(0));
    let [entry] = &server.entries()[..] else { panic!("one deletion") };
    assert_eq!((entry.row.kind, &entry.tags[..]), (TrashKind::Tag, &["1".to_owned()][..]));
    server.restore(entry.id, None).unwrap();
    assert_eq!(server.tags_of("team/a"), before);
    assert!(server.can_pull("team/a", &of(&image)));
    assert_eq!(server.pull_blob("team/a", &digest(b"config")).unwrap(), "config");
    assert_eq!(server.rows_of_trash(), [0; 8]);
    assert!(matches!(server.restore(entry.id, None), Err(RegistryError::TrashUnknown(_))));
    server.assert_clean("after the undo");
}

#[test]
fn what_was_in_the_trash_for_its_time_goes_and_its_space_is_freed() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"config", "1");
    server.discard("team/a", "1").unwrap();
    server.skip(WEEK_S);
    let done = server.collect_untagged(Mode::Scheduled, Untagged::Never);
    assert_eq!((done.trash, done.blobs), (1, 0), "the grace of its blobs begins now");
    server.skip(WEEK_S);
    assert_eq!(server.collect_untagged(Mode::Scheduled, Untagged::Never).blobs, 1);
    server.skip(WEEK_S);
    assert_eq!(server.collect_untagged(Mode::Scheduled, Untagged::Never).freed_bytes, 6);
    assert_eq!(server.rows(), [0; 6], "the repository goes with the last thing in it");
    server.assert_clean("after all of it");
}

#[test]
fn a_manifest_that_another_tag_holds_stays_until_that_goes_and_comes_back_with_either() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    server.push_as("team/a", b"config", "2");
    server.discard("team/a", "1").unwrap();
    assert!(server.can_pull("team/a", &of(&image)));
    server.discard("team/a", "2").unwrap();
    assert!(!server.can_pull("team/a", &of(&image)));
    let entries = server.entries();
    server.empty(entries[1].id).unwrap();
    server.assert_clean("when the deletion that has the manifest is emptied");
    server.restore(entries[0].id, None).unwrap();
    assert!(server.can_pull("team/a", &of(&image)), "the other deletion needs it, so it stays");
    server.assert_clean("after the undo");
}

#[test]
fn a_push_of_what_is_in_the_trash_takes_it_out() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    server.discard("team/a", "1").unwrap();
    server.push_as("team/a", b"config", "2");
    server.assert_clean("after the push");
    let [entry] = &server.entries()[..] else { panic!("one deletion") };
    server.restore(entry.id, None).unwrap();
    let tags: Vec<_> = server.tags_of("team/a").into_iter().map(|(tag, row)| (tag, row.digest)).collect();
    assert_eq!(tags, [("1".to_owned(), of(&image)), ("2".to_owned(), of(&image))]);
    server.assert_clean("after the undo");
}

#[test]
fn a_blob_that_was_deleted_meanwhile_is_hidden_and_comes_back_with_its_image() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"config", "1");
    server.discard("team/a", "1").unwrap();
    server.wait(server.registry.delete_blob(&server.grant("team/a"), &digest(b"config"))).unwrap();
    assert!(server.pull_blob("team/a", &digest(b"config")).is_err());
    server.assert_clean("while it is hidden");
    server.restore(server.entries()[0].id, None).unwrap();
    assert_eq!(server.pull_blob("team/a", &digest(b"config")).unwrap(), "config");
    server.assert_clean("after the undo");
}

#[test]
fn a_deleted_repository_frees_its_name_at_once_and_comes_back_under_a_free_one() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    server.wait(server.registry.delete_repository(&server.grant("team/a"))).unwrap();
    assert!(server.id_of("team/a").is_none() && server.tags_of("team/a").is_empty());
    assert!(server.grant::<Push>("team/a").repository().is_none());
    server.assert_clean("while it is in the trash");
    server.push_as("team/a", b"another", "1");
    let id = server.entries()[0].id;
    assert!(matches!(server.restore(id, None), Err(RegistryError::NameTaken(_))));
    assert!(matches!(server.restore(id, Some("no name!")), Err(RegistryError::RestoredName(_))));
    server.restore(id, Some("team/old")).unwrap();
    assert!(server.can_pull("team/old", &of(&image)) && !server.can_pull("team/a", &of(&image)));
    assert_eq!(server.pull_blob("team/old", &digest(b"config")).unwrap(), "config");
    server.assert_clean("after the undo");
}

#[test]
fn a_deletion_in_a_repository_that_was_deleted_later_waits_for_it() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    server.push_as("team/a", b"another", "2");
    server.discard("team/a", "1").unwrap();
    server.wait(server.registry.delete_repository(&server.grant("team/a"))).unwrap();
    let [tag, repository] = &server.entries()[..] else { panic!("two deletions") };
    assert!(matches!(server.restore(tag.id, None), Err(RegistryError::RepositoryInTrash(_))));
    server.restore(repository.id, None).unwrap();
    server.restore(tag.id, None).unwrap();
    assert!(server.can_pull("team/a", &of(&image)));
    server.assert_clean("after both");
}

#[test]
fn an_index_goes_and_comes_back_in_slices_with_everything_below() {
    let place = Place::new();
    let server = open(&place);
    let (index, children) = server.push_index(100);
    server.discard("team/a", "all").unwrap();
    assert!(children.iter().all(|child| !server.can_pull("team/a", &of(child))));
    server.assert_clean("in the trash");
    server.restore(server.entries()[0].id, None).unwrap();
    assert!(children.iter().all(|child| server.can_pull("team/a", &of(child))));
    assert!(server.can_pull("team/a", &of(&index)));
    server.assert_clean("after the undo");
    server.discard("team/a", "all").unwrap();
    server.empty(server.entries()[0].id).unwrap();
    assert_eq!(server.rows_of_trash(), [0; 8]);
    server.assert_clean("after it was emptied");
}

#[test]
fn the_trash_is_told_by_reason_and_emptied_now() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"config", "1");
    server.push_as("team/b", b"of a repository", "1");
    server.push_as("team/c", b"live", "1");
    server.discard("team/a", "1").unwrap();
    server.wait(server.registry.delete_repository(&server.grant("team/b"))).unwrap();
    server.assert_sum("with both in the trash");
    let garbage = server.garbage();
    let [trash] = &garbage.parts[..] else { panic!("{garbage:?}") };
    assert_eq!((trash.bytes, trash.blobs, garbage.live_bytes), (21, 2, 4));
    let plan = server.plan_untagged(Mode::EmptyTrash, Untagged::Never);
    assert_eq!((plan.trash, plan.blobs, plan.freed_bytes), (2, 2, 21));
    let done = server.collect_untagged(Mode::EmptyTrash, Untagged::Never);
    assert_eq!((done.trash, done.blobs, done.freed_bytes), (2, 2, 21));
    assert_eq!(server.garbage().parts, []);
    server.assert_clean("after it was emptied");
}

#[test]
fn a_damaged_row_of_the_trash_keeps_nothing_else_from_being_collected() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"first", "1");
    server.push_as("team/a", b"second", "2");
    server.push_as("team/a", b"third", "3");
    for tag in ["1", "2", "3"] {
        server.discard("team/a", tag).unwrap();
    }
    let [first, second, third] = &server.entries()[..] else { panic!("three deletions") };
    let (unreadable, damaged) = (first.id, (second.row.repository, second.row.digest.unwrap()));
    server.forge(move |tx| {
        tx.put(&schema::TRASH.raw(), unreadable, &Raw(vec![9]))?;
        tx.put(&schema::TRASH_MANIFEST.raw(), (damaged.0, &damaged.1), &Raw(vec![9]))
    });
    let third = third.id;
    let done = server.collect_untagged(Mode::EmptyTrash, Untagged::For(0));
    assert_eq!((done.trash, done.spared, done.freed_bytes), (1, 2, 5), "{done:?}");
    assert!(matches!(server.restore(third, None), Err(RegistryError::TrashUnknown(_))));
    assert_eq!(server.pull_blob("team/a", &digest(b"first")).unwrap(), "first", "what it could hold stays");
    assert_eq!(server.pull_blob("team/a", &digest(b"second")).unwrap(), "second");
}

#[test]
fn between_two_slices_of_an_undo_the_store_is_whole_and_collection_spares_it() {
    let place = Place::new();
    let server = open(&place);
    let (_, children) = server.push_index(40);
    server.discard("team/a", "all").unwrap();
    let id = server.entries()[0].id;
    let repository = server.entries()[0].row.repository;
    let some: Vec<Digest> = children[..10].iter().map(|child| of(child)).collect();
    server.forge(move |tx| {
        some.iter().try_for_each(|child| trash::bring_back(tx, repository, child).map(drop))
    });
    assert_eq!(children.iter().filter(|child| server.can_pull("team/a", &of(child))).count(), 10);
    server.assert_clean("between two slices");
    server.skip(WEEK_S - 3600);
    assert_eq!(server.collect_untagged(Mode::Now, Untagged::For(0)).manifests, 0);
    server.restore(id, None).unwrap();
    assert!(children.iter().all(|child| server.can_pull("team/a", &of(child))));
    server.assert_clean("after the undo");
}

#[test]
fn a_deleted_repository_stays_while_an_upload_to_it_is_under_way() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"config", "1");
    let grant = server.grant::<Push>("team/a");
    let id = server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    let body = Body::whole(vec![Bytes::from_static(b"the first part")]);
    server.wait(server.append(&grant, id, None, body)).unwrap();
    server.wait(server.registry.delete_repository(&server.grant("team/a"))).unwrap();
    let entry = server.entries()[0].id;
    assert!(matches!(server.empty(entry), Err(RegistryError::UploadsIntoTrash(_))));
    assert_eq!(server.collect_untagged(Mode::EmptyTrash, Untagged::Never).trash, 0);
    server.assert_clean("while the upload is there");
    server.skip(2 * 3600);
    server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
    server.wait(server.registry.expire_uploads(&server.access.system("test"))).unwrap();
    server.empty(entry).unwrap();
    assert_eq!(server.rows_of_trash(), [0; 8]);
    server.assert_clean("when both are gone");
}

//! Random histories with the trash: after every operation the store is whole, what is deleted can be restored
//! as it was until it is emptied, plans equal runs, and in the end nothing is left that nothing needs.

use proptest::prelude::*;

use super::*;
use crate::registry::tests::histories::cases;

const DAY_S: u64 = 24 * 3600;
const NAMES: [&str; 2] = ["team/a", "team/b"];
const TAGS: [&str; 3] = ["1", "2", "3"];

#[derive(Clone, Debug)]
enum Act {
    Push { repository: usize, manifest: usize, tag: usize },
    PushUntagged { repository: usize, manifest: usize },
    DeleteTag { repository: usize, tag: usize },
    Untag { repository: usize, tag: usize },
    DeleteManifest { repository: usize, manifest: usize, below: bool },
    DeleteBlob { repository: usize, blob: usize },
    DeleteRepository { repository: usize },
    Restore { entry: usize, renamed: bool },
    Empty { entry: usize },
    Skip { days: u64 },
    Collect { mode: usize, untagged: bool },
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let (repository, n, tag) = (|| 0..NAMES.len(), || 0..64_usize, || 0..TAGS.len());
    prop_oneof![
        12 => (repository(), n(), tag())
            .prop_map(|(repository, manifest, tag)| Act::Push { repository, manifest, tag }),
        3 => (repository(), n()).prop_map(|(repository, manifest)| Act::PushUntagged { repository, manifest }),
        8 => (repository(), tag()).prop_map(|(repository, tag)| Act::DeleteTag { repository, tag }),
        2 => (repository(), tag()).prop_map(|(repository, tag)| Act::Untag { repository, tag }),
        5 => (repository(), n(), any::<bool>()).prop_map(
            |(repository, manifest, below)| Act::DeleteManifest { repository, manifest, below }
        ),
        3 => (repository(), n()).prop_map(|(repository, blob)| Act::DeleteBlob { repository, blob }),
        2 => repository().prop_map(|repository| Act::DeleteRepository { repository }),
        9 => (n(), any::<bool>()).prop_map(|(entry, renamed)| Act::Restore { entry, renamed }),
        3 => n().prop_map(|entry| Act::Empty { entry }),
        3 => (1..5_u64).prop_map(|days| Act::Skip { days }),
        4 => (0..3_usize, any::<bool>()).prop_map(|(mode, untagged)| Act::Collect { mode, untagged }),
        1 => Just(Act::Reopen),
    ]
}

/// What a deletion took, to compare with what restoring brings back.
struct Deleted {
    id: Sequence,
    repository: RepoId,
    /// The tag rows, by name.
    tags: Vec<(String, schema::Tag)>,
    /// What was below the manifest, with itself, and could be pulled.
    content: Vec<Digest>,
}

struct History<'p> {
    place: &'p Place,
    server: Option<Server<'p>>,
    manifests: Vec<Manifest>,
    blobs: Vec<Blob>,
    deleted: Vec<Deleted>,
}

impl<'p> History<'p> {
    fn begin(place: &'p Place) -> Self {
        let server = Some(open(place));
        Self { place, server, manifests: samples::manifests(), blobs: samples::blobs(), deleted: Vec::new() }
    }

    fn server(&self) -> &Server<'p> {
        self.server.as_ref().unwrap()
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Push { repository, manifest, tag } => self.push(repository, manifest, Some(TAGS[tag])),
            Act::PushUntagged { repository, manifest } => self.push(repository, manifest, None),
            Act::DeleteTag { repository, tag } => {
                let (name, tag) = (NAMES[repository], TAGS[tag]);
                self.delete(name, |server| server.discard(name, tag));
            }
            Act::Untag { repository, tag } => {
                let reference = Reference::Tag(TAGS[tag].parse().unwrap());
                let _ = self.server().delete_by(NAMES[repository], reference, Below::Stays);
            }
            Act::DeleteManifest { repository, manifest, below } => {
                let name = NAMES[repository];
                let digest = self.manifests[manifest % self.manifests.len()].digest();
                let below = if below { Below::Goes } else { Below::Stays };
                self.delete(name, |server| server.delete_by(name, Reference::Digest(digest), below));
            }
            Act::DeleteBlob { repository, blob } => {
                let digest = self.blobs[blob % self.blobs.len()].digest;
                let server = self.server();
                let _ = server.wait(server.registry.delete_blob(&server.grant(NAMES[repository]), &digest));
            }
            Act::DeleteRepository { repository } => {
                let name = NAMES[repository];
                self.delete(name, |server| {
                    server.wait(server.registry.delete_repository(&server.grant(name)))
                });
            }
            Act::Restore { entry, renamed } => self.restore(entry, renamed),
            Act::Empty { entry } => {
                let entries = self.server().entries();
                if let Some(entry) = entries.get(entry % entries.len().max(1)) {
                    self.server().empty(entry.id).unwrap();
                }
            }
            Act::Skip { days } => self.server().skip(days * DAY_S),
            Act::Collect { mode, untagged } => {
                let mode = [Mode::Scheduled, Mode::Now, Mode::EmptyTrash][mode];
                self.collect(mode, if untagged { Untagged::For(0) } else { Untagged::Never });
            }
            Act::Reopen => {
                let server = self.server.take().unwrap();
                server.wait(server.registry.close(&server.access.system("test")));
                server.stop();
                self.server = Some(open(self.place));
            }
        }
        self.server().assert_clean(&format!("{act:?}"));
    }

    fn push(&self, repository: usize, manifest: usize, tag: Option<&str>) {
        let (server, name) = (self.server(), NAMES[repository]);
        let mut order = vec![manifest % self.manifests.len()];
        let mut next = 0;
        while next < order.len() {
            let children = self.manifests[order[next]].children.clone();
            order.extend(
                children.iter().filter_map(|child| {
                    self.manifests.iter().position(|manifest| manifest.digest() == *child)
                }),
            );
            next += 1;
        }
        for (place, index) in order.iter().enumerate().rev() {
            let manifest = &self.manifests[*index];
            for digest in &manifest.blobs {
                if let Some(blob) = self.blobs.iter().find(|blob| blob.digest == *digest) {
                    server.push_blob(name, &blob.content, blob.digest).unwrap();
                }
            }
            let reference = match tag.filter(|_| place == 0) {
                Some(tag) => Reference::Tag(tag.parse().unwrap()),
                None => Reference::Digest(manifest.digest()),
            };
            server.put(name, reference, &manifest.body).unwrap();
        }
    }

    /// Deletes something, and remembers what the new entry has.
    fn delete(&mut self, name: &str, delete: impl FnOnce(&Server<'_>) -> Result<(), RegistryError>) {
        let server = self.server();
        let before = server.tags_of(name);
        let content: Vec<(Digest, Vec<Digest>)> = before
            .iter()
            .map(|(_, row)| row.digest)
            .chain(self.manifests.iter().map(Manifest::digest))
            .map(|root| (root, self.below(name, root)))
            .collect();
        let last = server.entries().last().map(|entry| entry.id).unwrap_or_default();
        if delete(server).is_err() {
            return;
        }
        let Some(entry) = server.entries().into_iter().find(|entry| entry.id > last) else { return };
        let root = entry.row.digest;
        let tags = match entry.row.kind {
            TrashKind::Repository => before,
            _ => before.into_iter().filter(|(tag, _)| entry.tags.contains(tag)).collect(),
        };
        let content = match root {
            Some(root) => content.into_iter().find(|(of, _)| *of == root).map(|(_, all)| all).unwrap(),
            None => Vec::new(),
        };
        self.deleted.push(Deleted { id: entry.id, repository: entry.row.repository, tags, content });
    }

    /// The manifests below one that can be pulled, with itself.
    fn below(&self, name: &str, root: Digest) -> Vec<Digest> {
        let mut found = vec![root];
        let mut next = 0;
        while next < found.len() {
            let sample = self.manifests.iter().find(|manifest| manifest.digest() == found[next]);
            for child in sample.map(|sample| sample.children.clone()).unwrap_or_default() {
                if !found.contains(&child) {
                    found.push(child);
                }
            }
            next += 1;
        }
        found.retain(|digest| self.server().can_pull(name, digest));
        found
    }

    fn restore(&self, entry: usize, renamed: bool) {
        let server = self.server();
        let entries = server.entries();
        let Some(entry) = entries.get(entry % entries.len().max(1)) else { return };
        let name = match entry.row.kind {
            TrashKind::Tag if renamed => Some("restored"),
            TrashKind::Repository if renamed => Some("team/restored"),
            _ => None,
        };
        match server.restore(entry.id, name) {
            Ok(_) => {}
            Err(RegistryError::NameTaken(_) | RegistryError::RepositoryInTrash(_)) => {
                assert!(server.entries().iter().any(|other| other.id == entry.id), "nothing was changed");
                return;
            }
            Err(error) => panic!("{entry:?}: {error}"),
        }
        let deleted = self.deleted.iter().find(|deleted| deleted.id == entry.id).unwrap();
        let present = server.name_of(deleted.repository);
        for (tag, row) in &deleted.tags {
            let tag = name.filter(|_| entry.row.kind == TrashKind::Tag).unwrap_or(tag);
            let restored = server.tags_of(&present).into_iter().find(|(name, _)| name == tag).unwrap().1;
            assert_eq!(restored.digest, row.digest);
            // Where the tag was set again to the same manifest, that is newer.
            if restored.sequence == row.sequence {
                assert_eq!((restored.pushed_ms, &restored.by), (row.pushed_ms, &row.by));
            }
        }
        for digest in &deleted.content {
            // Another deletion may have had it by its digest.
            let elsewhere = server.entries().iter().any(|entry| entry.row.digest == Some(*digest));
            let by_hand = self
                .deleted
                .iter()
                .any(|other| other.id != deleted.id && other.content.first() == Some(digest));
            assert!(server.can_pull(&present, digest) || elsewhere || by_hand, "{digest} of {entry:?}");
        }
    }

    fn collect(&self, mode: Mode, untagged: Untagged) {
        let server = self.server();
        let plan = server.plan_untagged(mode, untagged);
        let done = server.collect_untagged(mode, untagged);
        let context = format!("{mode:?} {untagged:?}: {plan:?} {done:?}");
        assert_eq!(plan.trash, done.trash, "{context}");
        assert_eq!((plan.manifests, plan.blobs), (done.manifests, done.blobs), "{context}");
        assert_eq!((plan.bytes, plan.freed_bytes), (done.bytes, done.freed_bytes), "{context}");
        assert_eq!((plan.links, done.spared), (done.links, 0), "{context}");
        server.assert_sum(&context);
    }

    /// When everything is deleted and the trash is empty, nothing is left.
    fn assert_all_goes(&mut self) {
        for name in NAMES.iter().chain(&["team/restored"]) {
            let server = self.server();
            let _ = server.wait(server.registry.delete_repository(&server.grant(name)));
        }
        self.server().skip(DAY_S);
        self.collect(Mode::EmptyTrash, Untagged::For(0));
        self.server().assert_clean("when everything is gone");
        assert_eq!(self.server().rows_of_trash(), [0; 8]);
        let [blobs, links, zero, free, _, repositories] = self.server().rows();
        assert_eq!([blobs, links, zero, free, repositories], [0; 5]);
    }
}

fn play(acts: &[Act]) {
    let place = Place::new();
    let mut history = History::begin(&place);
    for act in acts {
        history.act(act);
    }
    history.assert_all_goes();
}

#[test]
fn a_blob_that_a_client_deleted_goes_with_the_deletion_that_kept_it() {
    play(&[
        Act::Push { repository: 0, manifest: 2, tag: 2 },
        Act::DeleteTag { repository: 0, tag: 2 },
        Act::DeleteBlob { repository: 0, blob: 4 },
        Act::Collect { mode: 2, untagged: false },
    ]);
}

#[test]
fn a_run_looks_at_the_repositories_in_which_it_empties_the_trash() {
    play(&[
        Act::Push { repository: 1, manifest: 5, tag: 1 },
        Act::DeleteTag { repository: 1, tag: 1 },
        Act::Push { repository: 1, manifest: 0, tag: 0 },
        Act::DeleteTag { repository: 1, tag: 0 },
        Act::Restore { entry: 0, renamed: false },
        Act::Collect { mode: 0, untagged: true },
        Act::Skip { days: 4 },
        Act::Skip { days: 4 },
        Act::Collect { mode: 0, untagged: true },
    ]);
}

#[test]
fn a_deletion_is_emptied_before_the_repository_that_was_deleted_after_it() {
    play(&[
        Act::Push { repository: 1, manifest: 0, tag: 0 },
        Act::DeleteTag { repository: 1, tag: 0 },
        Act::Skip { days: 3 },
        Act::DeleteRepository { repository: 1 },
        Act::Skip { days: 4 },
        Act::Collect { mode: 1, untagged: false },
    ]);
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn what_is_deleted_comes_back_until_it_is_emptied(acts in prop::collection::vec(act(), 1..60)) {
        play(&acts);
    }
}

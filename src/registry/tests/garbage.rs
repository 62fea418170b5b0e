//! The collector in random histories: what the model foresees of a run, and what the store has afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;

use super::Server;
use super::ages::{Aside, GRACE_S, Held, Moment, QUARANTINE_S};
use super::histories::History;
use super::model::Model;
use crate::model::digest::Digest;
use crate::registry::RegistryError;
use crate::registry::collect::{Collected, Mode, Untagged};
use crate::store::blob::Entry;
use crate::store::meta::{StoreError, Tx as _, schema};

/// Runs the collector, all of it or until so many slices are done; also whether it was all.
fn run(server: &Server<'_>, mode: Mode, slices: Option<usize>) -> (Collected, bool) {
    let grant = server.access.system("collect");
    let mut left = slices;
    let mut observer = |_: &Collected| {
        left = left.map(|left| left.saturating_sub(1));
        left != Some(0)
    };
    let collected =
        server.wait(server.registry.collect(&grant, mode, Untagged::Never, &mut observer)).unwrap();
    (collected, left != Some(0))
}

/// What a store has after a run.
pub(super) struct Left {
    /// (which repository, digest) of the links that are present.
    links: BTreeSet<(usize, Digest)>,
    /// Rows of blobs.
    blobs: BTreeSet<Digest>,
    /// Rows of files in quarantine.
    quarantined: usize,
    /// Blobs that no link holds.
    free: u64,
    /// Links that nothing refers to.
    unused: u64,
}

impl Left {
    /// Reads the rows, and compares them with the files.
    fn read(server: &Server<'_>, model: &Model) -> Self {
        let left = server.meta.get(|tx| {
            let (mut links, mut blobs) = (BTreeSet::new(), BTreeSet::new());
            for (index, name) in model.names.iter().enumerate() {
                let Some(id) = tx.get(&schema::REPOSITORY_NAME, *name)? else { continue };
                for blob in &model.blobs {
                    let link = tx.get(&schema::LINK, (id, &blob.digest))?;
                    if link.is_some_and(|link| link.present) {
                        links.insert((index, blob.digest));
                    }
                }
            }
            tx.scan_all(&schema::BLOB, |digest, _| {
                blobs.insert(digest);
                ControlFlow::Continue(())
            })?;
            let quarantined = usize::try_from(tx.count(&schema::QUARANTINE)?).unwrap();
            let (free, unused) = (tx.count(&schema::BLOB_FREE)?, tx.count(&schema::LINK_ZERO)?);
            Ok::<_, StoreError>(Self { links, blobs, quarantined, free, unused })
        });
        let left = left.unwrap();
        let mut files = BTreeSet::new();
        let listed = server.store.list(&mut |entry| {
            match entry {
                Entry::Blob { digest, .. } => files.insert(digest),
                Entry::Stranger(path) => panic!("{path} is among the blobs"),
            };
            ControlFlow::Continue(())
        });
        listed.unwrap();
        assert_eq!(files, left.blobs, "the files and the rows of blobs");
        let aside = fs::read_dir(server.place.dir.path().join("quarantine")).unwrap().count();
        assert_eq!(aside, left.quarantined, "the files and the rows of quarantine");
        left
    }
}

impl Model {
    /// Every blob of every repository.
    fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.repositories.iter_mut().flat_map(|contents| contents.blobs.values_mut())
    }

    fn size_of(&self, digest: &Digest) -> u64 {
        let blob = self.blobs.iter().find(|blob| blob.digest == *digest);
        blob.expect("a blob of the samples").content.len() as u64
    }

    /// Asserts that a run has removed the links whose grace is over, or a part of them, and no other.
    fn settle_links(&mut self, now: Moment, is_complete: bool, left: &Left) -> usize {
        let mut gone = Vec::new();
        for (index, contents) in self.repositories.iter().enumerate() {
            for (digest, held) in &contents.blobs {
                let is_there = left.links.contains(&(index, *digest));
                let due = if self.is_referenced(index, digest) { Some(false) } else { held.is_due(now) };
                let context = format!("{digest} in {}: {held:?}, now {now:?}", self.names[index]);
                match due {
                    Some(true) => assert!(!(is_there && is_complete), "not collected: {context}"),
                    Some(false) => assert!(is_there, "collected: {context}"),
                    None => {}
                }
                if !is_there {
                    assert!(!held.is_promised(now), "a promise is broken: {context}");
                    gone.push((index, *digest));
                }
            }
        }
        for (index, digest) in &gone {
            self.repositories[*index].blobs.remove(digest);
        }
        let contents = self.repositories.iter().enumerate();
        let held: BTreeSet<(usize, Digest)> = contents
            .flat_map(|(index, contents)| contents.blobs.keys().map(move |digest| (index, *digest)))
            .collect();
        assert_eq!(left.links, held, "links that the model does not have");
        gone.len()
    }

    /// Asserts that a run has removed the blobs that no link holds, or a part of them; returns their sizes.
    fn settle_blobs(&mut self, is_complete: bool, left: &Left) -> Vec<u64> {
        let held: BTreeSet<Digest> = left.links.iter().map(|(_, digest)| *digest).collect();
        assert!(left.blobs.is_superset(&held), "a link without its blob");
        assert!(left.blobs.is_subset(&self.stored), "blobs that the model does not have");
        if is_complete {
            assert_eq!(left.blobs, held, "every blob that no link holds goes");
        }
        let gone = self.stored.difference(&left.blobs).map(|digest| self.size_of(digest)).collect();
        self.stored.clone_from(&left.blobs);
        gone
    }

    /// Asserts that a run has emptied quarantine as far as it should; returns the bytes that this freed.
    /// `new` are the sizes of what the run itself has put there.
    fn settle_quarantine(
        &mut self,
        now: Moment,
        is_over: impl Fn(&Aside) -> Option<bool>,
        is_complete: bool,
        new: &[u64],
        left: &Left,
    ) -> u64 {
        let freed = (self.quarantined.len() + new.len()).checked_sub(left.quarantined);
        let freed = freed.expect("quarantine has no more than the model");
        for (index, aside) in self.quarantined.iter().enumerate() {
            match is_over(aside) {
                Some(true) => assert!(index < freed || !is_complete, "still in quarantine: {aside:?}"),
                Some(false) => assert!(index >= freed, "no longer in quarantine: {aside:?}"),
                None => {}
            }
        }
        let bytes = self.quarantined.drain(..freed).map(|aside| aside.size).sum();
        self.quarantined.extend(new.iter().map(|size| Aside { size: *size, since: now }));
        bytes
    }
}

impl History<'_> {
    pub(super) fn second(&self) -> u64 {
        self.server().meta.clock().now().running_s
    }

    /// The moment of an act that began at `first` and has ended.
    pub(super) fn since(&self, first: u64) -> Moment {
        Moment::between(first, self.second())
    }

    pub(super) fn skip(&self, seconds: u64) {
        self.server().meta.clock().skip(seconds);
    }

    /// Asks whether a repository has a blob.
    pub(super) fn look(&mut self, repository: usize, blob: usize) {
        let blob = &self.model.blobs[blob % self.model.blobs.len()];
        let (digest, size) = (blob.digest, blob.content.len() as u64);
        let begun = self.second();
        let server = self.server();
        let found =
            server.wait(server.registry.blob_size(&server.grant(self.model.names[repository]), &digest));
        let at = self.since(begun);
        match self.model.repositories[repository].blobs.get_mut(&digest) {
            Some(held) => {
                assert_eq!(found.unwrap(), size);
                held.promise(at);
            }
            None => assert!(matches!(found, Err(RegistryError::BlobUnknown(_))), "{found:?}"),
        }
    }

    /// Runs the collector, and compares what is left with what the model foresees.
    pub(super) fn collect(&mut self, mode: Mode, slices: Option<usize>) -> Left {
        let begun = self.second();
        let (collected, is_complete) = run(self.server(), mode, slices);
        let now = self.since(begun);
        let left = Left::read(self.server(), &self.model);
        let model = &mut self.model;
        let links = model.settle_links(now, is_complete, &left);
        let blobs = model.settle_blobs(is_complete, &left);
        let bytes: u64 = blobs.iter().sum();
        let (new, removed_bytes) = match mode {
            Mode::Scheduled => (&blobs[..], 0),
            Mode::SpaceIsShort | Mode::Now | Mode::EmptyTrash => (&[][..], bytes),
        };
        let is_over = |aside: &Aside| match mode {
            Mode::Scheduled => aside.since.has_passed(QUARANTINE_S, now),
            Mode::SpaceIsShort | Mode::Now | Mode::EmptyTrash => Some(true),
        };
        let freed_bytes = removed_bytes + model.settle_quarantine(now, is_over, is_complete, new, &left);
        let expected = Collected {
            links: links as u64,
            blobs: blobs.len() as u64,
            bytes,
            freed_bytes,
            ..Collected::default()
        };
        assert_eq!(collected, expected, "what the run says of itself");
        left
    }

    /// Compares every answer of the registry with the model. It reads all blobs, so their ages change.
    pub(super) fn assert_seen(&mut self) {
        let begun = self.second();
        self.model.assert_seen(self.server());
        let at = self.since(begun);
        for held in self.model.held_mut() {
            held.renew(at);
        }
    }

    /// When every grace is over, the collector leaves what manifests refer to, and nothing else: on the disk
    /// and in the database.
    pub(super) fn assert_collects_the_rest(&mut self) {
        self.skip(GRACE_S);
        let left = self.collect(Mode::SpaceIsShort, None);
        for (index, digest) in &left.links {
            assert!(self.model.is_referenced(*index, digest), "{digest} in {}", self.model.names[*index]);
        }
        assert_eq!((left.free, left.unused, left.quarantined), (0, 0, 0));
    }
}

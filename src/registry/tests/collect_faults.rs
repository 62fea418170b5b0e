//! Disks that fail in the middle of a collection: nothing that is in use is lost, and the next run does what
//! is left, as if nothing had happened.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::ages::{GRACE_S, QUARANTINE_S};
use super::samples::{Blob, Manifest, image};
use super::{Place, Server};
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::Reference;
use crate::registry::RegistryError;
use crate::registry::collect::{Collected, Mode, Untagged};
use crate::store::blob::Entry;
use crate::store::faulty::{Fault, Faults, Plan};
use crate::store::meta::{StoreError, Tx as _, schema};

fn run(server: &Server<'_>, mode: Mode) -> Result<Collected, RegistryError> {
    let grant = server.access.system("collect");
    server.wait(server.registry.collect(&grant, mode, Untagged::Never, &mut |_: &Collected| true))
}

fn blob(content: &str) -> Blob {
    let content = content.as_bytes().to_vec();
    Blob { digest: Digest::of(Algorithm::Sha256, &content), content }
}

/// A store with something to do for each step of a collection, and with content that is in use.
struct Scene {
    /// An image, in the repository `live`.
    image: [Blob; 2],
    manifest: Manifest,
    /// In the repository `young`; its promise is binding.
    young: Blob,
}

impl Scene {
    /// Fills a store. The last change comes after all the time that passes, so a restart does not set the
    /// clock back.
    fn set(server: &Server<'_>) -> Self {
        let push = |repository: &str, blob: &Blob| {
            server.push_blob(repository, &blob.content, blob.digest).unwrap();
        };
        let image = [blob("the config"), blob("a layer")];
        let scene = Self { manifest: self::image(&image), image, young: blob("young") };
        push("old", &blob("in quarantine"));
        server.meta.clock().skip(GRACE_S);
        run(server, Mode::Scheduled).unwrap();
        server.meta.clock().skip(QUARANTINE_S);

        scene.image.iter().for_each(|blob| push("live", blob));
        server.put("live", Reference::Tag("1".parse().unwrap()), &scene.manifest.body).unwrap();
        push("once", &scene.image[1]);
        push("once", &blob("garbage"));
        push("shared", &blob("garbage"));
        push("shared", &blob("more garbage"));
        server.meta.clock().skip(GRACE_S);
        push("young", &scene.young);
        push("deleted", &blob("deleted"));
        let grant = server.grant("deleted");
        server.wait(server.registry.delete_blob(&grant, &blob("deleted").digest)).unwrap();
        scene
    }

    fn assert_there(&self, server: &Server<'_>, context: &str) {
        let pulled = |repository: &str, blob: &Blob| match server.pull_blob(repository, &blob.digest) {
            Ok(bytes) => assert_eq!(bytes, blob.content, "{context}"),
            Err(error) => panic!("{context}: {repository}: {error}"),
        };
        self.image.iter().for_each(|blob| pulled("live", blob));
        pulled("young", &self.young);
        let reference = Reference::Tag("1".parse().unwrap());
        let found = server.wait(server.registry.manifest(&server.grant("live"), &reference));
        assert_eq!(found.unwrap().body, self.manifest.body.as_bytes(), "{context}");
        server.assert_clean(context);
    }
}

/// What is left when everything was collected.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// Rows of links, of links that nothing refers to, of blobs that no link holds, and of repositories.
    rows: [u64; 4],
    /// Rows of blobs, and their files.
    blobs: [BTreeSet<Digest>; 2],
    /// Rows of files in quarantine.
    quarantined: BTreeSet<Digest>,
    /// Files in quarantine, by name.
    aside: BTreeSet<String>,
}

impl End {
    fn of(server: &Server<'_>) -> Self {
        let (rows, blobs, quarantined) = server
            .meta
            .get(|tx| {
                let rows = [
                    tx.count(&schema::LINK)?,
                    tx.count(&schema::LINK_ZERO)?,
                    tx.count(&schema::BLOB_FREE)?,
                    tx.count(&schema::REPOSITORY)?,
                ];
                let (mut blobs, mut quarantined) = (BTreeSet::new(), BTreeSet::new());
                tx.scan_all(&schema::BLOB, |digest, _| {
                    blobs.insert(digest);
                    ControlFlow::Continue(())
                })?;
                tx.scan_all(&schema::QUARANTINE, |_, row| {
                    quarantined.insert(row.digest);
                    ControlFlow::Continue(())
                })?;
                Ok::<_, StoreError>((rows, blobs, quarantined))
            })
            .unwrap();
        let mut files = BTreeSet::new();
        let listed = server.store.list(&mut |entry| {
            if let Entry::Blob { digest, .. } = entry {
                files.insert(digest);
            }
            ControlFlow::Continue(())
        });
        listed.unwrap();
        let aside = fs::read_dir(server.place.dir.path().join("quarantine")).unwrap();
        let aside = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        Self { rows, blobs: [blobs, files], quarantined, aside }
    }
}

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Part {
    Disk,
    Database,
}

/// Runs a collection once for each call, with that call failing; returns how many there are.
fn play(mode: Mode, part: Part) -> u64 {
    let mut expected = None;
    for n in 0.. {
        let of_database = Arc::new(Faults::default());
        let place = Place { meta_faults: Some(Arc::clone(&of_database)), ..Place::new() };
        let server = place.open(true);
        let scene = Scene::set(&server);
        let faults = match part {
            Part::Disk => &server.faults,
            Part::Database => &of_database,
        };
        // The first time nothing fails.
        let plan = Plan { fail_at: n, kind: Fault::Errno(libc::EIO) };
        faults.set_plan((n > 0).then_some(plan));
        let outcome = run(&server, mode);
        let fired = faults.fired();
        faults.set_plan(None);
        let context = format!("call {n} of the {part:?} fails, then {outcome:?}");
        assert!(fired || outcome.is_ok(), "{context}");
        scene.assert_there(&server, &context);
        server.stop();

        let server = place.open(true);
        run(&server, mode).unwrap();
        scene.assert_there(&server, &context);
        let end = End::of(&server);
        if let Some(expected) = &expected {
            assert_eq!(end, *expected, "{context}");
        } else {
            assert_eq!(end.rows, [3, 1, 0, 2]);
            assert_eq!(end.blobs[0].len(), 3);
            expected = Some(end);
        }
        server.stop();
        if n > 0 && !fired {
            return n - 1;
        }
    }
    unreachable!("a collection has an end")
}

#[test]
fn an_io_error_at_any_call_of_a_removal_leaves_it_to_the_next_run() {
    assert!(play(Mode::SpaceIsShort, Part::Disk) > 4);
}

#[test]
fn an_io_error_at_any_call_of_a_move_to_quarantine_leaves_it_to_the_next_run() {
    assert!(play(Mode::Scheduled, Part::Disk) > 4);
}

#[test]
fn an_io_error_at_any_call_of_the_database_leaves_it_to_the_next_run() {
    assert!(play(Mode::Scheduled, Part::Database) > 20);
}

//! Disks that fail in the middle of a push: what was acknowledged stays, and the rest can be pushed again.

use std::sync::Arc;

use bytes::Bytes;

use super::samples::{Blob, Manifest, blobs, image};
use super::{Place, Server};
use crate::access::Push;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::Reference;
use crate::registry::{Body, BodyPart, RegistryError};
use crate::store::faulty::{Fault, Faults, Plan};

const NAME: &str = "team/app";

/// The content of a push, and its repository.
struct Image {
    name: String,
    blobs: Vec<Blob>,
    manifest: Manifest,
}

/// Which parts of a push were acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    blobs: Vec<Digest>,
    manifest: bool,
    /// The errors of the other parts.
    errors: Vec<RegistryError>,
}

impl Image {
    /// An image that no other push contains, in a repository of its own.
    fn new(number: u64) -> Self {
        let blobs: Vec<Blob> = ["config", "layer", "another layer"]
            .map(|part| format!("{part} of image {number}").into_bytes())
            .map(|content| Blob { digest: Digest::of(Algorithm::Sha256, &content), content })
            .into();
        let manifest = image(&blobs);
        Self { name: format!("{NAME}{number}"), blobs, manifest }
    }

    /// Pushes as much as possible: one blob in one request, the others in two pieces by POST, PATCH and PUT,
    /// one of these as a stream; then the manifest.
    fn push(&self, server: &Server<'_>) -> Acknowledged {
        let mut done = Acknowledged::default();
        for (index, blob) in self.blobs.iter().enumerate() {
            let pushed = match index {
                0 => server.push_blob(&self.name, &blob.content, blob.digest),
                _ => in_pieces(server, &self.name, blob, index == 2),
            };
            match pushed {
                Ok(()) => done.blobs.push(blob.digest),
                Err(error) => done.errors.push(error),
            }
        }
        match server.put(&self.name, Reference::Tag("latest".parse().unwrap()), &self.manifest.body) {
            Ok(_) => done.manifest = true,
            Err(error) => done.errors.push(error),
        }
        done
    }

    /// Asserts that everything that was acknowledged is there, byte for byte.
    fn assert_there(&self, server: &Server<'_>, done: &Acknowledged, context: &str) {
        for blob in self.blobs.iter().filter(|blob| done.blobs.contains(&blob.digest)) {
            let pulled = server.pull_blob(&self.name, &blob.digest);
            assert_eq!(
                pulled.unwrap_or_else(|error| panic!("{context}: {error}")),
                blob.content,
                "{context}"
            );
        }
        let reference = Reference::Tag("latest".parse().unwrap());
        let pulled = server.wait(server.registry.manifest(&server.grant(&self.name), &reference));
        if done.manifest {
            assert_eq!(pulled.unwrap().body, self.manifest.body.as_bytes(), "{context}");
        }
    }
}

fn in_pieces(server: &Server<'_>, name: &str, blob: &Blob, stream: bool) -> Result<(), RegistryError> {
    let grant = server.grant::<Push>(name);
    let (first, second) = blob.content.split_at(blob.content.len() / 2);
    let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let registry = &server.registry;
    server.wait(async {
        let id = registry.start_upload(&grant, blob.digest.algorithm()).await?;
        server.append(&grant, id, None, Body::whole(vec![first])).await?;
        let body = if stream {
            let (sender, receiver) = tokio::sync::mpsc::channel(2);
            sender.send(BodyPart::Data(vec![second].into())).await.unwrap();
            sender.send(BodyPart::End).await.unwrap();
            Body::stream(receiver)
        } else {
            Body::whole(vec![second])
        };
        server.finish(&grant, id, blob.digest, body).await
    })
}

/// Asserts the state after a failed push: what was acknowledged is there, no session is stuck, and the next
/// push succeeds and survives a restart.
fn assert_recovered(server: Server<'_>, image: &Image, done: &Acknowledged, context: &str) {
    image.assert_there(&server, done, context);
    server.assert_clean(context);
    let again = image.push(&server);
    assert!(again.errors.is_empty(), "{context}: the next push fails: {:?}", again.errors);
    server.wait(server.registry.expire_uploads(&server.access.system("test"))).unwrap();
    let place = server.place;
    server.stop();

    let server = place.open(true);
    server.wait(server.registry.sweep_uploads(&server.access.system("test"))).unwrap();
    image.assert_there(&server, &again, context);
    let report = server.check();
    assert_eq!(report.problems, [], "{context}");
    let stuck: Vec<_> = report.notes.iter().filter(|note| !note.contains("blob files")).collect();
    assert!(stuck.is_empty(), "{context}: {stuck:?}");
    assert_eq!(server.blobs.staging().list().unwrap(), [], "{context}");
    server.stop();
}

/// Calls `step` with 1, 2, 3 and so on until it has no call left that could fail; returns how often. Several
/// steps share a store, until the store is so large that it slows them down.
fn each_call(faults: Option<&Arc<Faults>>, step: impl Fn(Server<'_>, &Image, u64) -> bool) -> u64 {
    for first in (1..).step_by(16) {
        let place = Place { upload_idle_s: 0, meta_faults: faults.cloned(), ..Place::new() };
        for n in first..first + 16 {
            if !step(place.open(true), &Image::new(n), n) {
                return n;
            }
        }
    }
    unreachable!("a push has an end")
}

/// Runs a push once for each call of the blob store, with that call failing.
fn play(kind: Fault) -> u64 {
    each_call(None, |server, image, n| {
        server.faults.set_plan(Some(Plan { fail_at: n, kind }));
        let done = image.push(&server);
        let fired = server.faults.fired();
        let call = server.faults.trace().get(usize::try_from(n).unwrap() - 1).copied();
        server.faults.set_plan(None);
        let context = format!("call {n} ({call:?}) fails with {kind:?}, then {:?}", done.errors);
        assert_eq!(done.errors.is_empty(), done.manifest, "{context}");
        assert!(fired || done.errors.is_empty(), "{context}");
        assert_recovered(server, image, &done, &context);
        fired
    })
}

#[test]
fn an_io_error_at_any_call_of_a_push_loses_nothing_acknowledged() {
    assert!(play(Fault::Errno(libc::EIO)) > 20);
}

#[test]
fn a_full_disk_at_any_call_of_a_push_loses_nothing_acknowledged() {
    assert!(play(Fault::Errno(libc::ENOSPC)) > 20);
}

#[test]
fn a_short_write_at_any_call_of_a_push_loses_nothing_acknowledged() {
    assert!(play(Fault::ShortWrite) > 20);
}

/// The same for each call to the database file.
fn play_database(number: i32) -> u64 {
    let faults = Arc::new(Faults::default());
    each_call(Some(&faults), |server, image, n| {
        let before = faults.calls();
        faults.fail_after(n, number);
        let done = image.push(&server);
        let fired = faults.calls() >= before + n;
        faults.fail_after(u64::MAX / 2, number);
        let context = format!("call {n} of the database fails with {number}, then {:?}", done.errors);
        assert!(
            done.errors.len() <= 2,
            "one fault fails one part, and the manifest for the lack of it: {context}"
        );
        assert_recovered(server, image, &done, &context);
        fired
    })
}

#[test]
fn an_io_error_at_any_call_of_the_database_loses_nothing_acknowledged() {
    assert!(play_database(libc::EIO) > 50);
}

#[test]
fn a_full_disk_at_any_call_of_the_database_loses_nothing_acknowledged() {
    assert!(play_database(libc::ENOSPC) > 50);
}

#[test]
fn a_failed_push_leaves_no_repository_behind() {
    let place = Place::new();
    let server = place.open(true);
    let absent = Digest::of(Algorithm::Sha256, b"absent");
    assert!(server.push_blob(NAME, b"other bytes", absent).is_err());
    server.faults.set_plan(Some(Plan { fail_at: 2, kind: Fault::Errno(libc::EIO) }));
    assert!(in_pieces(&server, NAME, &blobs()[2], false).is_err());
    server.faults.set_plan(None);
    let report = server.check();
    assert_eq!(report.checked.repositories, 0, "{:?}", report.notes);
}

#[test]
fn a_file_that_cannot_be_removed_stops_no_later_expiry() {
    let place = Place { upload_idle_s: 0, ..Place::new() };
    let server = place.open(true);
    // A push in one request makes these calls: create, append and discard.
    let absent = Digest::of(Algorithm::Sha256, b"absent");
    server.faults.set_plan(Some(Plan { fail_at: 3, kind: Fault::Errno(libc::EIO) }));
    let pushed = server.push_blob(NAME, b"other bytes", absent);
    assert!(matches!(pushed, Err(RegistryError::DigestMismatch { .. })), "{pushed:?}");
    assert!(server.faults.fired());
    let grant = server.grant::<Push>(NAME);
    server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    assert_eq!(server.wait(server.registry.expire_uploads(&server.access.system("test"))).unwrap(), 1);
}

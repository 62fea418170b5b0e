//! The check notices all damage: each test damages one row or file.

mod files;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::samples::{blobs, manifests};
use super::{Place, Server};
use crate::access::{Delete, Push};
use crate::model::digest::Digest;
use crate::model::names::{Reference, RepoId, UploadId};
use crate::registry::Body;
use crate::registry::fsck::{self, Report};
use crate::store::meta::{Tx as _, WriteTx, schema};

/// The repository that holds most of the sample.
const NAME: &str = "a/b/one";

/// The content of the sample store.
#[derive(Clone, Copy)]
struct Sample {
    /// Tagged `latest`, with config and layers, in `a/b/one`, and the subject of two referrers.
    image: Digest,
    /// In `a/b/one`, without a tag.
    other: Digest,
    /// Lists both; tagged `v1`.
    index: Digest,
    /// Refers to `image`.
    referrer: Digest,
    /// A layer of `image`, also in `three`.
    layer: Digest,
    /// In `a/b/one`; nothing refers to it.
    unused: Digest,
    /// In no repository.
    free: Digest,
    /// In no store.
    absent: Digest,
    upload: UploadId,
}

impl Sample {
    /// The number of `a/b/one`.
    fn repository(tx: &WriteTx<'_>) -> RepoId {
        tx.get(&schema::REPOSITORY_NAME, NAME).unwrap().unwrap()
    }
}

/// A store with rows in every table, closed.
struct Store {
    place: Place,
    sample: Sample,
    database: Vec<u8>,
}

impl Store {
    fn new() -> Self {
        let place = Place::new();
        let server = place.open(true);
        super::model::Model::make_projects(&server);
        let sample = fill(&server);
        server.assert_clean("the sample store");
        server.stop();
        let database = fs::read(place.dir.path().join("stowage.redb")).unwrap();
        Self { place, sample, database }
    }

    /// Opens the store, whatever was done to its rows.
    fn open(&self) -> Server<'_> {
        fs::write(self.place.dir.path().join("stowage.redb"), &self.database).unwrap();
        self.place.open(true)
    }

    fn report(&self, deep: bool) -> Report {
        let server = self.open();
        let [alone, beside_others] = [false, true].map(|others_write| {
            let mode = fsck::Mode { deep, others_write };
            fsck::check(&server.meta, server.blobs.staging(), server.blobs.as_ref(), mode, &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap()
        });
        server.stop();
        assert_eq!(alone, beside_others);
        alone
    }
}

fn kinds(report: &Report) -> BTreeSet<&'static str> {
    report.problems.iter().map(|problem| problem.kind).collect()
}

fn fill(server: &Server<'_>) -> Sample {
    let (blobs, manifests) = (blobs(), manifests());
    for blob in &blobs {
        server.push_blob(NAME, &blob.content, blob.digest).unwrap();
    }
    let tag = |tag: &str| Reference::Tag(tag.parse().unwrap());
    let digest = |sample: usize| Reference::Digest(manifests[sample].digest());
    for (sample, reference) in
        [(0, tag("latest")), (1, digest(1)), (4, tag("v1")), (6, digest(6)), (7, digest(7))]
    {
        server.put(NAME, reference, &manifests[sample].body).unwrap();
    }
    for index in [0, 1, 2] {
        server.push_blob("three", &blobs[index].content, blobs[index].digest).unwrap();
    }
    server.put("three", tag("latest"), &manifests[0].body).unwrap();
    let free = Digest::of(crate::model::digest::Algorithm::Sha256, b"free");
    server.push_blob("three", b"free", free).unwrap();
    server.wait(server.registry.delete_blob(&server.grant::<Delete>("three"), &free)).unwrap();
    server.wait(server.registry.manifest(&server.grant(NAME), &tag("latest"))).unwrap();
    server.wait(server.registry.store_pulls(&server.access.system("test"))).unwrap();
    let grant = server.grant::<Push>(NAME);
    let upload = server.wait(server.registry.start_upload(&grant, free.algorithm())).unwrap();
    let body = Body::whole(vec![Bytes::from_static(b"half of something")]);
    server.wait(server.append(&grant, upload, None, body)).unwrap();
    Sample {
        image: manifests[0].digest(),
        other: manifests[1].digest(),
        index: manifests[4].digest(),
        referrer: manifests[6].digest(),
        layer: blobs[2].digest,
        unused: blobs[4].digest,
        free,
        absent: Digest::of(crate::model::digest::Algorithm::Sha256, b"absent"),
        upload,
    }
}

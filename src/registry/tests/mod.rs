//! Tests of the registry's public functions: histories against a model, failing disks, and a check that must
//! find all damage.

mod ages;
mod collect;
mod collect_faults;
mod damage;
mod faults;
mod garbage;
mod healing;
mod histories;
mod leftovers;
mod model;
mod other_store;
mod rebuilding;
mod samples;
mod scrub;
mod slices;
mod trash;
mod uploads;
mod withdrawn;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::fsck::{self, Report};
use super::{
    Announced, Body, Condition, ContentRange, Limits, PutManifest, Registry, RegistryError, Standing, Stored,
};
use crate::access::{Access, Action, Caller, Grant, Policy, Principal, Push, Repository};
use crate::config::Config;
use crate::limits::{self, Ledger};
use crate::model::digest::Digest;
use crate::model::names::{Reference, UploadId};
use crate::store::blob::{BlobStore, FileBlobs};
use crate::store::faulty::Faults;
use crate::store::meta::{self, Meta, Options, StoreError, WallClock};

/// A directory in memory, where syncs cost nothing, if the system has one.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The directory of a store, which tests close and open again.
struct Place {
    dir: TempDir,
    runtime: Runtime,
    wall: WallClock,
    upload_idle_s: u64,
    meta_faults: Option<Arc<Faults>>,
}

impl Place {
    fn new() -> Self {
        let dir = scratch();
        FileBlobs::create_layout(dir.path()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // A time long after everything that a test does, so that every file is old.
        Self { dir, runtime, wall: || 4_000_000_000_000, upload_idle_s: 3600, meta_faults: None }
    }

    /// Opens the store. `strict`: content that a manifest refers to must exist.
    fn open(&self, strict: bool) -> Server<'_> {
        self.open_with(strict, |files| Arc::clone(files) as _)
    }

    /// The same with blobs in another store than files.
    fn open_with(
        &self,
        strict: bool,
        store: impl FnOnce(&Arc<FileBlobs>) -> Arc<dyn BlobStore>,
    ) -> Server<'_> {
        let faults = Arc::new(Faults::recording());
        let blobs = FileBlobs::open_with(self.dir.path(), Some(Arc::clone(&faults))).unwrap();
        let blobs = Arc::new(blobs);
        let store = store(&blobs);
        let synced = Arc::clone(&store);
        let options = Options {
            data_dir: self.dir.path().to_owned(),
            cache_bytes: 1 << 20,
            wall: self.wall,
            sync_barrier: Arc::new(move |barrier| synced.sync(barrier)),
            runtime: self.runtime.handle().clone(),
            faults: self.meta_faults.clone(),
            on_repair: meta::log_repair,
        };
        let meta = Arc::new(Meta::open(options).unwrap());
        let access = Access::new(Arc::clone(&meta), Policy::Open).unwrap();
        let limits = Limits {
            promise_s: 3600,
            max_collection: Duration::ZERO,
            scrub_rate: 0,
            max_scrub: Duration::ZERO,
            untagged_s: None,
            trash_s: 0,
            upload_idle_s: self.upload_idle_s,
            require_references: strict,
            tags_per_repository: 1_000,
            min_free: "0".parse().unwrap(),
            warn_free: "0".parse().unwrap(),
        };
        let ledger = Ledger::new(limits::Limits::of(&Config::default()));
        let (runtime, counted) = (self.runtime.handle().clone(), Arc::clone(&ledger));
        let (staging, kept) = (Arc::clone(blobs.staging()), Arc::clone(&store));
        let registry = Registry::new(Arc::clone(&meta), staging, kept, runtime, counted, limits);
        Server { place: self, meta, blobs, store, faults, access, registry, ledger }
    }
}

/// An open registry.
struct Server<'p> {
    place: &'p Place,
    meta: Arc<Meta>,
    blobs: Arc<FileBlobs>,
    /// The blob store of the registry: usually the file store.
    store: Arc<dyn BlobStore>,
    /// The wrapper that records calls of the blob store and makes them fail.
    faults: Arc<Faults>,
    access: Access,
    registry: Arc<Registry>,
    ledger: Arc<Ledger>,
}

impl Server<'_> {
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.place.runtime.block_on(work)
    }

    /// Waits for every task that the registry has spawned, whether or not a request waits for it.
    fn await_background_work(&self) {
        let started = Instant::now();
        while self.place.runtime.metrics().num_alive_tasks() > 0 {
            assert!(started.elapsed() < Duration::from_mins(1), "a task does not end");
            std::thread::yield_now();
        }
    }

    fn grant<A: Action<Target = Repository>>(&self, repository: &str) -> Grant<A> {
        let caller = Caller { principal: Principal::Anybody, address: Some([192, 0, 2, 1].into()) };
        self.access.repository(&caller, &repository.parse().unwrap()).unwrap()
    }

    /// Stops without completing anything, as a killed process would.
    fn stop(self) {
        self.meta.close();
    }

    fn push_blob(&self, repository: &str, content: &[u8], digest: Digest) -> Result<(), RegistryError> {
        let body = Body::whole(vec![Bytes::copy_from_slice(content)]);
        let length = Some(content.len() as u64);
        self.wait(self.registry.store_blob(&self.grant(repository), digest, length, body))
    }

    async fn append(
        &self,
        grant: &Grant<Push>,
        id: UploadId,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<Standing, RegistryError> {
        let announced = Announced { range, length: None };
        self.registry.write_upload(grant, id, announced).await?.append(body).await
    }

    async fn finish(
        &self,
        grant: &Grant<Push>,
        id: UploadId,
        digest: Digest,
        body: Body,
    ) -> Result<(), RegistryError> {
        let writer = self.registry.write_upload(grant, id, Announced::default()).await?;
        writer.finish(vec![digest], body).await
    }

    fn put(&self, repository: &str, reference: Reference, body: &str) -> Result<Stored, RegistryError> {
        let put = PutManifest {
            reference,
            tags: Vec::new(),
            content_type: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            condition: Condition::default(),
        };
        self.wait(self.registry.put_manifest(&self.grant(repository), put, Vec::new()))
    }

    fn pull_blob(&self, repository: &str, digest: &Digest) -> Result<Bytes, RegistryError> {
        self.wait(async {
            let content = self.registry.open_blob(&self.grant(repository), digest).await?;
            Ok(content.small().await?.expect("blobs of these tests are small"))
        })
    }

    fn check(&self) -> Report {
        let mode = fsck::Mode { deep: true, others_write: false };
        fsck::check(&self.meta, self.blobs.staging(), self.store.as_ref(), mode, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    }

    fn assert_clean(&self, context: &str) {
        let report = self.check();
        assert!(report.problems.is_empty(), "{context}: {:#?}", report.problems);
    }

    /// Changes rows without the registry's functions.
    fn forge(&self, change: impl Fn(&meta::WriteTx<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.wait(self.meta.write(change)).unwrap();
    }
}

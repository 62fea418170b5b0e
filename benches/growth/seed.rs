//! Fills a store with a layout: the rows and files that real pushes would leave, with many pushes in one
//! transaction.
//!
//! A real push takes the writer a third of a millisecond, so a million of them would take a quarter of an
//! hour. Therefore the rows are written here, with the types of `store::meta`; `tests/growth` checks with
//! `stowage fsck` that all counts and links are right. There are no events, as if consumers had seen them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use stowage::app::{App, FirstAdmin, Hooks, Older, Start};
use stowage::config::Config;
use stowage::model::digest::{AnyDigest, Digest};
use stowage::model::names::{ProjectId, RepoId, UploadId};
use stowage::model::time::RunningSecond;
use stowage::store::blob::{BlobStore as _, FileBlobs, Stamp};
use stowage::store::faulty::Faults;
use stowage::store::meta::schema::{
    self, Blob, BlobState, Disk, Link, Manifest, Referrer, ReferrerAnnotations, Repository, Tag, TagChange,
    Usage,
};
use stowage::store::meta::{Meta, Options, Raw, StoreError, WriteTx, log_repair};

use crate::layout::{ARTIFACT_TYPE, Layout, MANIFEST_TYPE, config, digest_of, layer, tag_name};

/// The approximate number of manifests in one transaction.
const AT_ONCE: usize = 20_000;
/// Threads that store blobs.
const WRITERS: usize = 16;
/// The user and the time of the pushes.
const BY: &str = "anonymous";
const AT_MS: u64 = 1_750_000_000_000;

/// Opens or creates a store, as a server does. `calls` counts the calls to the database's file.
pub(crate) fn open(dir: &Path, cache: &str, calls: Option<Arc<Faults>>) -> Result<Arc<App>, String> {
    let mut config = Config::default();
    config.storage.metadata_cache = cache.parse().map_err(|_| "no size")?;
    config.storage.dumps.every = "0s".parse().map_err(|_| "no duration")?;
    config.storage.min_free = "0".parse().map_err(|_| "no size")?;
    let start = Start {
        config,
        data_dir: dir.to_owned(),
        open_registry: true,
        first_admin: FirstAdmin::No,
        older: Older::CopyAndMigrate,
        hooks: Hooks { meta_faults: calls, ..Hooks::default() },
    };
    App::open(start).map_err(|error| error.to_string())
}

/// Opens the metadata only.
pub(crate) fn open_meta(
    dir: &Path,
    cache_bytes: usize,
    runtime: &tokio::runtime::Handle,
    calls: Option<Arc<Faults>>,
) -> Result<Meta, String> {
    let options = Options {
        data_dir: dir.to_owned(),
        cache_bytes,
        wall: || AT_MS,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.clone(),
        faults: calls,
        on_repair: log_repair,
    };
    Meta::open(options).map_err(|error| error.to_string())
}

/// Creates a store and fills it. `on_progress` is called with the number of manifests.
pub(crate) fn fill(dir: &Path, layout: &Arc<Layout>, on_progress: &dyn Fn(usize)) -> Result<(), String> {
    open(dir, "64MiB", None)?.close();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let stamps = blobs(dir, layout)?;
    on_progress(0);
    let meta = open_meta(dir, 1 << 30, runtime.handle(), None)?;
    let mut first = 0;
    while first < layout.repositories.len() {
        let enough = layout.repositories[first].manifests.start + AT_ONCE;
        let many = layout.repositories[first..].partition_point(|row| row.manifests.start < enough);
        let range = first..first + many;
        let (part, here, stamps) = (range.clone(), Arc::clone(layout), Arc::clone(&stamps));
        let written = runtime.block_on(
            meta.write(move |tx| Seeding { tx, layout: &here, stamps: &stamps }.repositories(part.clone())),
        );
        written.map_err(|error: StoreError| error.to_string())?;
        first = range.end;
        on_progress(layout.repositories[first - 1].manifests.end);
    }
    meta.close();
    Ok(())
}

/// Stores all layers and the config, which comes last, and returns their stamps. Each is synced, many at a
/// time.
fn blobs(dir: &Path, layout: &Layout) -> Result<Arc<Vec<Stamp>>, String> {
    let files = FileBlobs::open(dir).map_err(|error| error.to_string())?;
    let count = layout.repositories.len();
    let put = |number| {
        let content = if number < count { layer(number) } else { config().to_vec() };
        let digest = digest_of(&content);
        let mut staged = files.staging().create(UploadId::random())?;
        staged.append(&[Bytes::from(content)])?;
        Ok(files.put(staged.seal(&digest)?)?.stamp)
    };
    let numbers: Vec<usize> = (0..=count).collect();
    let stamps: std::io::Result<Vec<Vec<Stamp>>> = std::thread::scope(|scope| {
        let parts = numbers.chunks(numbers.len().div_ceil(WRITERS));
        let writers: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|number| put(*number)).collect())).collect();
        let join = |writer: std::thread::ScopedJoinHandle<'_, _>| {
            writer.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
        };
        writers.into_iter().map(join).collect()
    });
    stamps.map(|stamps| Arc::new(stamps.concat())).map_err(|error| error.to_string())
}

struct Seeding<'a, 't> {
    tx: &'a WriteTx<'t>,
    layout: &'a Layout,
    stamps: &'a [Stamp],
}

impl Seeding<'_, '_> {
    fn repositories(&self, range: Range<usize>) -> Result<(), StoreError> {
        let is_last = range.end == self.layout.repositories.len();
        // Rows whose keys begin with a digest are written in the order of their keys, because neighbours
        // share a page.
        let mut bodies = Vec::new();
        for number in range {
            self.repository(number, &mut bodies)?;
        }
        bodies.sort_unstable_by_key(|(digest, ..)| *digest);
        for (digest, id, body) in bodies {
            self.tx.put(&schema::MANIFEST_BODY, &digest, &Raw(body.into_bytes()))?;
            self.tx.put(&schema::MANIFEST_REPO, (&digest, id), &())?;
        }
        if is_last { self.totals() } else { Ok(()) }
    }

    fn repository(
        &self,
        number: usize,
        bodies: &mut Vec<(Digest, RepoId, String)>,
    ) -> Result<(), StoreError> {
        let repository = &self.layout.repositories[number];
        let (tx, id) = (self.tx, self.tx.next_repository());
        let row = Repository { name: repository.name.clone(), project: ProjectId::ROOT, created_ms: AT_MS };
        tx.put(&schema::REPOSITORY, id, &row)?;
        tx.put(&schema::REPOSITORY_NAME, repository.name.as_str(), &id)?;
        tx.put(&schema::CATALOG, repository.name.as_str(), &())?;
        let layer = layer(number);
        self.blob(&layer, self.stamps[number], 1)?;
        let held = [digest_of(config()), digest_of(&layer)];
        for digest in held {
            let references = repository.manifests.len() as u64;
            let link = Link { present: true, references, ..Link::default() };
            tx.put(&schema::LINK, (id, &digest), &link)?;
            tx.put(&schema::BLOB_LINK, (&digest, id), &())?;
        }
        let (mut digests, mut sizes) = (Vec::new(), Vec::new());
        let mut manifest_bytes = 0;
        for manifest in 0..repository.manifests.len() {
            let body = self.layout.manifest(number, manifest);
            let digest = digest_of(body.as_bytes());
            manifest_bytes += body.len() as u64;
            let is_tagged = manifest < repository.tags.len();
            let subject = self.layout.subject(number, manifest).then(|| digests[0]);
            let content_bytes = (body.len() + config().len() + layer.len()) as u64;
            self.manifest(id, digest, (&body, content_bytes), &held, subject, is_tagged)?;
            digests.push(digest);
            sizes.push(content_bytes);
            bodies.push((digest, id, body));
        }
        for tag in 0..repository.tags.len() {
            self.tag(
                id,
                &tag_name(tag),
                digests[self.layout.tagged(number, tag)],
                sizes[self.layout.tagged(number, tag)],
            )?;
        }
        let usage = Usage {
            blobs: 2,
            bytes: (layer.len() + config().len()) as u64,
            unique_bytes: layer.len() as u64,
            manifests: repository.manifests.len() as u64,
            manifest_bytes,
            tags: repository.tags.len() as u64,
        };
        tx.put(&schema::USAGE_REPOSITORY, id, &usage)?;
        tx.put(&schema::DIRTY_REPOSITORY, id, &tx.next_sequence())
    }

    fn blob(&self, content: &[u8], verified: Stamp, holders: u64) -> Result<(), StoreError> {
        let blob = Blob {
            size: content.len() as u64,
            state: BlobState::Present,
            generation: 1,
            verified,
            stored_ms: AT_MS,
            free_since: None,
            users: holders,
        };
        let digest = digest_of(content);
        self.tx.put(&schema::BLOB, &digest, &blob)?;
        self.tx.put(&schema::PROJECT_BLOB, (&digest, ProjectId::ROOT), &holders)
    }

    fn manifest(
        &self,
        id: RepoId,
        digest: Digest,
        (body, content_bytes): (&str, u64),
        held: &[Digest],
        subject: Option<Digest>,
        is_tagged: bool,
    ) -> Result<(), StoreError> {
        let row = Manifest {
            media_type: MANIFEST_TYPE.to_owned(),
            size: body.len() as u64,
            depth: 0,
            blobs: held.iter().map(|digest| AnyDigest::from(*digest)).collect(),
            children: Vec::new(),
            subject: subject.map(AnyDigest::from),
            sequence: self.tx.next_sequence(),
            pushed_ms: AT_MS,
            untagged_since: (!is_tagged).then_some(RunningSecond(0)),
            corrupt: false,
            content_bytes,
            platform: String::new(),
        };
        self.tx.put(&schema::MANIFEST, (id, &digest), &row)?;
        let Some(subject) = subject else { return Ok(()) };
        // The annotations are at the end of the body.
        let (_, annotations) = body.split_once("\"annotations\":").unwrap_or_default();
        let annotations = annotations.strip_suffix('}').unwrap_or_default();
        let referrer = Referrer {
            media_type: MANIFEST_TYPE.to_owned(),
            size: body.len() as u64,
            artifact_type: Some(ARTIFACT_TYPE.to_owned()),
            annotations: ReferrerAnnotations::Short(annotations.to_owned()),
        };
        self.tx.put(&schema::REFERRER, (id, &subject, &digest), &referrer)
    }

    fn tag(&self, id: RepoId, name: &str, digest: Digest, content_bytes: u64) -> Result<(), StoreError> {
        let (tx, sequence) = (self.tx, self.tx.next_sequence());
        tx.put(
            &schema::TAG,
            (id, name),
            &Tag {
                digest,
                sequence,
                pushed_ms: AT_MS,
                by: BY.to_owned(),
                content_bytes,
                platform: String::new(),
            },
        )?;
        tx.put(&schema::TAG_BY_DIGEST, (id, &digest, name), &())?;
        tx.put(&schema::TAG_BY_SEQUENCE, (id, sequence), &name.to_owned())?;
        let change = TagChange {
            old: None,
            new: Some(digest),
            by: BY.to_owned(),
            address: String::new(),
            at_ms: AT_MS,
        };
        tx.put(&schema::TAG_HISTORY, (id, name, sequence), &change)
    }

    /// Writes the totals, and the config that all repositories hold.
    fn totals(&self) -> Result<(), StoreError> {
        let all = self.layout.repositories.len();
        self.blob(config(), self.stamps[all], all as u64)?;
        let bodies = |number: usize| {
            let count = self.layout.repositories[number].manifests.len();
            (0..count).map(move |manifest| self.layout.manifest(number, manifest).len() as u64)
        };
        let bytes = (0..all).map(|number| layer(number).len() as u64).sum::<u64>() + config().len() as u64;
        let usage = Usage {
            blobs: all as u64 + 1,
            bytes,
            unique_bytes: bytes,
            manifests: self.layout.sizes.manifests as u64,
            manifest_bytes: (0..all).flat_map(bodies).sum(),
            tags: self.layout.sizes.tags as u64,
        };
        let disk = Disk { blobs: usage.blobs, bytes, ..Disk::default() };
        self.tx.put(&schema::DISK, (), &disk)?;
        self.tx.put(&schema::USAGE_PROJECT, ProjectId::ROOT, &usage)
    }
}

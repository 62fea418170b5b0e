//! The content that a target gets before anything is measured, through the registry's API. A target that has
//! it keeps it.

use std::cell::Cell;

use futures_util::future::try_join_all;

use crate::connection::Connection;
use crate::content::{Digest, MANIFEST_TYPE, MANIFESTS};
use crate::failure::Failure;
use crate::operation::Uploader;
use crate::plan::{BLOBS, Bench, IMAGES, repository_name, tag_name};
use crate::request::{Template, head};
use crate::target::Target;
use crate::workload::Workload;

/// The repository whose tags record what was seeded.
const SEEDED: &str = "bench/seeded";
/// The version of the content; a target with another version is seeded again.
const FORM: u32 = 1;
/// Connections that seed.
const CONNECTIONS: usize = 16;

/// Pushes the content that the workloads read.
pub(crate) async fn seed(bench: &Bench, target: &Target, workloads: &[Workload]) -> Result<(), Failure> {
    let seeding = Seeding { bench, target };
    let needs = |need: fn(Workload) -> bool| workloads.iter().any(|workload| need(*workload));
    if needs(Workload::needs_images) || workloads.contains(&Workload::Catalog) {
        seeding.once("images", MANIFESTS, Seeding::images).await?;
    }
    if needs(Workload::needs_images) {
        seeding.once("tags", bench.sizes.tags, Seeding::tags).await?;
    }
    if needs(Workload::needs_small_blobs) {
        seeding.once("blobs", bench.sizes.blobs, Seeding::small_blobs).await?;
    }
    if needs(Workload::needs_large_blob) {
        seeding.once("large", bench.sizes.large, Seeding::large_blob).await?;
    }
    if workloads.contains(&Workload::Catalog) {
        seeding.once("catalog", bench.sizes.repositories, Seeding::catalogue).await?;
    }
    if workloads.contains(&Workload::TagsPush) {
        let mut connection = Connection::open(target.address).await?;
        let repository = bench.tags_repository();
        seeding.mounted(&mut connection, &repository, bench.images.blobs.len()).await?;
    }
    Ok(())
}

struct Seeding<'a> {
    bench: &'a Bench,
    target: &'a Target,
}

impl Seeding<'_> {
    /// Runs a step, unless a tag records that it was done; then sets the tag.
    async fn once(
        &self,
        what: &str,
        count: usize,
        work: impl AsyncFn(&Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mark = format!("{what}-{count}-{FORM}");
        let mut connection = Connection::open(self.target.address).await?;
        let common = self.target.common(&[&scope(SEEDED)]).await?;
        let request =
            head("HEAD", &format!("/v2/{SEEDED}/manifests/{mark}"), &common, crate::request::ACCEPT);
        connection.write(request.as_bytes()).await?;
        if connection.answer(true, &mut |_| ()).await?.0 == 200 {
            return Ok(());
        }
        work(self).await.map_err(|failure| failure.during(what))?;
        self.image(&mut connection, SEEDED, &mark).await
    }

    /// Runs numbered steps, several at once.
    async fn each(
        &self,
        count: usize,
        work: impl AsyncFn(&mut Connection, usize) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let next = Cell::new(0);
        let hand = async || {
            let mut connection = Connection::open(self.target.address).await?;
            while next.get() < count {
                let number = next.replace(next.get() + 1);
                work(&mut connection, number).await?;
            }
            Ok::<_, Failure>(())
        };
        try_join_all((0..CONNECTIONS.min(count)).map(|_| hand())).await.map(drop)
    }

    async fn images(&self) -> Result<(), Failure> {
        self.each(self.bench.images.blobs.len(), async |connection, number| {
            let blob = &self.bench.images.blobs[number];
            self.uploader(IMAGES).await?.put(connection, blob, b"", Digest::of(blob)).await
        })
        .await
    }

    async fn tags(&self) -> Result<(), Failure> {
        self.each(self.bench.sizes.tags, async |connection, number| {
            let manifest = &self.bench.images.manifests[number % MANIFESTS];
            self.manifest(connection, IMAGES, &tag_name(number), manifest).await
        })
        .await
    }

    async fn small_blobs(&self) -> Result<(), Failure> {
        self.each(self.bench.sizes.blobs, async |connection, number| {
            let (mould, cast) = self.bench.small_blob(number);
            let start = self.bench.content.start(mould.length);
            self.uploader(BLOBS).await?.put(connection, start, &cast.tail, cast.digest).await
        })
        .await
    }

    async fn large_blob(&self) -> Result<(), Failure> {
        let cast = self.bench.large.fixed(0);
        let start = self.bench.content.start(self.bench.large.length);
        let mut connection = Connection::open(self.target.address).await?;
        self.uploader(BLOBS).await?.put(&mut connection, start, &cast.tail, cast.digest).await
    }

    async fn catalogue(&self) -> Result<(), Failure> {
        self.each(self.bench.sizes.repositories, async |connection, number| {
            self.image(connection, &repository_name(number), "latest").await
        })
        .await
    }

    /// An image of two blobs, both mounted.
    async fn image(&self, connection: &mut Connection, repository: &str, tag: &str) -> Result<(), Failure> {
        if repository == SEEDED {
            let uploader = self.uploader(repository).await?;
            // If no workload needs the images, there is nothing to mount from.
            for blob in &self.bench.images.blobs[..2] {
                uploader.clone().put(connection, blob, b"", Digest::of(blob)).await?;
            }
        } else {
            self.mounted(connection, repository, 2).await?;
        }
        self.manifest(connection, repository, tag, &self.bench.images.tiny).await
    }

    /// Mounts the first blobs of the images.
    async fn mounted(
        &self,
        connection: &mut Connection,
        repository: &str,
        count: usize,
    ) -> Result<(), Failure> {
        let common = self.target.common(&[&scope(repository), &scope(IMAGES)]).await?;
        let uploader = Uploader::new(repository, &common);
        for blob in &self.bench.images.blobs[..count] {
            uploader.mount(connection, Digest::of(blob), IMAGES).await?;
        }
        Ok(())
    }

    async fn manifest(
        &self,
        connection: &mut Connection,
        repository: &str,
        tag: &str,
        manifest: &[u8],
    ) -> Result<(), Failure> {
        let common = self.target.common(&[&scope(repository)]).await?;
        let headers = format!("Content-Type: {MANIFEST_TYPE}\r\nContent-Length: {}\r\n", manifest.len());
        let path = format!("/v2/{repository}/manifests/{{}}");
        let mut request = Template::new("PUT", &path, &common, &headers, manifest);
        connection.exchange(request.fill(tag), 201, &mut |_| ()).await.map(drop)
    }

    async fn uploader(&self, repository: &str) -> Result<Uploader, Failure> {
        Ok(Uploader::new(repository, &self.target.common(&[&scope(repository)]).await?))
    }
}

fn scope(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

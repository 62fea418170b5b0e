//! Plans what each connection does in a workload.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::content::{Cast, Content, Digest, Images, MANIFESTS, Mould, small_size};
use crate::failure::Failure;
use crate::lists::{List, Pages};
use crate::operation::{
    BlobPush, Download, Fetch, Form, ImagePush, Mixed, Operation, TagPush, Thing, Uploader,
};
use crate::random::Random;
use crate::request::{ACCEPT, Template};
use crate::round::{Driver, Pace};
use crate::scale::Sizes;
use crate::target::{Common, Target};
use crate::workload::Workload;

/// The repository of images and tags that are read.
pub(crate) const IMAGES: &str = "bench/images";
/// The repository of blobs that are read.
pub(crate) const BLOBS: &str = "bench/layers";
/// The size of a range.
const RANGE: usize = 1 << 20;
/// The size of the small blobs that are pushed.
const SMALL: usize = 10 << 10;
/// The sizes of the layers of images that are pushed.
const LAYERS: [usize; 3] = [4 << 20, 1 << 20, 64 << 10];
/// The number of large pushes during which the latency of pulls is measured.
const BACKGROUND: usize = 4;
/// The time between two pulls of a connection whose latency is measured.
const PACE: Duration = Duration::from_millis(10);

/// What is the same for all targets.
pub(crate) struct Bench {
    pub(crate) sizes: Sizes,
    pub(crate) content: Arc<Content>,
    pub(crate) images: Images,
    /// The large blobs.
    pub(crate) large: Mould,
    small: Mould,
    layers: Vec<Mould>,
    /// The tags, with the manifests that they point to.
    manifests: Arc<[Thing]>,
    small_blobs: Arc<[Thing]>,
    connections: usize,
    threads: usize,
}

impl Bench {
    /// Creates the content.
    pub(crate) fn new(sizes: Sizes, connections: usize, workloads: &[Workload]) -> Self {
        let content = Content::new(sizes.large, workloads.iter().any(|workload| workload.is_chunked()));
        let images = Images::new(&content);
        let digests: Vec<_> =
            images.manifests.iter().map(|body| (Digest::of(body), body.len() as u64)).collect();
        let manifests = (0..sizes.tags).map(|number| {
            let (digest, length) = digests[number % MANIFESTS];
            Thing { name: tag_name(number), length, digest }
        });
        let mut bench = Self {
            manifests: manifests.collect(),
            small_blobs: Arc::default(),
            large: content.mould(sizes.large),
            small: content.mould(SMALL),
            layers: LAYERS.map(|length| content.mould(length)).to_vec(),
            content: Arc::new(content),
            images,
            sizes,
            connections: connections.max(1),
            threads: available_parallelism().map_or(1, usize::from),
        };
        let small_blobs = (0..sizes.blobs).map(|number| {
            let (mould, Cast { digest, .. }) = bench.small_blob(number);
            Thing { name: digest.text().as_str().to_owned(), length: mould.length as u64, digest }
        });
        bench.small_blobs = small_blobs.collect();
        bench
    }

    /// A small blob that is read.
    pub(crate) fn small_blob(&self, number: usize) -> (Mould, Cast) {
        let mould = self.content.mould(small_size(number, self.sizes.blobs));
        let cast = mould.fixed(number);
        (mould, cast)
    }

    /// The repository that this run sets tags in.
    pub(crate) fn tags_repository(&self) -> String {
        format!("bench/push-{:08x}-tags", self.content.nonce >> 32)
    }

    /// The repository that this run pushes to.
    fn push_repository(&self) -> String {
        format!("bench/push-{:08x}", self.content.nonce >> 32)
    }

    /// The work of each thread's connections.
    pub(crate) async fn lanes(
        &self,
        workload: Workload,
        target: &Target,
        pages: &Pages,
    ) -> Result<Vec<Vec<Driver>>, Failure> {
        let connections = workload.connections(self.connections);
        let mut drivers = Vec::new();
        for index in 0..connections {
            let operation = self.operation(workload, target, pages, index == 0).await?;
            drivers.push(Driver { operation, pace: None, measured: true });
        }
        if workload == Workload::Latency {
            let step = PACE / u32::try_from(drivers.len()).unwrap_or(u32::MAX);
            for (index, driver) in (0..).zip(&mut drivers) {
                driver.pace = Some(Pace { first: step * index, every: PACE });
            }
            let mut background = Vec::new();
            for _ in 0..BACKGROUND {
                let operation = self.blob_push(target, &self.large, Form::Patch, false).await?;
                background.push(Driver {
                    operation: Operation::BlobPush(operation),
                    pace: None,
                    measured: false,
                });
            }
            return Ok(vec![drivers, background]);
        }
        let mut lanes: Vec<Vec<Driver>> = Vec::new();
        lanes.resize_with(self.threads.min(connections), Vec::new);
        let count = lanes.len();
        for (index, driver) in drivers.into_iter().enumerate() {
            lanes[index % count].push(driver);
        }
        Ok(lanes)
    }

    async fn operation(
        &self,
        workload: Workload,
        target: &Target,
        pages: &Pages,
        first: bool,
    ) -> Result<Operation, Failure> {
        Ok(match workload {
            Workload::ManifestGet | Workload::Latency => {
                Operation::Fetch(self.manifests("GET", target).await?)
            }
            Workload::ManifestHead => Operation::Fetch(self.manifests("HEAD", target).await?),
            Workload::BlobSmall => Operation::Fetch(self.blobs(target).await?),
            Workload::BlobLarge1 | Workload::BlobLarge4 => {
                Operation::Download(self.download(target, None, first).await?)
            }
            Workload::BlobRange => Operation::Download(self.download(target, Some(RANGE), false).await?),
            Workload::PushSmall => {
                Operation::BlobPush(self.blob_push(target, &self.small, Form::Put, true).await?)
            }
            Workload::PushLargePatch1 | Workload::PushLargePatch4 => {
                Operation::BlobPush(self.blob_push(target, &self.large, Form::Patch, first).await?)
            }
            Workload::PushLargePut1 | Workload::PushLargePut4 => {
                Operation::BlobPush(self.blob_push(target, &self.large, Form::Put, first).await?)
            }
            Workload::PushImage => Operation::ImagePush(self.image_push(target).await?),
            Workload::Mixed => Operation::Mixed(Box::new(Mixed {
                manifests: self.manifests("GET", target).await?,
                blobs: self.blobs(target).await?,
                push: self.blob_push(target, &self.small, Form::Put, true).await?,
                random: Random::unique(),
            })),
            Workload::TagsPush => {
                let repository = self.tags_repository();
                let common = push_common(target, &repository).await?;
                let manifest = &self.images.manifests[0];
                Operation::TagPush(TagPush::new(&repository, &common, &self.content, manifest))
            }
            Workload::TagsList | Workload::TagsPage | Workload::Catalog => {
                let list = List::of(self, workload).ok_or_else(|| Failure("not a list".into()))?;
                Operation::Fetch(Fetch::new(list.request(target).await?, &pages.things))
            }
        })
    }

    async fn manifests(&self, method: &str, target: &Target) -> Result<Fetch, Failure> {
        let common = pull_common(target, IMAGES).await?;
        let path = format!("/v2/{IMAGES}/manifests/{{}}");
        Ok(Fetch::new(Template::new(method, &path, &common, ACCEPT, b""), &self.manifests))
    }

    async fn blobs(&self, target: &Target) -> Result<Fetch, Failure> {
        let common = pull_common(target, BLOBS).await?;
        let path = format!("/v2/{BLOBS}/blobs/{{}}");
        Ok(Fetch::new(Template::new("GET", &path, &common, "", b""), &self.small_blobs))
    }

    async fn download(&self, target: &Target, part: Option<usize>, whole: bool) -> Result<Download, Failure> {
        let common = pull_common(target, BLOBS).await?;
        let digest = self.large.fixed(0).digest;
        let path = format!("/v2/{BLOBS}/blobs/{}", digest.text().as_str());
        Ok(Download {
            request: Template::new("GET", &path, &common, "{}", b""),
            content: Arc::clone(&self.content),
            size: self.large.length,
            part,
            digest: Some(digest).filter(|_| whole),
            random: Random::unique(),
            range: String::new(),
        })
    }

    async fn blob_push(
        &self,
        target: &Target,
        mould: &Mould,
        form: Form,
        checks: bool,
    ) -> Result<BlobPush, Failure> {
        let repository = self.push_repository();
        Ok(BlobPush {
            uploader: Uploader::new(&repository, &push_common(target, &repository).await?),
            content: Arc::clone(&self.content),
            mould: mould.clone(),
            form,
            checks,
            last: None,
        })
    }

    async fn image_push(&self, target: &Target) -> Result<ImagePush, Failure> {
        let repository = self.push_repository();
        let common = push_common(target, &repository).await?;
        Ok(ImagePush {
            uploader: Uploader::new(&repository, &common),
            content: Arc::clone(&self.content),
            layers: self.layers.clone(),
            manifest: ImagePush::template(&repository, &common),
            last: None,
        })
    }
}

/// A tag that is read.
pub(crate) fn tag_name(number: usize) -> String {
    format!("t{number:06}")
}

/// A repository of the catalogue; it sorts after all that begin with `bench/`.
pub(crate) fn repository_name(number: usize) -> String {
    format!("cat/r{number:06}")
}

async fn pull_common(target: &Target, repository: &str) -> Result<Common, Failure> {
    target.common(&[&format!("repository:{repository}:pull")]).await
}

async fn push_common(target: &Target, repository: &str) -> Result<Common, Failure> {
    target.common(&[&format!("repository:{repository}:pull,push")]).await
}

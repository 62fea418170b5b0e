//! The workloads, by name.

use clap::ValueEnum;

/// What a target is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// GET a manifest by tag, over many tags
    ManifestGet,
    /// HEAD a manifest by tag
    ManifestHead,
    /// GET blobs of 1 to 10 KiB
    BlobSmall,
    /// GET a blob of 256 MiB, 1 connection
    #[value(name = "blob-large-1")]
    BlobLarge1,
    /// GET a blob of 256 MiB, 4 connections
    #[value(name = "blob-large-4")]
    BlobLarge4,
    /// GET 1 MiB anywhere in the large blob
    BlobRange,
    /// Push blobs of 10 KiB: POST, PUT
    PushSmall,
    /// Push blobs of 256 MiB as docker does (POST, chunked PATCH, PUT), 1 connection
    #[value(name = "push-large-patch-1")]
    PushLargePatch1,
    /// The same, 4 connections
    #[value(name = "push-large-patch-4")]
    PushLargePatch4,
    /// Push blobs of 256 MiB in one piece (POST, PUT), 1 connection
    #[value(name = "push-large-put-1")]
    PushLargePut1,
    /// The same, 4 connections
    #[value(name = "push-large-put-4")]
    PushLargePut4,
    /// Push images: for three layers and a config HEAD and push, then the manifest by tag
    PushImage,
    /// 70 % manifest GETs, 20 % small blob GETs, 10 % small pushes
    Mixed,
    /// PUT new tags on a manifest that is there
    TagsPush,
    /// A page of 1,000 of 10,000 tags
    TagsList,
    /// A page of 50 of 10,000 tags
    TagsPage,
    /// A page of 500 of 2,000 repositories
    Catalog,
    /// GET manifests, 100 a second and connection, while 4 connections push large blobs: the p99 counts
    Latency,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Operations a second.
    Operations,
    /// Megabytes of payload a second.
    Megabytes,
    /// Milliseconds of the 99th percentile; less is better.
    Milliseconds,
}

impl Workload {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::BlobLarge1 | Self::BlobLarge4 | Self::BlobRange | Self::PushImage => Unit::Megabytes,
            Self::PushLargePatch1 | Self::PushLargePatch4 | Self::PushLargePut1 | Self::PushLargePut4 => {
                Unit::Megabytes
            }
            Self::Latency => Unit::Milliseconds,
            _ => Unit::Operations,
        }
    }

    /// The number of connections; `general` unless its name says otherwise.
    pub(crate) fn connections(self, general: usize) -> usize {
        match self {
            Self::BlobLarge1 | Self::PushLargePatch1 | Self::PushLargePut1 => 1,
            Self::BlobLarge4 | Self::PushLargePatch4 | Self::PushLargePut4 => 4,
            _ => general,
        }
    }

    /// Whether it leaves dirty pages, which the kernel may still be writing when the next target is measured.
    pub(crate) fn writes(self) -> bool {
        self.is_chunked()
            || matches!(self, Self::PushSmall | Self::Mixed | Self::TagsPush)
            || self.is_large_put()
    }

    /// Whether it sends chunked bodies.
    pub(crate) fn is_chunked(self) -> bool {
        matches!(self, Self::PushLargePatch1 | Self::PushLargePatch4 | Self::PushImage | Self::Latency)
    }

    fn is_large_put(self) -> bool {
        matches!(self, Self::PushLargePut1 | Self::PushLargePut4)
    }

    /// Whether it reads the images and their tags.
    pub(crate) fn needs_images(self) -> bool {
        matches!(
            self,
            Self::ManifestGet
                | Self::ManifestHead
                | Self::Mixed
                | Self::TagsPush
                | Self::TagsList
                | Self::TagsPage
                | Self::Latency
        )
    }

    /// Whether it reads the small blobs.
    pub(crate) fn needs_small_blobs(self) -> bool {
        matches!(self, Self::BlobSmall | Self::Mixed)
    }

    /// Whether it reads the large blob.
    pub(crate) fn needs_large_blob(self) -> bool {
        matches!(self, Self::BlobLarge1 | Self::BlobLarge4 | Self::BlobRange)
    }
}

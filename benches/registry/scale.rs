//! The amount of content, and the length of the measurement.

use std::time::Duration;

use clap::ValueEnum;

/// The amount of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Enough to check that everything works: half a minute.
    Small,
    /// The scale of the published figures.
    Full,
}

/// The amounts of a scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a large blob.
    pub(crate) large: usize,
    /// Small blobs, from 1 to 10 KiB.
    pub(crate) blobs: usize,
    /// Tags of the repository that is read.
    pub(crate) tags: usize,
    /// Tags in a page of `tags-list`.
    pub(crate) list: usize,
    /// Tags in a page of `tags-page`.
    pub(crate) page: usize,
    /// Repositories of the catalogue.
    pub(crate) repositories: usize,
    /// Repositories in a page of `catalog`.
    pub(crate) catalog: usize,
}

impl Scale {
    /// The amounts.
    pub(crate) fn sizes(self) -> Sizes {
        match self {
            Self::Small => Sizes {
                large: 16 << 20,
                blobs: 100,
                tags: 1_000,
                list: 100,
                page: 50,
                repositories: 100,
                catalog: 25,
            },
            Self::Full => Sizes {
                large: 256 << 20,
                blobs: 1_000,
                tags: 10_000,
                list: 1_000,
                page: 50,
                repositories: 2_000,
                catalog: 500,
            },
        }
    }

    /// The default number of rounds.
    pub(crate) fn rounds(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Full => 3,
        }
    }

    /// The default length of a round of one workload.
    pub(crate) fn length(self) -> Duration {
        match self {
            Self::Small => Duration::from_millis(300),
            Self::Full => Duration::from_secs(2),
        }
    }
}

//! How much content a target is given, and how long it is measured.

use std::time::Duration;

use clap::ValueEnum;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// Enough to see that everything works: half a minute.
    Small,
    /// What the published figures are made with.
    Full,
}

/// The numbers of a scale.
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
    /// The numbers.
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

    /// Rounds, unless the command line says otherwise.
    pub(crate) fn rounds(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Full => 3,
        }
    }

    /// How long a round of one workload lasts, unless the command line says otherwise.
    pub(crate) fn length(self) -> Duration {
        match self {
            Self::Small => Duration::from_millis(300),
            Self::Full => Duration::from_secs(2),
        }
    }
}

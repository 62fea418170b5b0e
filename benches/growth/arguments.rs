//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::layout::Sizes;

/// Measures whether Stowage stays fast as its store grows: the same requests to a store with 100 manifests
/// and to one with 1,000,000 manifests, 1,000,000 tags and 100,000 repositories, in turns; its start-up; its
/// memory; a dump of the large store, a rebuild from it, its compaction after deletions, and garbage
/// collection.
///
/// Exit status: 0 within all bounds, 1 a bound is missed or a request failed, 2 it could not be measured.
#[derive(Parser, Debug)]
#[command(name = "growth", disable_version_flag = true, max_term_width = 110)]
pub(crate) struct Arguments {
    /// Where the stores are; those that are seeded at this scale already are used again [default: a temporary
    /// one]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How much content: small is for seeing that everything works
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    pub(crate) scale: Scale,
    /// Rounds in which the stores take turns [default: 5; small: 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that a store is measured in a round [default: 1; small: 0.2]
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: usize,
    /// Leave these out
    #[arg(long = "skip", value_name = "STAGE,...", value_delimiter = ',', value_enum)]
    skip: Vec<Stage>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A flag that `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Start-up.
    Starts,
    /// Requests.
    Requests,
    /// Dumps of the large store while it is read.
    Dumps,
    /// Compactions of a copy of the large store after deletions, while it is read and pushed to.
    Compaction,
    /// Garbage collection in a copy of the large store, while it is read and pushed to.
    Collection,
    /// A rebuild from the last dump.
    Rebuild,
    /// A check of the large store.
    Fsck,
}

/// The amount of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// 20,000 manifests in 2,000 repositories.
    Small,
    /// 1,000,000 manifests in 100,000 repositories.
    Full,
}

/// The store that the other one is compared with, at every scale.
pub(crate) const BASE: Sizes =
    Sizes { manifests: 100, tags: 1_070, repositories: 36, list_manifests: 30, long_list: 0 };

impl Scale {
    /// Rows that are deleted before the first compaction.
    pub(crate) const fn deleted(self) -> u64 {
        match self {
            Self::Small => 20_000,
            Self::Full => 1_000_000,
        }
    }

    /// Blobs that become garbage.
    pub(crate) const fn garbage(self) -> u64 {
        match self {
            Self::Small => 1_000,
            Self::Full => 100_000,
        }
    }

    /// The large store.
    pub(crate) const fn grown(self) -> Sizes {
        match self {
            Self::Small => Sizes {
                manifests: 20_000,
                tags: 20_000,
                repositories: 2_000,
                list_manifests: 1_000,
                long_list: 4_000,
            },
            Self::Full => Sizes {
                manifests: 1_000_000,
                tags: 1_000_000,
                repositories: 100_000,
                list_manifests: 1_000,
                long_list: 100_000,
            },
        }
    }
}

impl Arguments {
    pub(crate) fn runs(&self, stage: Stage) -> bool {
        !self.skip.contains(&stage)
    }

    pub(crate) fn rounds(&self) -> usize {
        let default = if self.scale == Scale::Full { 5 } else { 1 };
        self.rounds.unwrap_or(default).max(1)
    }

    pub(crate) fn length(&self) -> Duration {
        let default = Duration::from_millis(if self.scale == Scale::Full { 1_000 } else { 200 });
        self.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(default)
    }
}

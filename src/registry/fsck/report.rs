//! The report of a check: its progress, what it checked, and what is wrong.

use std::io;
use std::path::Path;

use crate::model::digest::Digest;
use crate::store::blob::Stamp;
use crate::store::meta::StoreError;
use crate::store::open::OpenError;
use crate::wire::{self, Checked, Severity};

/// The mode of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Whether every blob is read and hashed, not only manifests.
    pub deep: bool,
    /// Whether the store is in use: changes during the check are not problems.
    pub others_write: bool,
}

/// Why a check has no report.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckError {
    /// The caller ended the check.
    #[error("the check was ended")]
    Ended,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CheckError {
    /// The error as one of opening a store that no server has open: see [`StoreError::on_opening`].
    pub fn on_opening(self, database: &Path) -> OpenError {
        match self {
            Self::Store(error) => error.on_opening(database),
            Self::Ended => OpenError::io(database, io::ErrorKind::Interrupted.into()),
        }
    }
}

/// The progress of long work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: &'static str,
    /// Rows or files done in this stage.
    pub done: u64,
    /// Rows or files in all; 0 if not known.
    pub total: u64,
    /// Bytes hashed in all stages.
    pub bytes: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, as one word for programs: [`fsck`](super) lists these words.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The repository, by name or else by number.
    pub repository: Option<String>,
    /// The blob or manifest.
    pub digest: Option<String>,
    /// The images that need it, as `repository:tag`, or with a digest where there is no tag; at most 20.
    pub images: Vec<String>,
    /// The expected state.
    pub expected: String,
    /// The actual state.
    pub found: String,
}

/// What reading a blob's file has proven. It is valid while the blob has this generation: a push replaces the
/// file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(in crate::registry) digest: Digest,
    pub(in crate::registry) generation: u32,
    /// The stamp of its intact file; `None`: the file is damaged.
    pub(in crate::registry) whole: Option<Stamp>,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was checked.
    pub checked: Checked,
    /// The problems; empty when nothing is wrong.
    pub problems: Vec<Finding>,
    /// Remarks that are not problems.
    pub notes: Vec<String>,
    /// Facts about blobs that are proven and must be recorded.
    pub verdicts: Vec<Verdict>,
}

impl From<&Report> for wire::Report {
    fn from(report: &Report) -> Self {
        Self {
            checked: report.checked,
            problems: report.problems.iter().map(wire::Finding::from).collect(),
            notes: report.notes.clone(),
        }
    }
}

impl From<&Finding> for wire::Finding {
    fn from(finding: &Finding) -> Self {
        Self {
            kind: finding.kind.to_owned(),
            severity: finding.severity.to_string(),
            repository: finding.repository.clone(),
            digest: finding.digest.clone(),
            images: finding.images.clone(),
            expected: finding.expected.clone(),
            found: finding.found.clone(),
        }
    }
}

//! What a check tells: how far it is, what it looked at, and what is wrong.

use std::io;
use std::path::Path;

use crate::model::digest::Digest;
use crate::store::blob::Stamp;
use crate::store::meta::StoreError;
use crate::store::open::OpenError;
use crate::wire::Checked;

/// How a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Every blob is read and hashed, not manifests alone.
    pub deep: bool,
    /// The store is in use: what changes during the check is no problem.
    pub others_write: bool,
}

/// Why there is no report.
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
    /// What the error means for a store that no server has open: see [`StoreError::on_opening`].
    pub fn on_opening(self, database: &Path) -> OpenError {
        match self {
            Self::Store(error) => error.on_opening(database),
            Self::Ended => OpenError::io(database, io::ErrorKind::Interrupted.into()),
        }
    }
}

/// How far the check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is looked at.
    pub stage: &'static str,
    /// Rows or files so far, in this stage.
    pub done: u64,
    /// Rows or files in all; 0 where that is not known.
    pub total: u64,
    /// Bytes hashed so far, in all stages.
    pub bytes: u64,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that was pushed is lost or cannot be read.
    Damage,
    /// Rows contradict each other; what was pushed tells which are right.
    Inconsistency,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as one word for programs: the list is in [`fsck`](super).
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The repository, by name or else by number.
    pub repository: Option<String>,
    /// The blob or manifest.
    pub digest: Option<String>,
    /// The images that need it, as `repository:tag`, or with a digest where there is no tag; at most 20.
    pub images: Vec<String>,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// What the bytes of a blob's file have proven. It counts only while the blob has this generation: a push
/// replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(super) digest: Digest,
    pub(super) generation: u32,
    /// What its whole file looks like; none: it is damaged.
    pub(super) whole: Option<Stamp>,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub checked: Checked,
    /// What is wrong. Nothing is left to be done when it is empty.
    pub problems: Vec<Problem>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
    /// What was proven of blobs and is to be recorded.
    pub verdicts: Vec<Verdict>,
}

//! Errors of dumps.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::meta::StoreError;

/// Why a dump could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The caller ended it.
    #[error("the dump was cancelled")]
    Ended,
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content of a file is not what was written.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// It was made by a version whose format this one does not know.
    #[error("{} has {found}, which this version does not know", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// There is too little space for another dump.
    #[error("{} has {available} bytes of free space; another dump may need {needed}", path.display())]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// Free bytes.
        available: u64,
        /// Bytes that should be free.
        needed: u64,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl DumpError {
    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> DumpError {
    let path = path.to_owned();
    move |source| DumpError::Io { path, source }
}

/// The error for reading a file that should be complete: an unexpected end means damage.
pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> DumpError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::UnexpectedEof => DumpError::Damaged { path, detail: "it is truncated".to_owned() },
        io::ErrorKind::NotFound => DumpError::Damaged { path, detail: "it is missing".to_owned() },
        _ => DumpError::Io { path, source },
    }
}

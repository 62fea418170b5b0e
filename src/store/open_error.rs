//! Why a store could not be opened.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory or file.
        path: PathBuf,
        /// Its process, where that is known.
        pid: Option<u32>,
    },
    /// A format that this version does not know.
    #[error("{} has {found}; this version supports {supported}", path.display())]
    UnknownFormat {
        /// The database file.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What this version reads.
        supported: String,
        /// The copy that was made before a newer version migrated the store.
        copy: Option<PathBuf>,
    },
    /// An older format, where it is not migrated.
    #[error("{} has format {schema}, which the server migrates when it starts", path.display())]
    OldFormat {
        /// The database file.
        path: PathBuf,
        /// Its format.
        schema: u32,
    },
    /// The disk has no space for a migration, or for the copy before it.
    #[error("{}: the migration needs {needed} bytes, {available} are free", path.display())]
    NoRoom {
        /// The data directory.
        path: PathBuf,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// They are for the copy; else the migration has begun, and goes on with the next start.
        for_copy: bool,
    },
    /// The database is not whole.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The directory is that of a store, and its database is not there.
    #[error("{} is missing, but its store was here", path.display())]
    DatabaseMissing {
        /// The database file.
        path: PathBuf,
        /// Where a server saved the file that was removed under it.
        saved: Option<PathBuf>,
    },
    /// The file system breaks the promises that the store depends on.
    #[error("{} is on {kind}", path.display())]
    FileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// A rebuild into this directory did not come to its end.
    #[error("the rebuild into {} was interrupted", path.display())]
    CutOffRebuild {
        /// The data directory.
        path: PathBuf,
    },
    /// The blobs belong to another store.
    #[error("{} holds the blobs of another store", path.display())]
    ForeignBlobs {
        /// The blob directory.
        path: PathBuf,
    },
    /// The blobs of a store do not say that they are its own.
    #[error("{} holds blobs and no id of a store", path.display())]
    NamelessBlobs {
        /// The blob directory.
        path: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The blobs of the store are not there.
    #[error("{} holds no blobs: is its disk mounted?", path.display())]
    BlobsMissing {
        /// The blob directory.
        path: PathBuf,
    },
    /// Another user's store.
    #[error("the store in {} belongs to the user with the id {owner}, this is the user {caller}", path.display())]
    OtherOwner {
        /// The directory.
        path: PathBuf,
        /// Who owns the files in it.
        owner: u32,
        /// Who would run the server.
        caller: u32,
    },
    /// Every user of this computer could replace files of the store.
    #[error("{} can be written to by every user of this computer (mode {mode:04o})", path.display())]
    OthersWrite {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Reading or writing `path` failed.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// [`OpenError::io`] as `map_err` takes it.
pub fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::io(path, source)
}

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
        /// Its process id, if known.
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
    /// An older format, which is not migrated here.
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
        /// Whether they are for the copy; if not, the migration has begun and continues with the next start.
        for_copy: bool,
    },
    /// The database is damaged.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The directory belongs to a store, but its database is missing.
    #[error("{} is missing, but its store was here", path.display())]
    DatabaseMissing {
        /// The database file.
        path: PathBuf,
        /// The copy that a server saved of the file that was removed while it ran.
        saved: Option<PathBuf>,
    },
    /// The store cannot rely on the file system.
    #[error("{} is on {kind}", path.display())]
    FileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// A rebuild into this directory was interrupted.
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
    /// The blob directory of an existing store has no store id.
    #[error("{} holds blobs and no id of a store", path.display())]
    NamelessBlobs {
        /// The blob directory.
        path: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The blobs of the store are missing.
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
        /// The owner of the files in it.
        owner: u32,
        /// The user who would run the server.
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
        /// The error of the system.
        source: io::Error,
    },
}

impl OpenError {
    /// Reading or writing `path` failed.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// [`OpenError::io`] in the form that `map_err` takes.
pub fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::io(path, source)
}

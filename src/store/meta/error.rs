//! Errors of the metadata store.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::model::units::human_size;
use crate::store::open_error::OpenError;

/// An error of the metadata store. The caller is never the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A row could not be decoded: the database is damaged. Nothing is deleted because of it.
    #[error("a row of the table `{table}` is damaged; stop the server and run: stowage fsck")]
    Corrupt {
        /// The table.
        table: &'static str,
    },
    /// The disk has too little space for the change. Nothing was changed.
    #[error("the disk that holds the metadata is full; free some space and try again")]
    Full,
    /// The file system is read-only. Nothing was changed.
    #[error("the disk that holds the metadata is read-only; remount it for writing")]
    ReadOnly,
    /// The database file was removed or replaced while it was open. Nothing was changed.
    #[error(
        "the registry's database file was removed or replaced: changes are refused, pulls still work; the server's log says how to recover it"
    )]
    Displaced,
    /// The database is being reopened after an I/O error, or the server is stopping. Nothing was changed.
    #[error("the metadata is not available at the moment; try again in a few seconds")]
    Unavailable,
    /// Reading or writing failed before anything was committed. Nothing was changed.
    #[error("reading or writing the metadata failed: {0}")]
    Io(String),
    /// The commit failed: the change was either made completely or not at all.
    #[error("the disk failed while the change was committed; whether it was kept shows when you look again")]
    OutcomeUnknown,
    /// The change panicked or its task was lost. Nothing was changed.
    #[error("the change failed inside the server")]
    Failed,
}

impl StoreError {
    pub(super) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error.to_string()),
        }
    }

    /// The error as one of opening the database at `path`: only rows and pages that cannot be read count as
    /// damage.
    pub fn on_opening(self, path: &Path) -> OpenError {
        let kind = match self {
            Self::Corrupt { .. } => {
                return OpenError::Damaged { path: path.to_owned(), detail: self.to_string() };
            }
            Self::Full => io::ErrorKind::StorageFull,
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            _ => io::ErrorKind::Other,
        };
        OpenError::io(path, io::Error::new(kind, self))
    }

    /// Whether the store refuses changes for now, but can be read.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Full | Self::ReadOnly | Self::Displaced)
    }

    /// Whether the database handle may be unusable after this error, so that it has to be reopened.
    pub(super) const fn breaks_handle(&self) -> bool {
        matches!(self, Self::Full | Self::ReadOnly | Self::Io(_) | Self::Unavailable | Self::OutcomeUnknown)
    }
}

/// Describes a database file of `len` bytes that redb refuses. redb's message names fields of its header,
/// which do not help an operator: it is logged at `debug`.
pub(super) fn damage(error: &redb::DatabaseError, len: u64) -> String {
    tracing::debug!(%error, "redb refuses the database file");
    let foreign =
        "the file does not begin like a database: it was overwritten, or another file is in its place";
    let too_short = format!("the file is shorter than its content needs: it has {}", human_size(len));
    match error {
        _ if len < SMALLEST => too_short,
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(detail)) => match detail.as_str() {
            detail if detail.contains("magic number") => foreign.to_owned(),
            detail if detail.contains("truncated") => too_short,
            detail if detail.starts_with("File length") => {
                format!("the length of the file ({}) does not match its content", human_size(len))
            }
            _ => CONTRADICTION.to_owned(),
        },
        redb::DatabaseError::Storage(redb::StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::UnexpectedEof => too_short,
            io::ErrorKind::InvalidData => foreign.to_owned(),
            _ => CONTRADICTION.to_owned(),
        },
        _ => CONTRADICTION.to_owned(),
    }
}

/// The size of a page: a database has at least that of its header.
const SMALLEST: u64 = 4096;
/// The description of damage without a more exact name.
pub(super) const CONTRADICTION: &str = "its pages contradict each other";

/// Pages of the file contradict each other.
pub(super) const DAMAGED_PAGES: StoreError = StoreError::Corrupt { table: "(pages)" };

/// Runs work on the database and turns a panic into an error, because redb panics on some damaged pages. A
/// panic for any other reason gets the same error: the two cannot be told apart here.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| DAMAGED_PAGES)
}

pub(super) fn storage(error: redb::StorageError) -> StoreError {
    match error {
        redb::StorageError::Io(source) => StoreError::from_io(&source),
        redb::StorageError::Corrupted(_) => DAMAGED_PAGES,
        redb::StorageError::PreviousIo | redb::StorageError::DatabaseClosed => StoreError::Unavailable,
        other => StoreError::Io(other.to_string()),
    }
}

pub(super) fn table(error: redb::TableError) -> StoreError {
    match error {
        redb::TableError::Storage(source) => storage(source),
        // The store creates all tables when it is created, so a missing or changed one means damage.
        redb::TableError::TableDoesNotExist(_)
        | redb::TableError::TableTypeMismatch { .. }
        | redb::TableError::TypeDefinitionChanged { .. }
        | redb::TableError::TableIsMultimap(_) => DAMAGED_PAGES,
        other => StoreError::Io(other.to_string()),
    }
}

pub(super) fn transaction(error: redb::TransactionError) -> StoreError {
    match error {
        redb::TransactionError::Storage(source) => storage(source),
        other => StoreError::Io(other.to_string()),
    }
}

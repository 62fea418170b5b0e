//! Too little space on the disk: the error of a push that is refused before the disk is full, and the warning
//! before that.

use std::fmt;

use crate::config::MinFree;
use crate::model::units::human_size;

/// A push is refused before the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LittleSpace {
    /// What must stay free.
    pub min_free: MinFree,
    /// Bytes that are free.
    pub available: u64,
    /// The size of the disk in bytes.
    pub total: u64,
    /// The announced bytes; 0 if not even one byte is permitted.
    pub announced: u64,
    /// The file system has too few free inodes; bytes do not matter.
    pub files: bool,
}

impl fmt::Display for LittleSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min_free, available, total, announced, files } = *self;
        let (available, total) = (human_size(available), human_size(total));
        if files {
            write!(f, "less than 1% of the files (inodes) of the disk are left")
        } else if announced > 0 {
            let announced = human_size(announced);
            write!(
                f,
                "a body of {announced} would leave less than storage.min_free ({min_free}): {available} of {total} free"
            )
        } else {
            write!(f, "less than storage.min_free ({min_free}) is left: {available} of {total} free")
        }
    }
}

/// The disk has less space than is comfortable; pushes are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowSpace {
    /// Below this there is a warning.
    pub warn_free: MinFree,
    /// Bytes that are free.
    pub available: u64,
    /// The size of the disk in bytes.
    pub total: u64,
    /// The file system has few free inodes; bytes do not matter.
    pub files: bool,
}

impl fmt::Display for LowSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { warn_free, available, total, files } = *self;
        if files {
            return write!(f, "less than 5% of the files (inodes) of the disk are left");
        }
        let (available, total) = (human_size(available), human_size(total));
        write!(f, "less than storage.warn_free ({warn_free}) is left: {available} of {total} free")
    }
}

//! What a rebuild that did not come to its end leaves in a data directory.

use std::fs;
use std::path::Path;

use crate::store::meta::{FILE_NAME, dump};

/// The directory in which a rebuild makes the database. The database gets its place when it is whole; while
/// this is there and the database is not, there is no store.
pub const WORKSHOP: &str = "rebuild.new";

/// Whether a directory has what a rebuild has left that did not come to its end, or is at work on: ask with
/// the lock of the directory. One that has dumps was a whole store once, and may be all that is left of it.
pub fn was_cut_off(dir: &Path) -> bool {
    dir.join(WORKSHOP).exists() && !dir.join(FILE_NAME).exists() && !dir.join(dump::DIR_NAME).exists()
}

/// Removes the empty workshop that a rebuild leaves when it is cut off behind its last step.
pub(super) fn clear(dir: &Path) {
    // Mostly there is none; one that stays does no harm.
    let _ = fs::remove_dir(dir.join(WORKSHOP));
}

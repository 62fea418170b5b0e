//! The working directory of rebuilds, and what an interrupted rebuild leaves.

use std::fs;
use std::path::Path;

use crate::store::meta::{FILE_NAME, dump};

/// The directory in which a rebuild creates the database. The finished database is moved out of it. If this
/// directory exists and the database does not, there is no store.
pub const WORKSHOP: &str = "rebuild.new";

/// Whether a directory holds the leftovers of an interrupted rebuild, or a running one: ask with the lock of
/// the directory. A directory with dumps was a complete store once, and may be all that is left of it, so it
/// does not count.
pub fn was_cut_off(dir: &Path) -> bool {
    dir.join(WORKSHOP).exists() && !dir.join(FILE_NAME).exists() && !dir.join(dump::DIR_NAME).exists()
}

/// Removes the empty working directory of a rebuild that was interrupted after its last step.
pub(super) fn clear(dir: &Path) {
    // Usually there is none; one that stays does no harm.
    let _ = fs::remove_dir(dir.join(WORKSHOP));
}

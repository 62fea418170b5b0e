//! Data directories, as a command that has not opened one sees them.

use std::path::Path;

use crate::store::lock;

/// What a data directory has once its store was made.
const DATABASE: &str = "stowage.redb";

/// Whether the directory is that of a store: its database is there, or was and is missing.
pub(super) fn has_store(data_dir: &Path) -> bool {
    // A symbolic link that leads nowhere is a database that is missing.
    data_dir.join(DATABASE).symlink_metadata().is_ok() || lock::peek(data_dir).is_some()
}

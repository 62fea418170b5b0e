//! Checks on data directories that are not open.

use std::path::Path;

use crate::store::lock;

/// The file that shows that a directory has a store.
const DATABASE: &str = "stowage.redb";

/// Whether the directory belongs to a store: its database exists, or has existed and is missing.
pub(super) fn has_store(data_dir: &Path) -> bool {
    // A dangling symbolic link means that the database is missing.
    data_dir.join(DATABASE).symlink_metadata().is_ok() || lock::peek(data_dir).is_some()
}

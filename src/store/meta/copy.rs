//! The copy of the database that is made before a migration, for a return to the older version.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::open_regular;
use crate::store::faulty::{Call, Faults};
use crate::store::open_error::OpenError;
use crate::store::{durable, filesystem};

const PREFIX: &str = "backup-before-";
const SUFFIX: &str = ".redb";

/// Copies the closed database at `path` before it is migrated to format `to`, and replaces a copy that an
/// interrupted attempt left. `room` more bytes must be free for the migration itself. A copy that does not
/// fit is removed.
pub(super) fn make(path: &Path, to: u32, room: u64, faults: Option<&Arc<Faults>>) -> Result<(), OpenError> {
    let copy = durable::parent(path).join(format!("{PREFIX}{to}{SUFFIX}"));
    let at = |source| OpenError::io(path, source);
    let mut file = open_regular(path, OpenOptions::new().read(true)).map_err(at)?;
    let bytes = file.metadata().map_err(at)?.len();
    let needed = bytes.saturating_add(room);
    if filesystem::available(durable::parent(path)).map_err(at)? < needed {
        return Err(no_room(path, needed, true));
    }
    let written = durable::write_file(&copy, 0o600, |to| {
        if let Some(faults) = faults {
            faults.step(Call::DatabaseCopy)?;
        }
        match io::copy(&mut file, to)? {
            copied if copied == bytes => Ok(()),
            _ => Err(io::Error::other("the database changed while it was copied")),
        }
    });
    match written {
        Ok(()) => {
            tracing::warn!(copy = %copy.display(), "the database of the version before is kept; remove it when it is not needed");
            Ok(())
        }
        Err(error) => Err(match error.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_room(path, needed, true),
            _ => OpenError::io(&error.path, error.source),
        }),
    }
}

/// The error that the disk of the database at `path` is too full for the copy, or for the migration.
pub(super) fn no_room(path: &Path, needed: u64, for_copy: bool) -> OpenError {
    let dir = durable::parent(path).to_owned();
    let available = filesystem::available(&dir).unwrap_or(0);
    OpenError::NoRoom { path: dir, needed, available, for_copy }
}

/// The copy that was made before the store in `data_dir` was migrated to a newer format than `known`. Of
/// several it is the one of the oldest format, which this program most likely knows.
pub(super) fn before_newer(data_dir: &Path, known: u32) -> Option<PathBuf> {
    let stamp = |name: &str| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse::<u32>().ok();
    let entries = fs::read_dir(data_dir).ok()?;
    let copies = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((stamp(entry.file_name().to_str()?)?, entry.path()))
    });
    copies.filter(|(stamp, _)| *stamp > known).min().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_of_the_copy_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("stowage.redb");
        fs::write(&database, b"rows").unwrap();
        let in_the_way = dir.path().join("backup-before-7.redb.new");
        fs::create_dir(&in_the_way).unwrap();
        match make(&database, 7, 0, None) {
            Err(OpenError::Io { path, .. }) => assert_eq!(path, in_the_way),
            other => panic!("{other:?}"),
        }
    }
}

//! A store that cannot be opened: in use, damaged, or not for this version.

use std::io;
use std::path::Path;

use super::{Exit, Failure};
use crate::app::OpenError;
use crate::cli::process;

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InUse { path, pid } => {
                let holder = pid.filter(|pid| *pid != 0).map(process::describe);
                let place = match holder {
                    Some(holder) => format!("{}   held by: {holder}", path.display()),
                    None => path.display().to_string(),
                };
                Self::new(Exit::InUse, "STORE_IN_USE", "the data is in use by another process")
                    .line("path", place)
                    .fix("stop that process first, for example: sudo systemctl stop stowage")
                    .fix("or use another place: --data-dir DIR")
            }
            OpenError::UnknownFormat { path, found, supported } => Self::new(
                Exit::Configuration,
                "FORMAT_UNKNOWN",
                "the data was written by another version of Stowage",
            )
            .line("path", path.display().to_string())
            .because(format!(
                "it has {found}; this version ({}) knows {supported}",
                env!("CARGO_PKG_VERSION")
            ))
            .fix("run the version that wrote it; nothing was changed"),
            OpenError::Damaged { path, detail } => Self::damaged(&path, &detail),
            OpenError::FileSystem { path, kind } => Self::new(
                Exit::Configuration,
                "FILE_SYSTEM_UNSAFE",
                format!("{kind} cannot keep the data safe"),
            )
            .line("path", path.display().to_string())
            .because("locks, renames or syncs do not hold there")
            .fix("use a directory on a local disk (ext4, XFS, Btrfs, ZFS): --data-dir DIR"),
            OpenError::CutOffRebuild { path } => Self::cut_off_rebuild(Exit::Integrity, &path),
            OpenError::ForeignBlobs { path } => {
                Self::new(Exit::Configuration, "FOREIGN_BLOBS", "these blobs belong to another database")
                    .line("path", path.display().to_string())
                    .fix("set storage.data_dir and storage.blob_dir to directories that belong together")
            }
            OpenError::Io { path, source } => Self::unusable(&path, &source),
        }
    }
}

impl Failure {
    /// The database at `path` is damaged.
    pub(in crate::cli) fn damaged(path: &Path, detail: &str) -> Self {
        Self::new(Exit::Integrity, "STORE_DAMAGED", "the database is damaged")
            .line("path", path.display().to_string())
            .because(detail)
            .fix("see what is affected: stowage fsck")
            .fix("then make it again from a dump: stowage rebuild --into NEW-DIR")
            .fix("or put a copy of the directory from a backup in its place; nothing was changed")
    }

    /// What is at `path` is no store.
    pub(in crate::cli) fn cut_off_rebuild(exit: Exit, path: &Path) -> Self {
        let dir = path.display().to_string();
        let quoted = shlex::try_quote(&dir).unwrap_or_default();
        Self::new(exit, "REBUILD_CUT_OFF", "a rebuild into this directory was cut off: it is not a whole store")
            .line("path", dir.as_str())
            .because("the old directory has everything; here are only second names of its blobs and part of the metadata")
            .fix(format!("remove it: rm -r {quoted}"))
            .fix(format!("then begin again: stowage rebuild --into {quoted} --data-dir OLD-DIR"))
    }

    /// The file or directory at `path` cannot be used.
    pub(in crate::cli) fn unusable(path: &Path, source: &io::Error) -> Self {
        let exit = if source.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        let failure = Self::new(exit, "STORE_UNUSABLE", format!("cannot use {}", path.display()))
            .because(source.to_string());
        match source.kind() {
            io::ErrorKind::PermissionDenied => failure
                .fix("run this as the user who owns the data, for example: sudo -u stowage stowage ...")
                .fix("or use another place: --data-dir DIR"),
            io::ErrorKind::ReadOnlyFilesystem => failure.fix("remount the file system for writing"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                failure.fix("free some space on that disk")
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => {
                failure.fix("name a directory: --data-dir DIR")
            }
            _ => failure,
        }
    }
}

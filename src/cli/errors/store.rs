//! Failures to open a store: in use, damaged, or of an unknown format.

use std::io;
use std::path::Path;

use super::{Exit, Failure};
use crate::cli::process;
use crate::config::{sudo_user, user_name};
use crate::model::units::human_size;
use crate::store::open::OpenError;

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
            OpenError::UnknownFormat { path, found, supported, copy } => {
                Self::unknown_format(&path, &found, &supported, copy.as_deref())
            }
            OpenError::OldFormat { path, schema } => Self::new(
                Exit::Configuration,
                "FORMAT_OLD",
                "the data was written by an older version of Stowage",
            )
            .line("path", path.display().to_string())
            .because(format!("it has format {schema}; nothing was changed"))
            .fix("start the server once: it keeps a copy of the database and migrates it"),
            OpenError::NoRoom { path, needed, available, for_copy } => {
                Self::no_room(&path, needed, available, for_copy)
            }
            OpenError::Damaged { path, detail } => Self::damaged(&path, &detail),
            OpenError::DatabaseMissing { path, saved } => Self::database_missing(&path, saved.as_deref()),
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
            OpenError::NamelessBlobs { path, data_dir } => Self::new(
                Exit::Configuration,
                "FOREIGN_BLOBS",
                "these blobs do not say that they belong to this database",
            )
            .line("path", path.display().to_string())
            .because("there are blobs, and no LOCK file with the id of the store")
            .fix("set storage.data_dir and storage.blob_dir to directories that belong together")
            .fix(format!(
                "or, if you moved the blobs of this store here: cp {} {}",
                data_dir.join("LOCK").display(),
                path.join("LOCK").display()
            )),
            OpenError::BlobsMissing { path } => Self::blobs_missing(&path),
            OpenError::OtherOwner { path, owner, caller } => Self::not_owner(
                format!("the store in {} belongs to another user", path.display()),
                owner,
                caller,
            )
            .fix(format!("run it as the owner: sudo -u {} stowage ...", sudo_user(owner)))
            .fix(format!("or give the whole directory to you: chown -R {caller} {}", path.display())),
            OpenError::OthersWrite { path, mode } => Self::new(
                Exit::Configuration,
                "DIRECTORY_OPEN",
                format!("every user of this computer can write to {}", path.display()),
            )
            .because(format!("its mode is {mode:04o}: they could replace the keys that sign tokens"))
            .fix(format!("chmod o-w {}", path.display()))
            .fix(format!("or use a directory below it: --data-dir {}", path.join("stowage").display())),
            OpenError::Io { path, source } => Self::unusable(&path, &source),
        }
    }
}

/// Refuses a `caller` who is not the `owner` of `directory`, because files of another user in it could keep
/// the server from using it. `command` is what the owner can run.
pub(in crate::cli) fn refuse_stranger(
    directory: &str,
    command: &str,
    owner: u32,
    caller: u32,
) -> Result<(), Failure> {
    if owner == caller {
        return Ok(());
    }
    let failure = Failure::not_owner(format!("{directory} belongs to another user"), owner, caller);
    Err(failure.fix(format!("sudo -u {} stowage {command}", sudo_user(owner))))
}

impl Failure {
    /// The database at `path` is damaged.
    pub(in crate::cli) fn damaged(path: &Path, detail: &str) -> Self {
        Self::new(Exit::Integrity, "STORE_DAMAGED", "the database is damaged")
            .line("path", path.display().to_string())
            .because(detail)
            .fix("see what is affected: stowage fsck")
            .fix("then recover it from a dump: stowage rebuild --into NEW-DIR")
            .fix("or put a copy of the directory from a backup in its place; nothing was changed")
    }

    fn unknown_format(path: &Path, found: &str, supported: &str, copy: Option<&Path>) -> Self {
        let what = "the data was written by another version of Stowage";
        let failure = Self::new(Exit::Configuration, "FORMAT_UNKNOWN", what)
            .line("path", path.display().to_string())
            .because(format!(
                "it has {found}; this version ({}) knows {supported}",
                env!("CARGO_PKG_VERSION")
            ))
            .fix("run the version that wrote it; nothing was changed");
        match copy {
            Some(copy) => failure.fix(format!(
                "or go back to the copy that was made before the upgrade, and lose every change since then: mv {} {}",
                copy.display(),
                path.display()
            )),
            None => failure,
        }
    }

    fn no_room(path: &Path, needed: u64, available: u64, for_copy: bool) -> Self {
        let because = if for_copy {
            "before the data is migrated, its database is copied; nothing was changed"
        } else {
            "the migration has begun; the next start goes on with it, and nothing is lost"
        };
        let missing = needed.saturating_sub(available).max(1);
        Self::new(Exit::Failed, "NO_SPACE", "the disk has no space to migrate the data to this version")
            .line("path", path.display().to_string())
            .line("needs", format!("{} ({needed} bytes)", human_size(needed)))
            .line("free", format!("{} ({available} bytes)", human_size(available)))
            .because(because)
            .fix(format!("free at least {} on that disk, and start the server again", human_size(missing)))
    }

    fn database_missing(path: &Path, saved: Option<&Path>) -> Self {
        let failure = Self::new(Exit::Integrity, "STORE_DAMAGED", "the database is missing")
            .line("path", path.display().to_string())
            .because("the file is missing, but its store was here");
        let failure = match saved {
            Some(saved) => failure.fix(format!(
                "a server saved it when it was removed: mv {} {}",
                saved.display(),
                path.display()
            )),
            None => failure.fix("put the file back, if it was moved"),
        };
        failure
            .fix("or recover it from a dump: stowage rebuild --into NEW-DIR")
            .fix("or put a copy of the directory from a backup in its place; nothing was changed")
    }

    fn blobs_missing(path: &Path) -> Self {
        let blobs = path.join("blobs");
        Self::new(Exit::Integrity, "BLOBS_MISSING", format!("the blobs are missing: there is no {}", blobs.display()))
            .because("the database is there; nothing was changed")
            .fix(format!("mount the disk that holds {}, or restore it from a backup", path.display()))
            .fix(format!(
                "or, if the blobs are lost for good: mkdir -p {}, start again, and push the images that stowage fsck lists",
                blobs.display()
            ))
    }

    /// The store at `path` is incomplete.
    pub(in crate::cli) fn cut_off_rebuild(exit: Exit, path: &Path) -> Self {
        let dir = path.display().to_string();
        let quoted = shlex::try_quote(&dir).unwrap_or_default();
        Self::new(exit, "REBUILD_CUT_OFF", "a rebuild into this directory was interrupted: the store is not complete")
            .line("path", dir.as_str())
            .because("the old directory has everything; here are only second names of its blobs and part of the metadata")
            .fix(format!("remove it: rm -r {quoted}"))
            .fix(format!("then start again: stowage rebuild --into {quoted} --data-dir OLD-DIR"))
    }

    /// `what` names the directory that belongs to `owner` and not to the user who ran the command.
    fn not_owner(what: String, owner: u32, caller: u32) -> Self {
        let (owner, caller) = (user_name(owner), user_name(caller));
        Self::new(Exit::Failed, "NOT_OWNER", what).because(format!(
            "its owner is {owner}, you are {caller}: {owner} could not use the files that you create"
        ))
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

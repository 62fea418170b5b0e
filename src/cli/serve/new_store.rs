//! Checks the directories of a new store. They must be its own, because a store creates `blobs` and `uploads`
//! there, and removes unknown files from `uploads`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::cli::data_dir;
use crate::cli::errors::{Exit, Failure};
use crate::config::{Environment, Loaded, Source};
use crate::store::lock::{self, LOCK_FILE};

/// Files that an interrupted first start or rebuild leaves before its database is complete.
const OWN: [&str; 7] =
    [LOCK_FILE, "stowage.redb.new", "rebuild.new", "blobs", "uploads", "quarantine", "dumps"];
/// Files that file systems and storage appliances create in every directory.
const OF_FILE_SYSTEM: [&str; 3] = ["lost+found", "@eaDir", "#recycle"];
/// The most names in the error.
const NAMED: usize = 5;

/// Refuses to create a store in a directory that holds other files. Existing stores, hidden files, and files
/// that the settings name are not refused.
pub(super) fn refuse_foreign_files(
    loaded: &Loaded,
    environment: &Environment,
    data_dir: &Path,
    blob_dir: &Path,
) -> Result<(), Failure> {
    if data_dir::has_store(data_dir) || lock::peek(blob_dir).is_some() {
        return Ok(());
    }
    let named = files_in_settings(loaded, environment);
    for (key, dir) in [("storage.data_dir", data_dir), ("storage.blob_dir", blob_dir)] {
        let found = foreign(dir, &named)?;
        if !found.is_empty() {
            return Err(refused(loaded, key, dir, &found));
        }
    }
    Ok(())
}

/// Names in the directory that a store does not create.
fn foreign(dir: &Path, named: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // It will be created, or the start reports what is in its place.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Failure::unusable(dir, &error)),
    };
    // The lock file is created first, so without it even a directory `uploads` is foreign. An empty
    // directory, on which perhaps a disk is mounted, is accepted.
    let was_begun = dir.join(LOCK_FILE).exists();
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::unusable(dir, &error))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_own = OWN.contains(&name.as_str()) && (was_begun || is_empty(&path));
        let is_named = named.iter().any(|named| named.starts_with(&path));
        if !is_own && !is_named && !is_ignored(&name) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || OF_FILE_SYSTEM.contains(&name)
}

/// Whether the path is a directory, not a link to one, that is empty except for files of [`OF_FILE_SYSTEM`].
fn is_empty(path: &Path) -> bool {
    let is_dir = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_dir
        && fs::read_dir(path).is_ok_and(|mut entries| {
            entries.all(|entry| entry.is_ok_and(|entry| is_ignored(&entry.file_name().to_string_lossy())))
        })
}

/// Files that the settings name: a container often has its settings and its certificate in the volume of its
/// data.
fn files_in_settings(loaded: &Loaded, environment: &Environment) -> Vec<PathBuf> {
    let config = &loaded.config;
    let secrets =
        [&config.server.tls.cert_file, &config.server.tls.key_file, &config.auth.initial_admin_password_file];
    let secrets =
        secrets.into_iter().filter(|file| file.is_set()).filter_map(|file| file.path(environment).ok());
    let beside = loaded.file.iter().map(|file| file.with_file_name("conf.d"));
    let all = loaded.file.iter().cloned().chain(beside).chain(secrets);
    all.filter_map(|file| std::path::absolute(file).ok()).collect()
}

fn refused(loaded: &Loaded, key: &str, dir: &Path, found: &[String]) -> Failure {
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown: Vec<&str> = found.iter().take(NAMED).map(String::as_str).collect();
    let below = dir.join("stowage").display().to_string();
    let is_flag =
        key == "storage.data_dir" && matches!(loaded.source(key), Source::Flag(_) | Source::Default);
    let fix = if is_flag {
        let below = shlex::try_quote(&below).unwrap_or_default().into_owned();
        format!("use a directory below it: stowage serve --data-dir {below}")
    } else {
        format!("use a directory below it: {key} = {below:?}")
    };
    Failure::new(
        Exit::Configuration,
        "DIRECTORY_NOT_EMPTY",
        format!("{} is not empty: a new store needs a directory of its own", dir.display()),
    )
    .line("found", format!("{}{more}", shown.join(", ")))
    .because("the store removes files from directories such as uploads")
    .fix(fix)
    .fix("or move the other files away")
}

//! The settings of one run of a command, from files, environment and flags.

use std::path::{Path, PathBuf};

use super::errors::Failure;
use super::global::Global;
use crate::config;
use crate::config::Environment;
use crate::config::Flags;
use crate::config::Loaded;
use crate::store::lock;
use crate::telemetry::Stderr;

/// What a data directory has once its store was made.
const DATABASE: &str = "stowage.redb";

/// Reads the configuration and refuses what is not safe.
pub(super) fn load(global: &Global, environment: &Environment, flags: Flags) -> Result<Loaded, Failure> {
    let request = config::Request::new(global.config.clone(), environment.clone(), flags);
    Ok(config::load(&request)?.checked()?)
}

/// The directories of data and blobs, so that it does not matter where this process goes.
pub(super) fn directories(loaded: &Loaded, environment: &Environment) -> Result<(PathBuf, PathBuf), Failure> {
    let absolute =
        |path: PathBuf| std::path::absolute(&path).map_err(|error| Failure::unusable(&path, &error));
    let data_dir = absolute(config::data_dir(&loaded.config, loaded.file.as_deref(), environment))?;
    let blob_dir = absolute(config::blob_dir(&loaded.config, &data_dir))?;
    Ok((data_dir, blob_dir))
}

/// What is at the other end of stderr.
pub(super) fn stderr(global: &Global, environment: &Environment) -> Stderr {
    let is_dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
    let color = !global.no_color && !is_dumb && environment.get("NO_COLOR").is_none();
    Stderr::detect(color, environment.get("JOURNAL_STREAM").and_then(|value| value.to_str()))
}

/// Whether the directory is that of a store: its database is there, or was and is missing.
pub(super) fn has_store(data_dir: &Path) -> bool {
    // A symbolic link that leads nowhere is a database that is missing.
    data_dir.join(DATABASE).symlink_metadata().is_ok() || lock::peek(data_dir).is_some()
}

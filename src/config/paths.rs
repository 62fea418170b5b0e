//! The default paths of data and sockets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::loaded::{Loaded, Source};
use super::settings::Config;

/// The configuration file that is read if it exists and no other is named.
pub(super) const PACKAGED_FILE: &str = "/etc/stowage/stowage.toml";
const PACKAGED_DATA: &str = "/var/lib/stowage";
const PACKAGED_RUN: &str = "/run/stowage";
const SOCKET: &str = "admin.sock";

/// The data directory: the setting; else systemd's; else the package's, if its configuration file is used;
/// else the user's.
pub fn data_dir(config: &Config, file: Option<&Path>, environment: &Environment) -> PathBuf {
    if !config.storage.data_dir.as_os_str().is_empty() {
        return config.storage.data_dir.clone();
    }
    if let Some(state) = environment.get("STATE_DIRECTORY").and_then(first_of_list) {
        return state;
    }
    if file == Some(Path::new(PACKAGED_FILE)) {
        return PathBuf::from(PACKAGED_DATA);
    }
    // The XDG Base Directory Specification says to ignore relative paths.
    let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(data_home) = absolute("XDG_DATA_HOME") {
        return data_home.join("stowage");
    }
    match absolute("HOME") {
        Some(home) => home.join(".local/share/stowage"),
        None => PathBuf::from(PACKAGED_DATA),
    }
}

/// The directory that holds `blobs`, `uploads` and `quarantine`: the setting, else the data directory.
pub fn blob_dir(config: &Config, data_dir: &Path) -> PathBuf {
    let set = &config.storage.blob_dir;
    if set.as_os_str().is_empty() { data_dir.to_owned() } else { set.clone() }
}

/// The path of the admin socket, if it is enabled: the setting; else in a data directory given by a flag, so
/// that a second server has its own; else the package's, if its configuration file is used; else in a data
/// directory that is set; else in the user's runtime directory; else in the data directory.
pub fn admin_socket(loaded: &Loaded, environment: &Environment, data_dir: &Path) -> Option<PathBuf> {
    let config = &loaded.config;
    let socket = &config.auth.admin_socket;
    if !socket.enabled {
        return None;
    }
    if !socket.path.as_os_str().is_empty() {
        return Some(socket.path.clone());
    }
    let own = own_socket(data_dir);
    if matches!(loaded.source("storage.data_dir"), Source::Flag(_)) {
        return Some(own);
    }
    if loaded.file.as_deref() == Some(Path::new(PACKAGED_FILE)) {
        return Some(Path::new(PACKAGED_RUN).join(SOCKET));
    }
    if !config.storage.data_dir.as_os_str().is_empty() {
        return Some(own);
    }
    let runtime = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    Some(
        runtime
            .filter(|runtime| is_of_this_user(runtime))
            .map_or(own, |runtime| runtime.join("stowage").join(SOCKET)),
    )
}

/// The admin socket inside the data directory.
pub fn own_socket(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

/// `su` and `sudo` may leave the variable of another user in the environment.
fn is_of_this_user(directory: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    directory.is_absolute()
        && std::fs::metadata(directory).is_ok_and(|found| found.is_dir() && found.uid() == user)
}

// systemd separates several directories with colons.
fn first_of_list(list: &OsStr) -> Option<PathBuf> {
    let first = list.as_bytes().split(|byte| *byte == b':').next()?;
    (!first.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(first)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_data_directory_follows_its_table() {
        let home = ("HOME", "/home/hanna");
        let state = ("STATE_DIRECTORY", "/var/lib/stowage-two");
        let packaged = Some(PACKAGED_FILE);
        let own = Some("/home/hanna/stowage.toml");
        for (set, file, environment, expected) in [
            ("/srv/data", packaged, vec![home, state], "/srv/data"),
            ("data", None, vec![home], "data"),
            ("", packaged, vec![home, state], "/var/lib/stowage-two"),
            ("", None, vec![home, state], "/var/lib/stowage-two"),
            ("", None, vec![("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")], "/var/lib/a"),
            ("", packaged, vec![home, ("XDG_DATA_HOME", "/x")], "/var/lib/stowage"),
            ("", own, vec![home, ("XDG_DATA_HOME", "/x")], "/x/stowage"),
            ("", None, vec![home, ("XDG_DATA_HOME", "relative")], "/home/hanna/.local/share/stowage"),
            ("", None, vec![home, ("XDG_DATA_HOME", "")], "/home/hanna/.local/share/stowage"),
            ("", None, vec![home], "/home/hanna/.local/share/stowage"),
            ("", own, vec![home, ("STATE_DIRECTORY", "")], "/home/hanna/.local/share/stowage"),
            ("", None, vec![], "/var/lib/stowage"),
        ] {
            let mut config = Config::default();
            config.storage.data_dir = set.into();
            let shown = format!("{set:?} {file:?} {environment:?}");
            let environment: Environment = environment.into_iter().collect();
            assert_eq!(data_dir(&config, file.map(Path::new), &environment), Path::new(expected), "{shown}");
        }
    }

    #[test]
    fn the_admin_socket_follows_its_table() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().to_str().unwrap();
        let (runtime, in_own) = (("XDG_RUNTIME_DIR", own), format!("{own}/stowage/admin.sock"));
        let (file, flag) = (Source::File { path: "x".into(), line: 1 }, Source::Flag("--data-dir"));
        for (path, set, file, environment, expected) in [
            ("/x.sock", Some(&flag), Some(PACKAGED_FILE), vec![runtime], "/x.sock"),
            ("", Some(&flag), Some(PACKAGED_FILE), vec![runtime], "/data/admin.sock"),
            ("", Some(&file), Some(PACKAGED_FILE), vec![runtime], "/run/stowage/admin.sock"),
            ("", None, Some(PACKAGED_FILE), vec![], "/run/stowage/admin.sock"),
            ("", Some(&file), Some("/own.toml"), vec![runtime], "/data/admin.sock"),
            ("", None, None, vec![runtime], in_own.as_str()),
            ("", None, None, vec![("XDG_RUNTIME_DIR", "/run/user/nobody")], "/data/admin.sock"),
            ("", None, None, vec![("XDG_RUNTIME_DIR", "/proc/version")], "/data/admin.sock"),
            ("", None, None, vec![("XDG_RUNTIME_DIR", "relative")], "/data/admin.sock"),
            ("", None, None, vec![], "/data/admin.sock"),
        ] {
            let mut config = Config::default();
            config.auth.admin_socket.path = path.into();
            let mut sources = BTreeMap::new();
            if let Some(source) = set {
                config.storage.data_dir = "/data".into();
                sources.insert("storage.data_dir".to_owned(), source.clone());
            }
            let mut loaded = Loaded { config, file: file.map(PathBuf::from), sources };
            let environment: Environment = environment.into_iter().collect();
            let found = admin_socket(&loaded, &environment, Path::new("/data"));
            assert_eq!(found.as_deref(), Some(Path::new(expected)));
            loaded.config.auth.admin_socket.enabled = false;
            assert_eq!(admin_socket(&loaded, &environment, Path::new("/data")), None);
        }
    }

    #[test]
    fn blobs_stay_in_the_data_directory_unless_set() {
        let mut config = Config::default();
        assert_eq!(blob_dir(&config, Path::new("/data")), Path::new("/data"));
        config.storage.blob_dir = "/big".into();
        assert_eq!(blob_dir(&config, Path::new("/data")), Path::new("/big"));
    }
}

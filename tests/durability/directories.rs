//! Directories that were exchanged, or that belong to another server: the start is refused, says why, and
//! leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use tempfile::TempDir;

use crate::process::{Ended, Stowage, assert_whole, directory_in_memory, note, run, run_with};
use crate::support::content::{bytes, push_blob};

const BLOB_DIR: &str = "STOWAGE__STORAGE__BLOB_DIR";

/// A store whose blobs are in a directory of their own.
struct Split {
    dir: TempDir,
}

impl Split {
    fn new(seed: u64) -> Self {
        let split = Self { dir: directory_in_memory() };
        for name in ["data", "blobs"] {
            fs::create_dir(split.dir.path().join(name)).expect("a directory");
        }
        let server = split.start();
        push_blob(&server.client(), "team/app", &bytes(seed, 1_000));
        server.stop();
        split
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn blobs(&self) -> std::path::PathBuf {
        self.dir.path().join("blobs")
    }

    fn start(&self) -> Stowage {
        Stowage::start_with(&self.data(), &[(BLOB_DIR, self.blobs().to_str().expect("text"))])
    }

    fn refused(&self) -> Ended {
        let variables = [(BLOB_DIR, self.blobs().to_str().expect("text").to_owned())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        refused(&self.data(), &variables)
    }
}

#[track_caller]
fn refused(dir: &Path, variables: &[(&str, &str)]) -> Ended {
    let ended = run_with("serve", &["--anonymous", "--listen", "127.0.0.1:0"], dir, variables);
    assert!(ended.code.is_some_and(|code| code != 0) && ended.stderr.contains("fix:"), "{ended:?}");
    ended
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).expect("a directory").next().is_none()
}

#[test]
fn blobs_without_the_id_of_their_store_are_not_adopted() {
    let (one, other) = (Split::new(1), Split::new(2));
    fs::rename(one.blobs(), one.dir.path().join("own")).unwrap();
    fs::rename(other.blobs(), one.blobs()).unwrap();
    fs::remove_file(one.blobs().join("LOCK")).unwrap();
    let ended = one.refused();
    assert!(ended.stderr.contains("do not say that they belong"), "{ended:?}");
    assert!(
        one.refused().stderr.contains("do not say that they belong"),
        "the first refusal gave them an id"
    );
    // If the blobs were moved on purpose, the message says how to declare that.
    fs::remove_dir_all(one.blobs()).unwrap();
    fs::rename(one.dir.path().join("own"), one.blobs()).unwrap();
    fs::remove_file(one.blobs().join("LOCK")).unwrap();
    let ended = one.refused();
    let copy = format!("cp {}/LOCK {}/LOCK", one.data().display(), one.blobs().display());
    assert!(ended.stderr.contains(&copy), "{ended:?}");
    fs::copy(one.data().join("LOCK"), one.blobs().join("LOCK")).unwrap();
    one.start().stop();
}

#[test]
fn a_refused_start_leaves_nothing_in_an_empty_mount_point() {
    let split = Split::new(1);
    let away = split.dir.path().join("away");
    for below in [false, true] {
        fs::rename(split.blobs(), &away).unwrap();
        if !below {
            fs::create_dir(split.blobs()).unwrap();
        }
        let ended = split.refused();
        assert!(ended.code == Some(7) && ended.stderr.contains("mount the disk"), "{ended:?}");
        if below {
            assert!(!split.blobs().exists());
        } else {
            assert!(is_empty(&split.blobs()));
            fs::remove_dir(split.blobs()).unwrap();
        }
        fs::rename(&away, split.blobs()).unwrap();
    }
    // The same with the disk of the data directory.
    fs::rename(split.data(), &away).unwrap();
    fs::create_dir(split.data()).unwrap();
    let ended = split.refused();
    assert!(ended.code == Some(7) && ended.stderr.contains("stowage.redb"), "{ended:?}");
    assert!(is_empty(&split.data()));
    fs::remove_dir(split.data()).unwrap();
    fs::rename(&away, split.data()).unwrap();
    split.start().stop();
}

#[test]
fn lost_blobs_are_named_with_what_helps() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    push_blob(&server.client(), "team/app", &bytes(1, 1_000));
    server.stop();
    fs::remove_dir_all(dir.path().join("blobs")).unwrap();
    let make = format!("mkdir -p {}", dir.path().join("blobs").display());
    for ended in [refused(dir.path(), &[]), run("fsck", &[], dir.path())] {
        assert!(ended.code == Some(7) && ended.stderr.contains(&make), "{ended:?}");
        assert!(!ended.stderr.contains("--data-dir DIR"), "{ended:?}");
    }
    fs::create_dir(dir.path().join("blobs")).unwrap();
    let server = Stowage::start(dir.path());
    push_blob(&server.client(), "team/app", &bytes(1, 1_000));
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_directory_that_everybody_may_write_to_is_refused() {
    let dir = directory_in_memory();
    for mode in [0o777, 0o1777, 0o702] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let ended = refused(dir.path(), &[]);
        let fix = format!("chmod o-w {}", dir.path().display());
        assert!(ended.code == Some(3) && ended.stderr.contains(&fix), "{mode:o}: {ended:?}");
        assert!(is_empty(dir.path()));
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o775)).unwrap();
    Stowage::start(dir.path()).stop();
    let blobs = directory_in_memory();
    fs::set_permissions(blobs.path(), Permissions::from_mode(0o777)).unwrap();
    let data = directory_in_memory();
    let ended = refused(data.path(), &[(BLOB_DIR, blobs.path().to_str().unwrap())]);
    assert!(ended.stderr.contains(&blobs.path().display().to_string()), "{ended:?}");
}

#[test]
fn the_store_of_another_user_is_refused_and_a_volume_of_anybody_is_not() {
    const OTHER: u32 = 54_321;
    let dir = directory_in_memory();
    Stowage::start(dir.path()).stop();
    if chown(dir.path(), Some(OTHER), None).is_err() {
        return note("left out: only root can give files to another user");
    }
    // The owner of the directory alone does not matter.
    Stowage::start(dir.path()).stop();
    chown(dir.path().join("stowage.redb"), Some(OTHER), None).unwrap();
    let before = fs::read(dir.path().join("LOCK")).unwrap();
    let ended = refused(dir.path(), &[]);
    assert!(ended.stderr.contains(&format!("sudo -u '#{OTHER}'")), "{ended:?}");
    assert_eq!(fs::read(dir.path().join("LOCK")).unwrap(), before, "nothing was changed");
    // The message has the complete command for a rebuild.
    let into = dir.path().join("new").display().to_string();
    let ended = run("rebuild", &["--into", &into], dir.path());
    let again =
        format!("sudo -u '#{OTHER}' stowage rebuild --into {into} --data-dir {}", dir.path().display());
    assert!(ended.stderr.contains(&again), "{ended:?}");
}

#[test]
fn commands_reach_the_server_of_a_data_directory_with_a_long_path() {
    let dir = directory_in_memory();
    let long = dir.path().join("a".repeat(60)).join("b".repeat(60));
    let server = Stowage::start(&long);
    let ended = run("status", &["--json"], &long);
    assert!(ended.code == Some(0) && ended.stdout.contains("\"running\":true"), "{ended:?}");
    server.stop();
    assert!(!long.join("admin.sock").exists());
    let ended = run("repo", &["list"], &long);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

//! Foreign objects in the place of the server's files: FIFOs, links, directories. Nothing may hang, nothing
//! foreign may be written to, and a refusal names the file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::behind::blob_file;
use crate::process::{Stowage, assert_whole, directory_in_memory, refused_start, run};
use crate::support::content::{bytes, push_blob};
use crate::support::eventually;

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
}

/// Asserts that the start is refused and names the file.
#[track_caller]
fn assert_start_names(dir: &Path, file: &Path) {
    let refused = refused_start(dir);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains(&file.display().to_string()), "{refused:?}");
}

#[test]
fn a_fifo_in_the_place_of_a_blob_holds_nobody_up_and_is_healed_by_a_push() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    let client = server.client();
    for (seed, size) in [(1, 1_000), (2, 200_000)] {
        let content = bytes(seed, size);
        let digest = push_blob(&client, "team/app", &content);
        let path = format!("/v2/team/app/blobs/{digest}");
        fifo(&blob_file(dir.path(), &digest));
        let checked = run("fsck", &["--deep"], dir.path());
        assert!(checked.code == Some(7) && checked.stdout.contains(&digest), "{checked:?}");
        client.get(&path).expect(404);
        client.head(&path).expect(404);
        push_blob(&client, "team/app", &content);
        assert!(client.get(&path).expect(200).body == content);
    }
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_fifo_in_the_place_of_a_file_of_the_store_is_refused() {
    for name in ["stowage.redb", "LOCK", "keys/registry-token.p8"] {
        let dir = directory_in_memory();
        Stowage::start(dir.path()).stop();
        let file = dir.path().join(name);
        fifo(&file);
        assert_start_names(dir.path(), &file);
        if name == "stowage.redb" {
            let checked = run("fsck", &[], dir.path());
            assert_ne!(checked.code, Some(0), "{checked:?}");
        }
    }
}

#[test]
fn a_fifo_as_reserve_changes_nothing() {
    let dir = directory_in_memory();
    Stowage::start(dir.path()).stop();
    fifo(&dir.path().join("reserve"));
    let server = Stowage::start(dir.path());
    push_blob(&server.client(), "team/app", b"x");
    server.stop();
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    for (name, starts) in [
        ("reserve", true),
        ("LOCK", false),
        ("stowage.redb.new", true),
        ("keys/registry-token.p8.new", true),
        ("keys/registry-token.p8", false),
        ("initial-admin-password", true),
        ("initial-admin-password.new", true),
    ] {
        let dir = directory_in_memory();
        Stowage::start(dir.path()).stop();
        let precious = dir.path().join("precious");
        fs::write(&precious, "abc").unwrap();
        let link = dir.path().join(name);
        let _ = fs::remove_file(&link);
        symlink(&precious, &link).unwrap();
        if starts {
            let server = Stowage::start(dir.path());
            push_blob(&server.client(), "team/app", b"x");
            server.stop();
        } else {
            assert_start_names(dir.path(), &link);
        }
        assert_eq!(fs::read(&precious).unwrap(), b"abc", "{name}");
    }
}

#[test]
fn directories_of_the_server_that_are_symbolic_links_are_not_followed() {
    for name in ["blobs", "uploads", "quarantine", "blobs/sha256", "blobs/blake3/7f", "keys"] {
        let (dir, target) = (directory_in_memory(), directory_in_memory());
        Stowage::start(dir.path()).stop();
        let link = dir.path().join(name);
        // The link leads to the complete old content, but a link itself is refused.
        let moved = target.path().join("moved");
        fs::rename(&link, &moved).unwrap();
        symlink(&moved, &link).unwrap();
        let before = fs::read_dir(&moved).unwrap().count();
        assert_start_names(dir.path(), &link);
        assert_eq!(fs::read_dir(&moved).unwrap().count(), before, "{name}");
        fs::remove_file(&link).unwrap();
        fs::rename(&moved, &link).unwrap();
        Stowage::start(dir.path()).stop();
    }
}

#[test]
fn no_dump_is_written_through_a_symbolic_link() {
    let (dir, target) = (directory_in_memory(), directory_in_memory());
    Stowage::start(dir.path()).stop();
    let link = dir.path().join("dumps");
    // The store may have made a dump already.
    let _ = fs::remove_dir_all(&link);
    let foreign = target.path().join("rows-00000001.dump.new");
    fs::write(&foreign, "abc").unwrap();
    symlink(target.path(), &link).unwrap();
    let server = Stowage::start_with(dir.path(), &[("STOWAGE__STORAGE__DUMPS__EVERY", "1s")]);
    let warned = || {
        let log = server.log();
        log.contains("could not be dumped")
            && log.contains(&format!("{}: it is a symbolic link", link.display()))
    };
    eventually("the log tells of the link", warned);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
    assert_eq!(
        fs::read(&foreign).unwrap(),
        b"abc",
        "what a dump has left is removed from its own directory alone"
    );
    server.stop();
}

#[test]
fn uploads_go_on_after_their_directory_was_removed() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    for made_again in [false, true] {
        fs::remove_dir_all(dir.path().join("uploads")).unwrap();
        if made_again {
            fs::create_dir(dir.path().join("uploads")).unwrap();
        }
        push_blob(&server.client(), "team/app", &bytes(u64::from(made_again), 100_000));
    }
    assert!(server.log().contains("uploads"), "{}", server.log());
    server.stop();
    assert_whole(dir.path());
}

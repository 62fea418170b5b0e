//! Commands find the server whatever its environment was, and suggest complete commands.

use std::fs;
use std::path::Path;

use crate::admin::program::{PASSWORD, Place};

#[test]
fn a_server_is_found_without_the_runtime_directory_that_it_had() {
    let place = Place::new();
    let home = place.directory.path().to_str().unwrap();
    let runtime = place.directory.path().join("run");
    fs::create_dir(&runtime).unwrap();
    let server = place.serve_as(&[], &[("XDG_RUNTIME_DIR", runtime.to_str().unwrap())]);
    assert!(runtime.join("stowage/admin.sock").exists());
    // Environments as in a cron job, after `su`, or in a container.
    for environment in [&[][..], &[("XDG_RUNTIME_DIR", "/run/user/nobody")], &[("XDG_RUNTIME_DIR", home)]] {
        let environment = [&[("HOME", home)][..], environment].concat();
        let ran = place.run_elsewhere(&["user", "list"], &environment).expect(0);
        assert!(ran.stdout.contains("admin") && ran.stderr.is_empty(), "{ran:?}");
    }
    server.stop();
    place.run_elsewhere(&["user", "list"], &[("HOME", home)]).expect(0);
}

#[test]
fn without_a_usable_runtime_directory_the_socket_is_in_the_data_directory() {
    let place = Place::new();
    let data = place.directory.path().join(".local/share/stowage");
    let server = place.serve_as(&[], &[("XDG_RUNTIME_DIR", "/run/user/nobody")]);
    assert!(data.join("admin.sock").exists());
    assert!(!server.stop().contains("no admin socket"));
    // A directory in which no socket can be created.
    let blocked = place.directory.path().join("run");
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("stowage"), "in the way").unwrap();
    let server = place.serve_as(&[], &[("XDG_RUNTIME_DIR", blocked.to_str().unwrap())]);
    assert!(data.join("admin.sock").exists());
    assert!(server.stop().contains("the admin socket is in the data directory instead"));
}

#[test]
fn who_did_not_type_offline_is_not_told_to_drop_it() {
    let place = Place::new();
    let _server = place.serve_with(&[("STOWAGE__AUTH__ADMIN_SOCKET__ENABLED", "false")]);
    for command in [&["user", "list"][..], &["fsck"]] {
        let ran = place.run(command).expect(9);
        assert!(ran.stderr.contains("why:   it answers at no admin socket"), "{ran:?}");
        assert!(!ran.stderr.contains("offline"), "{ran:?}");
    }
    let data = place.data();
    let ran =
        place.run_elsewhere(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()], &[]);
    let ran = ran.expect(9);
    assert!(!ran.stderr.contains("offline"), "{ran:?}");
}

#[test]
fn the_socket_of_a_killed_server_leads_to_no_other_one() {
    let place = Place::new();
    let other = Place::new();
    let socket = place.directory.path().join("admin.sock");
    let settings = [("STOWAGE__AUTH__ADMIN_SOCKET__PATH", socket.to_str().unwrap())];
    place.serve_with(&settings).kill();
    let _server = other.serve_with(&settings);
    other.run_with(&["user", "add", "otto", "--password-stdin"], PASSWORD).expect(0);
    let ran = place.run(&["user", "list"]).expect(0);
    assert!(ran.stdout.contains("admin") && !ran.stdout.contains("otto"), "{ran:?}");
}

/// Other servers may run on this computer.
#[test]
fn a_server_with_its_data_elsewhere_is_looked_for() {
    let place = Place::new();
    let _server = place.serve();
    // A configuration that is named, or installed, says where the data is: then no other server is searched.
    if !Path::new("/etc/stowage/stowage.toml").exists() {
        let ran = place.run_elsewhere(&["user", "list"], &[("STOWAGE_CONFIG", "")]);
        assert!([0, 2].contains(&ran.exit), "{ran:?}");
        assert!(ran.stderr.contains(place.data().to_str().unwrap()), "{ran:?}");
    }
    let ran = place.run_elsewhere(&["user", "list", "--data-dir", "/nowhere"], &[]).expect(5);
    assert!(ran.stderr.contains(&format!("--data-dir {}", place.data().display())), "{ran:?}");
    assert!(ran.stderr.contains("start the server: stowage serve --data-dir /nowhere"), "{ran:?}");
}

#[test]
fn suggested_commands_name_the_same_data() {
    let place = Place::new();
    let _server = place.serve();
    let ran = place.run(&["user", "show", "omar"]).expect(5);
    let fix = format!("fix:   stowage user list --data-dir {}\n", place.data().display());
    assert!(ran.stderr.contains(&fix), "{ran:?}");
    let document = place.run(&["user", "show", "omar", "--json"]).expect(5).json();
    let fix = format!("stowage user list --data-dir {}", place.data().display());
    assert_eq!(document["error"]["fix"], fix.as_str());
}

//! The first start: whatever the configuration, there is an admin who can sign in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::admin::program::Place;

#[test]
fn a_new_store_has_an_admin_also_with_a_configuration_file() {
    let place = Place::new();
    let file = place.directory.path().join("stowage.toml");
    fs::write(&file, format!("[storage]\ndata_dir = {:?}\n", place.data())).unwrap();
    let server = place.serve_as(&["--config", file.to_str().unwrap()], &[]);
    let password_file = place.data().join("initial-admin-password");
    assert_eq!(fs::metadata(&password_file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = fs::read_to_string(&password_file).unwrap();
    server.client().basic("admin", password.trim()).get("/v2/").expect(200);
    let log = server.stop();
    assert!(log.contains(password_file.to_str().unwrap()), "{log}");
    assert!(!log.contains(password.trim()), "{log}");
    // A later start creates no other admin.
    let log = place.serve_as(&["--config", file.to_str().unwrap()], &[]).stop();
    assert!(!log.contains("first admin"), "{log}");
}

#[test]
fn a_store_that_was_open_gets_an_admin_once_it_is_not() {
    let place = Place::new();
    let data = place.data();
    let flags = ["--data-dir", data.to_str().unwrap()];
    let server = place.serve_as(&[&flags[..], &["--anonymous"]].concat(), &[]);
    server.client().get("/v2/").expect(200);
    server.stop();
    assert!(!data.join("initial-admin-password").exists());
    let in_the_way = data.join("initial-admin-password.new");
    fs::create_dir(&in_the_way).unwrap();
    let refused = place.run(&["serve", "--listen", "127.0.0.1:0"]).expect(1);
    assert!(refused.stderr.contains(&format!("cannot use {}\n", in_the_way.display())), "{refused:?}");
    fs::remove_dir(&in_the_way).unwrap();
    // The configuration of the first start, whose password file was removed since.
    let gone = [("STOWAGE__AUTH__INITIAL_ADMIN_PASSWORD_FILE", "/nowhere/password")];
    let server = place.serve_as(&flags, &gone);
    let password = fs::read_to_string(data.join("initial-admin-password")).unwrap();
    server.client().basic("admin", password.trim()).get("/v2/").expect(200);
}

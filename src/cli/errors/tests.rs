use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use super::*;
use crate::config::{self, Environment, Flags, Request, SecretFileError};
use crate::store::open::OpenError;

fn request(directory: &tempfile::TempDir, text: &str, environment: &[(&str, &str)]) -> Request {
    let file = directory.path().join("stowage.toml");
    std::fs::write(&file, text).unwrap();
    let environment: Environment = environment.iter().copied().collect();
    Request::new(Some(file), environment, Flags::default())
}

#[test]
fn the_codes_are_those_of_the_manual() {
    let codes = [
        (Exit::Done, 0),
        (Exit::Failed, 1),
        (Exit::Usage, 2),
        (Exit::Configuration, 3),
        (Exit::Unreachable, 4),
        (Exit::NotFound, 5),
        (Exit::Refused, 6),
        (Exit::Integrity, 7),
        (Exit::Partly, 8),
        (Exit::InUse, 9),
        (Exit::SomethingToDo, 10),
        (Exit::Interrupted, 130),
    ];
    for (exit, code) in codes {
        assert_eq!(exit.code(), code);
    }
}

#[test]
fn an_unknown_key_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("{}[server]\nprot = 5001\n", "\n".repeat(12));
    let failure = Failure::from(config::load(&request(&directory, &text, &[])).unwrap_err());
    assert_eq!(failure.exit, Exit::Configuration);
    assert_eq!(
        failure.to_string(),
        format!(
            "error: {}/stowage.toml is not valid\n  \
               --> line 14, column 1\n   \
                14 | prot = 5001\n      \
                   | ^^^^ unknown key `prot` in [server]\n  \
               fix:   use listen instead: listen = [\"127.0.0.1:5001\"]",
            directory.path().display()
        )
    );
}

#[test]
fn a_wrong_variable_is_told_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let failure = config::load(&request(
        &directory,
        "",
        &[("STOWAGE__SERVER__LISTN", "x"), ("STOWAGE__LOG__ACCESS", "1")],
    ));
    assert_eq!(
        Failure::from(failure.unwrap_err()).to_string(),
        "error: the environment is not valid\n  \
           name:  STOWAGE__LOG__ACCESS\n  \
           why:   `1` is neither true nor false\n  \
           fix:   write STOWAGE__LOG__ACCESS=true\n  \
           name:  STOWAGE__SERVER__LISTN\n  \
           why:   there is no such setting\n  \
           fix:   did you mean STOWAGE__SERVER__LISTEN?"
    );
}

#[test]
fn an_unsafe_value_is_told_with_where_it_was_set() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = config::load(&request(&directory, "[registry]\nmax_concurrent_uploads = 0", &[])).unwrap();
    let failure = Failure::from(loaded.checked().unwrap_err());
    assert_eq!(failure.exit, Exit::Configuration);
    assert_eq!(
        failure.to_string(),
        format!(
            "error: the configuration is not valid\n  \
               key:   registry.max_concurrent_uploads   set by: {}/stowage.toml, line 2\n  \
               why:   it is 0\n  \
               fix:   set it to 1 or more",
            directory.path().display()
        )
    );
}

#[test]
fn a_taken_port_is_told_with_its_holder_and_a_free_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = TcpListener::bind(address).unwrap_err();
    let failure = Failure::cannot_listen(address, &error);
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Failed, "PORT_TAKEN"));
    assert_eq!(failure.what, format!("port {} on 127.0.0.1 is taken by another program", address.port()));
    assert!(failure.lines[0].1.ends_with(&format!("(pid {})", std::process::id())), "{failure}");
    assert!(failure.fixes().next().unwrap().starts_with("stowage serve --listen 127.0.0.1:"), "{failure}");
}

#[test]
fn other_reasons_not_to_listen_have_their_own_words() {
    let address = "10.9.9.9:80".parse().unwrap();
    let text = |kind: io::ErrorKind| Failure::cannot_listen(address, &kind.into()).to_string();
    assert_eq!(
        text(io::ErrorKind::PermissionDenied),
        "error: you may not listen on port 80\n  \
           why:   ports below 1024 need a capability\n  \
           fix:   with systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit\n         \
                  or put a proxy in front of a higher port, for example nginx\n         \
                  or use another port: stowage serve --listen 10.9.9.9:5000"
    );
    assert!(
        text(io::ErrorKind::AddrNotAvailable)
            .starts_with("error: this computer does not have the address 10.9.9.9")
    );
    assert!(text(io::ErrorKind::Other).starts_with("error: cannot listen on 10.9.9.9:80"));
}

#[test]
fn every_reason_not_to_open_the_store_has_its_code() {
    let path = PathBuf::from("/data");
    let io = |kind: io::ErrorKind| OpenError::Io { path: path.clone(), source: kind.into() };
    for (error, exit) in [
        (OpenError::InUse { path: path.clone(), pid: None }, Exit::InUse),
        (
            OpenError::UnknownFormat {
                path: path.clone(),
                found: "format 7".into(),
                supported: "1".into(),
                copy: None,
            },
            Exit::Configuration,
        ),
        (OpenError::OldFormat { path: path.clone(), schema: 4 }, Exit::Configuration),
        (OpenError::NoRoom { path: path.clone(), needed: 5, available: 3, for_copy: true }, Exit::Failed),
        (OpenError::Damaged { path: path.clone(), detail: "a page".into() }, Exit::Integrity),
        (OpenError::DatabaseMissing { path: path.clone(), saved: None }, Exit::Integrity),
        (OpenError::FileSystem { path: path.clone(), kind: "NFS".into() }, Exit::Configuration),
        (OpenError::CutOffRebuild { path: path.clone() }, Exit::Integrity),
        (OpenError::ForeignBlobs { path: path.clone() }, Exit::Configuration),
        (io(io::ErrorKind::NotFound), Exit::NotFound),
        (io(io::ErrorKind::PermissionDenied), Exit::Failed),
        (io(io::ErrorKind::StorageFull), Exit::Failed),
    ] {
        let failure = Failure::from(error);
        assert_eq!(failure.exit, exit, "{failure}");
        assert!(failure.fixes().count() > 0, "{failure}");
        assert!(failure.to_string().contains("/data"), "{failure}");
    }
}

#[test]
fn a_downgrade_names_the_copy_and_a_migration_without_space_the_bytes() {
    let path = PathBuf::from("/data/stowage.redb");
    let copy = Some(PathBuf::from("/data/backup-before-9.redb"));
    let (found, supported) = ("format 9".to_owned(), "formats 4 to 5".to_owned());
    let failure = Failure::from(OpenError::UnknownFormat { path, found, supported, copy }).to_string();
    assert!(failure.contains("mv /data/backup-before-9.redb /data/stowage.redb"), "{failure}");
    let path = PathBuf::from("/data");
    let (needed, available) = (50 << 20, 20 << 20);
    let failure = Failure::from(OpenError::NoRoom { path, needed, available, for_copy: true }).to_string();
    assert!(failure.contains("(52428800 bytes)") && failure.contains("(20971520 bytes)"), "{failure}");
    assert!(failure.contains("free at least 30"), "{failure}");
}

#[test]
fn a_store_in_use_names_the_process() {
    let pid = std::process::id();
    let failure = Failure::from(OpenError::InUse { path: PathBuf::from("/data"), pid: Some(pid) });
    let (label, place) = &failure.lines[0];
    assert_eq!(label, "path");
    assert!(place.starts_with("/data   held by: ") && place.ends_with(&format!("(pid {pid})")), "{place}");
}

#[test]
fn a_secret_that_cannot_be_used_comes_with_the_command_to_run() {
    let error = SecretFileError::Open { path: PathBuf::from("/etc/secret"), mode: 0o644 };
    assert_eq!(
        Failure::from(error).to_string(),
        "error: the secret file /etc/secret is open to every user of this computer (mode 0644)\n  \
           fix:   chmod o-rwx /etc/secret"
    );
}

#[test]
fn the_log_has_no_pictures() {
    let picture =
        "  --> line 120, column 9\n  120 | level = \"loud\"\n      |         ^^^^^^ `loud` is no level";
    let failure = Failure::new(Exit::Configuration, "X", "x").line("", picture).because("y");
    assert_eq!(failure.reasons(), "line 120: `loud` is no level; why: y");
}

#[test]
fn a_configuration_that_may_not_be_read_is_not_to_be_opened_to_everyone() {
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    let error = config::ConfigError::Read { path: "/etc/stowage/stowage.toml".into(), source };
    let failure = Failure::from(error);
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Configuration, "CONFIG_UNREADABLE"));
    let fixes: Vec<&str> = failure.fixes().collect();
    assert_eq!(fixes, ["run this as the user of the server or as root: sudo -u stowage stowage ..."]);
}

//! Certificates that are replaced while the server runs.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::certificates::{Authority, Files, put};
use crate::support::eventually;
use crate::tls::client::TlsClient;
use crate::tls::process::{Place, Process};

fn settings(files: &Files) -> String {
    format!(
        "[server.tls]\nmode = \"files\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n[log]\naccess = false\n",
        files.cert.display(),
        files.key.display()
    )
}

fn start() -> (Process, Authority, Files) {
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let settings = settings(&files);
    (place.start(&settings), authority, files)
}

#[test]
fn no_handshake_fails_while_certificates_are_exchanged_20_times() {
    let (process, authority, files) = start();
    let client = TlsClient::new(process.address, &authority);
    let stop = Arc::new(AtomicBool::new(false));
    let good = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop, good) = (client.clone(), Arc::clone(&stop), Arc::clone(&good));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let status = client.connect().and_then(|shaken| shaken.send("GET", "/v2/", &[], b""));
                    let status = status.unwrap_or_else(|error| panic!("a handshake failed: {error}")).status;
                    assert_eq!(status, 401);
                    good.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut last = client.connect().unwrap().certificate;
    for exchange in 0..20 {
        let (cert, key) = authority.issue();
        files.write(&cert, &key);
        process.hang_up();
        let now = client.connect().unwrap().certificate;
        assert_ne!(now, last, "exchange {exchange}");
        last = now;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in load {
        thread.join().expect("no handshake fails");
    }
    assert!(good.load(Ordering::Relaxed) > 0, "{good:?}");
    assert!(process.stop().success());
}

#[test]
fn changed_files_are_read_without_being_told() {
    let (process, authority, files) = start();
    let client = TlsClient::new(process.address, &authority);
    let old = client.connect().unwrap().certificate;
    let (cert, key) = authority.issue();
    files.write(&cert, &key);
    process.wait_for("the certificate changed: the new one is in use");
    assert_ne!(client.connect().unwrap().certificate, old);
}

#[test]
fn a_bad_certificate_leaves_the_old_one_in_use() {
    let (process, authority, files) = start();
    let client = TlsClient::new(process.address, &authority);
    let old = client.connect().unwrap().certificate;

    // A certificate without its key.
    let (cert, _) = authority.issue();
    put(&files.cert, &cert, 0o644);
    let line = process.wait_for("the new certificate files are not usable: the old certificate stays in use");
    assert!(line["error"].as_str().unwrap().contains("does not belong to the certificate"), "{line}");

    // SIGHUP does not use it either.
    put(&files.cert, "no certificate", 0o644);
    let log = process.hang_up();
    let line = log.last().unwrap();
    assert_eq!(line["code"], "TLS_UNUSABLE");
    assert!(line["message"].as_str().unwrap().ends_with("cert.pem holds no certificate"), "{line}");
    assert_eq!(client.connect().unwrap().certificate, old);

    // Usable files end that state.
    let (cert, key) = authority.issue();
    files.write(&cert, &key);
    eventually("the new certificate is in use", || client.connect().unwrap().certificate != old);
}

#[test]
fn a_start_without_a_usable_certificate_says_what_to_do() {
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let (cert, key) = authority.issue();
    let (_, other_key) = authority.issue();
    let key_file = files.key.display();
    std::fs::write(place.settings(), settings(&files)).unwrap();
    let refused = |what: &str, fix: &str| {
        let output = place.command().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(what) && said.contains(&format!("fix:   {fix}")), "{said}");
        assert!(!said.contains("PRIVATE KEY") && !said.contains("panicked"), "{said}");
        assert!(!place.0.path().join("data").exists(), "nothing is made before the certificate is good");
    };
    for mode in [0o644, 0o660, 0o604] {
        put(&files.key, &key, mode);
        put(&files.cert, &cert, 0o644);
        refused(
            &format!("the private key {key_file} is open to other users (mode 0{mode:o})"),
            &format!("chmod 600 {key_file}"),
        );
    }
    put(&files.key, &other_key, 0o600);
    refused("does not belong to the certificate", "name the key that the certificate was made with");
    put(&files.key, "", 0o600);
    refused("holds no private key", "put the private key there as PEM");
    put(&files.key, &key.replace("MI", "!!"), 0o600);
    refused("is not valid PEM", "put the private key there as PEM");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    put(&files.key, encrypted, 0o600);
    refused("is encrypted with a passphrase", "write it without one: openssl pkey");
    std::fs::remove_file(&files.key).unwrap();
    refused("cannot read", "put the PEM file at");
    put(&files.cert, &key, 0o644);
    refused("holds no certificate", "put the certificate there as PEM");
    std::fs::write(place.settings(), "[server.tls]\nmode = \"files\"\n").unwrap();
    refused("key:   server.tls.cert_file", "name a PEM file, or set server.tls.mode = \"off\"");
}

#[test]
fn the_group_of_a_key_may_read_it() {
    // The permissions of Debian's group ssl-cert, which hooks of certbot also set.
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let (cert, key) = authority.issue();
    put(&files.key, &key, 0o640);
    put(&files.cert, &cert, 0o644);
    let settings = settings(&files);
    let process = place.start(&settings);
    let client = TlsClient::new(process.address, &authority);
    let old = client.connect().unwrap().certificate;
    let (cert, key) = authority.issue();
    put(&files.key, &key, 0o640);
    put(&files.cert, &cert, 0o644);
    eventually("the new certificate is in use", || client.connect().unwrap().certificate != old);
    assert!(process.stop().success());
}

#[test]
fn a_fifo_in_the_place_of_a_certificate_or_key_holds_nobody_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (process, authority, files) = start();
    let client = TlsClient::new(process.address, &authority);
    for file in [&files.cert, &files.key] {
        let saved = file.with_extension("saved");
        std::fs::rename(file, &saved).unwrap();
        mknodat(CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let place = Place::new();
        std::fs::write(place.settings(), settings(&files)).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_stowage"));
        check.env_clear().args(["check-config", "--config"]).arg(place.settings());
        for refused in [place.command().output().unwrap(), check.output().unwrap()] {
            assert_eq!(refused.status.code(), Some(3), "{refused:?}");
            let log = String::from_utf8_lossy(&refused.stderr);
            assert!(log.contains(&file.display().to_string()) && log.contains("regular file"), "{log}");
        }
        let told = process.hang_up();
        assert!(told.iter().any(|line| line.to_string().contains("regular file")), "{told:?}");
        std::fs::rename(&saved, file).unwrap();
    }
    // The certificate can still be replaced.
    let old = client.connect().unwrap().certificate;
    let (cert, key) = authority.issue();
    files.write(&cert, &key);
    process.wait_for("the certificate changed: the new one is in use");
    assert_ne!(client.connect().unwrap().certificate, old);
    // A FIFO in its place does not delay a stop either.
    std::fs::remove_file(&files.cert).unwrap();
    mknodat(CWD, &files.cert, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    process.wait_for("the new certificate files are not usable: the old certificate stays in use");
    assert!(process.stop().success());
}

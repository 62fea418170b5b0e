//! `server.tls.mode`: a certificate must not be set and left unused.

use std::process::Output;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::support::Client;
use crate::support::certificates::{Authority, Files};
use crate::tls::client::TlsClient;
use crate::tls::process::Place;

fn settings(files: &[(&str, &std::path::Path)], mode: &str) -> String {
    let lines = files.iter().map(|(key, file)| format!("{key} = \"{}\"\n", file.display()));
    format!("[server.tls]\n{mode}{}", lines.collect::<String>())
}

fn both(files: &Files) -> [(&'static str, &std::path::Path); 2] {
    [("cert_file", &files.cert), ("key_file", &files.key)]
}

#[test]
fn a_certificate_without_a_mode_is_served_and_nothing_is_plain() {
    for mode in ["", "mode = \"auto\"\n"] {
        let place = Place::new();
        let authority = Authority::new();
        let files = authority.issue_to(place.0.path());
        let (cert, key) = authority.issue();
        files.write(&cert, &key);
        let process = place.start(&settings(&both(&files), mode));
        let ready = process.wait_for("ready");
        assert!(ready["registry"].as_str().unwrap().starts_with("https://"), "{ready}");
        let client = TlsClient::new(process.address, &authority);
        let shaken = client.connect().unwrap();
        assert_eq!(shaken.certificate, CertificateDer::from_pem_slice(cert.as_bytes()).unwrap());
        shaken.send("GET", "/v2/", &[], b"").unwrap().expect(401);
        // A password that was sent in clear text is not even checked.
        let plain = Client::new(process.address).basic("admin", "Otter-Maple-Quay-88");
        for path in ["/v2/", "/token", "/api/v1/users"] {
            let refused = plain.get(path).expect(400);
            assert_eq!(refused.message(), "this port speaks TLS: use https:// instead of http://", "{path}");
        }
        assert!(process.stop().success());
    }
}

#[test]
fn without_a_certificate_and_a_mode_the_server_speaks_plain_http() {
    let process = Place::new().start("");
    let ready = process.wait_for("ready");
    assert!(ready["registry"].as_str().unwrap().starts_with("http://"), "{ready}");
    Client::new(process.address).get("/v2/").expect(401);
    assert!(process.stop().success());
}

#[test]
fn a_certificate_that_would_not_be_used_is_refused_with_the_two_ways_out() {
    let place = Place::new();
    let files = Authority::new().issue_to(place.0.path());
    let refused = |settings: &str, expected: &[&str]| {
        std::fs::write(place.settings(), settings).unwrap();
        let check = || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stowage"));
            command.env_clear().args(["check-config", "--config"]).arg(place.settings()).output().unwrap()
        };
        for Output { status, stderr, .. } in [place.command().output().unwrap(), check()] {
            let said = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), Some(3), "{said}");
            for part in expected {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        assert!(!place.0.path().join("data").exists(), "nothing is made before the settings are good");
    };
    for (key, file) in both(&files) {
        refused(
            &settings(&[(key, file)], "mode = \"off\"\n"),
            &[
                "server.tls.mode",
                &format!("is \"off\", but server.tls.{key} is set"),
                &format!("remove mode = \"off\" to use the certificate, or remove server.tls.{key}"),
            ],
        );
        // One file alone is not a certificate, and the server must not fall back to plain HTTP.
        let other = if key == "cert_file" { "key_file" } else { "cert_file" };
        refused(&settings(&[(key, file)], ""), &[&format!("server.tls.{other}"), "is empty"]);
    }
    refused(&settings(&both(&files), "mode = \"off\"\n"), &["is \"off\", but server.tls.cert_file is set"]);
}

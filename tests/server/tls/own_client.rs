//! Stowage's own client with a certificate of `openssl req -x509`, which is its own CA.

use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

use crate::support::certificates::{Authority, Files};
use crate::tls::process::{Place, Process};

const PASSED: &str = "the server does not know who you are";

/// A certificate and its key like those of `openssl req -x509 -addext subjectAltName=IP:127.0.0.1`.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn serve((cert, key): &(String, String)) -> (Process, Files) {
    let place = Place::new();
    let files = Authority::new().issue_to(place.0.path());
    files.write(cert, key);
    let settings = format!(
        "[server.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        files.cert.display(),
        files.key.display()
    );
    (place.start(&settings), files)
}

fn status(process: &Process, host: &str, ca_file: &std::path::Path) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
    let server = format!("https://{host}:{}", process.address.port());
    command.env_clear().args(["status", "--server", &server, "--ca-file"]).arg(ca_file);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn exactly_the_certificate_of_the_ca_file_is_accepted_though_it_is_its_own_authority() {
    let own = self_signed(|_| {});
    let (process, files) = serve(&own);
    let (output, said) = status(&process, "127.0.0.1", &files.cert);
    assert!(said.contains(PASSED), "{output:?}");

    // The names in the certificate are still checked.
    let (output, said) = status(&process, "localhost", &files.cert);
    assert!(said.contains("not valid for name") && !said.contains(PASSED), "{output:?}");
    // Another certificate with the same names is not trusted.
    let other = process.directory.path().join("other.pem");
    std::fs::write(&other, self_signed(|_| {}).0).unwrap();
    let (output, said) = status(&process, "127.0.0.1", &other);
    assert!(said.contains("invalid peer certificate") && said.contains("--ca-file"), "{output:?}");
    // A file may contain several certificates.
    std::fs::write(&other, std::fs::read_to_string(&other).unwrap() + &own.0).unwrap();
    let (output, said) = status(&process, "127.0.0.1", &other);
    assert!(said.contains(PASSED), "{output:?}");
    assert!(process.stop().success());
}

#[test]
fn the_dates_of_the_certificate_in_the_ca_file_count() {
    for (own, what) in [
        (self_signed(|params| params.not_after = date_time_ymd(2020, 1, 1)), "certificate expired"),
        (self_signed(|params| params.not_before = date_time_ymd(3000, 1, 1)), "certificate not valid yet"),
    ] {
        let (process, files) = serve(&own);
        let (output, said) = status(&process, "127.0.0.1", &files.cert);
        assert!(said.contains(what) && !said.contains(PASSED), "{output:?}");
    }
}

//! Certificates that can be used but need attention: the log, `check-config` and `status` warn about them.

use std::process::{Command, Output};

use rcgen::date_time_ymd;

use crate::support::certificates::Authority;
use crate::tls::process::{Place, Process};

fn settings(place: &Place) -> String {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| place.0.path().join(name));
    // A disk that is nearly full would need attention, too.
    format!(
        "[storage]\nmin_free = \"0\"\nwarn_free = \"0\"\n[server.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        cert.display(),
        key.display()
    )
}

fn stowage(process: &Process, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
    command.env_clear().args(arguments).arg("--config").arg(process.directory.path().join("stowage.toml"));
    command.output().expect("it runs")
}

fn status(process: &Process) -> Output {
    let data = process.directory.path().join("data");
    stowage(process, &["status", "--exit-code", "--data-dir", data.to_str().expect("UTF-8")])
}

/// Asserts that the log, `check-config` and `status` have the same warning.
#[track_caller]
fn assert_told(process: &Process, warning: &str) {
    let line = process.wait_for(warning);
    assert_eq!(line["level"], "WARN", "{line}");
    let checked = stowage(process, &["check-config"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && checked.stdout.ends_with(b" is valid\n"), "{checked:?}");
    assert!(said.contains(&format!("warning: server.tls.cert_file: {warning}")), "{said}");
    let status = status(process);
    assert_eq!(status.status.code(), Some(10), "{status:?}");
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains(&format!("warning  {warning}")), "{said}");
}

#[test]
fn a_certificate_out_of_its_time_is_named_at_the_start_and_when_it_is_replaced() {
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let (cert, key) = authority.issue_with(|params| params.not_after = date_time_ymd(2024, 5, 6));
    files.write(&cert, &key);
    let settings = settings(&place);
    let file = files.cert.display();
    let process = place.start(&settings);
    assert_told(
        &process,
        &format!("the certificate localhost in {file} expired on 2024-05-06 00:00 UTC: renew it"),
    );

    let (cert, key) = authority.issue_with(|params| params.not_before = date_time_ymd(3000, 1, 1));
    files.write(&cert, &key);
    assert_told(
        &process,
        &format!("the certificate localhost in {file} is not valid before 3000-01-01 00:00 UTC"),
    );
    let (cert, key) = authority.issue();
    files.write(&cert, &key);
    process.hang_up();
    let status = status(&process);
    assert!(status.status.success(), "{status:?}");
    assert!(process.stop().success());
}

#[test]
fn a_chain_in_the_wrong_order_is_named() {
    let place = Place::new();
    let authority = Authority::new();
    let files = authority.issue_to(place.0.path());
    let (cert, key) = authority.issue();
    files.write(&(cert + &Authority::named("Other CA").pem()), &key);
    let settings = settings(&place);
    let process = place.start(&settings);
    let file = files.cert.display();
    assert_told(
        &process,
        &format!("{file} is in the wrong order: Other CA did not issue localhost, which stands before it"),
    );
    assert!(process.stop().success());
}

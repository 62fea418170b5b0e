//! Messages about the configuration: errors with the right form, one list of warnings, the effective values.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::admin::program::{Place, Ran};
use crate::support::eventually;

fn check(place: &Place, text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Ran {
    let file = place.directory.path().join("stowage.toml");
    fs::write(&file, text).unwrap();
    let arguments = [&["check-config", "--config", file.to_str().unwrap()], flags].concat();
    place.run_elsewhere(&arguments, environment)
}

#[test]
fn a_wrong_value_in_a_file_is_told_with_the_right_form() {
    let place = Place::new();
    for (text, wrong, fix) in [
        (
            "[server]\nlisten = \"0.0.0.0:5000\"",
            "is text; expected a list",
            "write listen = [\"0.0.0.0:5000\"]",
        ),
        (
            "[server]\nlisten = 0.0.0.0:5000",
            "`0.0.0.0:5000` needs quotes",
            "write listen = [\"0.0.0.0:5000\"]",
        ),
        (
            "[auth]\nanonymous_pull = \"yes\"",
            "is text; expected true or false",
            "write anonymous_pull = true",
        ),
        ("[auth]\nanonymous_pull = yes", "`yes` is neither true nor false", "write anonymous_pull = true"),
        ("[log]\nlevel = info # x", "`info` needs quotes", "write level = \"info\""),
        ("[server]\nworkers = \"4\"", "\"4\" is text; expected a whole number", "write workers = 4"),
        (
            "[server]\nkeep_alive = 75",
            "`75` is a number; expected a duration",
            "write for example keep_alive = \"75s\"",
        ),
        ("[server.tls]\nmode = \"on\"", "`on` is not a mode; use auto, off or files", ""),
        ("[log]\nformat = \"xml\"", "`xml` is not a format; use auto, json or text", ""),
        (
            "[auth]\ninitial_admin_password = \"x\"",
            "unknown key",
            "did you mean `initial_admin_password_file`?",
        ),
        ("[server]\nport = 5001", "unknown key `port`", "use listen instead: listen = [\"127.0.0.1:5001\"]"),
        (
            "# my registry\nversion: 0.1\nserver:\n  port: 1\n",
            "this is YAML; Stowage reads TOML",
            "stowage init --print shows the form of every setting",
        ),
    ] {
        let ran = check(&place, text, &[], &[]).expect(3);
        assert!(ran.stderr.contains(wrong), "{wrong:?} is not in {ran:?}");
        assert!(fix.is_empty() || ran.stderr.contains(&format!("fix:   {fix}")), "{fix:?} is not in {ran:?}");
        assert!(!ran.stderr.contains("  listen"), "two spaces: {ran:?}");
    }
}

#[test]
fn a_wrong_variable_is_told_with_its_name_and_the_right_form() {
    let place = Place::new();
    for (name, value, wrong, fix) in [
        (
            "STOWAGE__AUTH__ANONYMOUS_PULL",
            "yes",
            "`yes` is neither true nor false",
            "write STOWAGE__AUTH__ANONYMOUS_PULL=true",
        ),
        (
            "STOWAGE__SERVER__WORKERS",
            "many",
            "`many` is not a whole number",
            "write for example STOWAGE__SERVER__WORKERS=0",
        ),
        (
            "STOWAGE__SERVER__LISTEN",
            "[\"0.0.0.0:5000\"]",
            "is not an address and a port",
            "write STOWAGE__SERVER__LISTEN=0.0.0.0:5000 without brackets and quotes",
        ),
        (
            "STOWAGE__SERVER__TLS__MODE",
            "on",
            "`on` is not a mode; use auto, off or files",
            "write for example STOWAGE__SERVER__TLS__MODE=auto",
        ),
        (
            "STOWAGE__STORAGE__METADATA_CACHE",
            "\"64MiB\"",
            "is not a size",
            "write STOWAGE__STORAGE__METADATA_CACHE=64MiB without quotes",
        ),
        (
            "STOWAGE__STORAGE__GC__PROMISE",
            "6",
            "`6` is not a duration",
            "write for example STOWAGE__STORAGE__GC__PROMISE=6h",
        ),
    ] {
        let ran = check(&place, "", &[(name, value)], &[]).expect(3);
        assert!(ran.stderr.contains(&format!("name:  {name}\n")), "{ran:?}");
        assert!(ran.stderr.contains(wrong), "{wrong:?} is not in {ran:?}");
        assert!(ran.stderr.contains(&format!("fix:   {fix}\n")), "{fix:?} is not in {ran:?}");
    }
}

#[test]
fn absurd_values_are_refused() {
    let place = Place::new();
    for (text, key, why) in [
        (
            "[storage]\nmetadata_cache = \"500TiB\"",
            "storage.metadata_cache",
            "it is 500TiB, and this computer has ",
        ),
        (
            "[limits]\nmanifest_memory = \"500TiB\"",
            "limits.manifest_memory",
            "it is 500TiB, and this computer has ",
        ),
        ("[server]\nworkers = 100000", "server.workers", "it is 100000"),
        ("[server]\nmax_connections = 100000000", "server.max_connections", "it is 100000000"),
        ("[storage]\ndata_dir = \"relative/dir\"", "storage.data_dir", "it is relative/dir, a relative path"),
        ("[storage]\nblob_dir = \"~/blobs\"", "storage.blob_dir", "it is ~/blobs"),
        (
            "[auth]\ninitial_admin_password_file = \"secret\"",
            "auth.initial_admin_password_file",
            "it is secret, a relative path",
        ),
    ] {
        let ran = check(&place, text, &[], &[]).expect(3);
        let key = format!("key:   {key}   set by: ");
        assert!(ran.stderr.contains(&key) && ran.stderr.contains(&format!("why:   {why}")), "{ran:?}");
        assert!(ran.stderr.contains("fix:   "), "{ran:?}");
    }
}

#[test]
fn spaces_in_sizes_durations_and_percentages_are_treated_alike() {
    let place = Place::new();
    let text = "[server]\nkeep_alive = \"75 s\"\n[storage]\nmetadata_cache = \"64 MiB\"\n";
    let ran = check(&place, text, &[("STOWAGE__STORAGE__MIN_FREE", "5 %")], &["--show"]).expect(0);
    for shown in
        ["server.keep_alive = \"75s\"", "storage.min_free = \"5%\"", "storage.metadata_cache = \"64MiB\""]
    {
        assert!(ran.stdout.contains(shown), "{ran:?}");
    }
    for min_free in ["5 GiB", "5 %", " 5%", "5% "] {
        check(&place, &format!("[storage]\nmin_free = \"{min_free}\"\n"), &[], &[]).expect(0);
    }
}

#[test]
fn a_warning_that_could_never_come_first_is_named() {
    let place = Place::new();
    let warned = |min: &str, warn: &str| {
        let text = format!("[storage]\nmin_free = \"{min}\"\nwarn_free = \"{warn}\"\n");
        let environment = [("STOWAGE__STORAGE__MIN_FREE", min), ("STOWAGE__STORAGE__WARN_FREE", warn)];
        let ran = check(&place, &text, &environment, &[]).expect(0);
        ran.stderr.contains("storage.warn_free: ")
            && ran.stderr.contains("nothing warns before pushes are refused")
    };
    for (min, warn) in [("20%", "15%"), ("5%", "5%"), ("10GiB", "10GiB"), ("2GiB", "3MiB")] {
        assert!(warned(min, warn), "{min} {warn}");
    }
    // A size and a share cannot be compared without the disk.
    for (min, warn) in [("5%", "15%"), ("20%", "0"), ("20%", "0%"), ("10GiB", "15%"), ("0", "1MiB")] {
        assert!(!warned(min, warn), "{min} {warn}");
    }
}

#[test]
fn serve_and_check_config_have_one_list_of_warnings() {
    let place = Place::new();
    let missing = place.directory.path().join("missing");
    let text = format!(
        "[server]\nlisten = [\"0.0.0.0:0\"]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[auth]\ninitial_admin_password_file = {missing:?}\n"
    );
    let ran = check(&place, &text, &[], &[]).expect(0);
    for part in [
        "warning: server.listen: listening without TLS beyond this computer (0.0.0.0:0)",
        "warning: server.trusted_proxies: every client is trusted as a proxy",
        &format!(
            "warning: auth.initial_admin_password_file: cannot read the secret file {}",
            missing.display()
        ),
        "  fix:   set [server.tls]",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} is not in {ran:?}");
    }
    let document = check(&place, &text, &[], &["--json"]).expect(0).json();
    let warnings: Vec<&str> =
        document["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((document["ok"].as_bool(), warnings.len()), (Some(true), 3), "{document}");

    // Tests listen on loopback only, and a start without the password file is refused.
    let proxies = "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n";
    let warned = check(&place, proxies, &[], &["--json"]).expect(0).json()["warnings"][0].clone();
    let (key, message) = warned.as_str().unwrap().split_once("; ").unwrap().0.split_once(": ").unwrap();
    let (file, data) = (place.directory.path().join("stowage.toml"), place.data());
    let flags = ["--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let log = place.serve_as(&flags, &[]).stop();
    let is_same = |line: &str| line.contains("WARN") && line.contains(key) && line.contains(message);
    assert!(log.lines().any(is_same), "{message:?} is not in {log}");
    assert!(check(&place, "", &[], &[]).expect(0).stderr.is_empty());
}

#[test]
fn a_reload_warns_of_what_it_has_changed() {
    let place = Place::new();
    let (file, data) = (place.directory.path().join("stowage.toml"), place.data());
    fs::write(&file, "").unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let server = place.serve_as(&flags, &[]);
    let warning = "every client is trusted as a proxy";
    fs::write(&file, "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n").unwrap();
    server.signal(Signal::HUP);
    eventually("the warning is logged", || server.log().contains(warning));
    fs::write(&file, "[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[log]\naccess = false\n").unwrap();
    server.signal(Signal::HUP);
    eventually("the second reload is logged", || {
        server.log().matches("read the configuration again").count() == 2
    });
    assert_eq!(server.stop().matches(warning).count(), 1, "nothing of it has changed since");
}

#[test]
fn a_file_that_is_no_text_is_told_with_what_to_do() {
    let place = Place::new();
    let file = place.directory.path().join("stowage.toml");
    fs::write(&file, b"# caf\xe9\n").unwrap();
    let directory = place.directory.path().to_str().unwrap();
    for (named, fix) in [
        (file.to_str().unwrap(), "fix:   save the file as text in UTF-8\n"),
        (directory, "fix:   name the file in the directory: --config DIR/stowage.toml\n"),
    ] {
        let ran = place.run_elsewhere(&["check-config", "--config", named], &[]).expect(3);
        assert!(ran.stderr.contains(fix), "{ran:?}");
    }
}

#[test]
fn the_effective_directories_are_shown() {
    let place = Place::new();
    let home = place.directory.path().join("elsewhere");
    let document = check(&place, "", &[], &["--show", "--json"]).expect(0).json();
    let shown = |key: &str| {
        let settings = document["data"]["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
    };
    let data = home.join(".local/share/stowage");
    assert_eq!(shown("storage.data_dir"), data.to_str().unwrap());
    assert_eq!(shown("storage.blob_dir"), data.to_str().unwrap());
    assert_eq!(shown("auth.admin_socket.path"), data.join("admin.sock").to_str().unwrap());
}

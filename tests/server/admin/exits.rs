//! Every kind of failure: its exit code, its code for programs, and its advice for people.

use std::fs;

use serde_json::{Value, json};
use stowage::wire::JobState;

use crate::admin::program::{PASSWORD, Place, Ran};
use crate::admin::{fake, samples};
use crate::support::content;

/// A case: a command line (its words, and its stdin), its exit code, its code for programs, the beginning of
/// the first line after `error: `, and texts in the other lines (where, why, what to do).
type Case<'a> = (&'a str, &'a str, i32, &'a str, &'a str, &'a [&'a str]);

/// Runs each case with text and with JSON output, and compares.
fn told(cases: &[Case<'_>], run: impl Fn(&[&str], &str) -> Ran) {
    for (line, stdin, exit, code, what, parts) in cases {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = run(&words, stdin).expect(*exit);
        assert!(ran.error().starts_with(&format!("error: {what}")), "{line}: {ran:?}");
        for part in *parts {
            assert!(ran.stderr.contains(part), "{line} without {part:?}: {ran:?}");
        }
        assert_eq!(ran.stdout, "", "{line}");
        for form in [&["--json"][..], &["-o", "ndjson"]] {
            let ran = run(&[&words, form].concat(), stdin).expect(*exit);
            let document = ran.json();
            assert_eq!(
                (&document["ok"], &document["error"]["code"]),
                (&Value::from(false), &Value::from(*code))
            );
            assert!(document["error"]["title"].as_str().unwrap().starts_with(what), "{document}");
            assert_eq!(ran.stderr, "", "{line}");
        }
    }
}

#[test]
fn wrong_usage_is_told_with_what_is_right() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    place.add("hanna");
    content::push_image(&admin, "team/app", "1", b"layer");
    let cases: &[Case<'_>] = &[
        ("user lst", "", 2, "USAGE", "unrecognized subcommand 'lst'", &["'list'"]),
        ("repo show", "", 2, "USAGE", "the following required arguments were not provided", &["<NAME>"]),
        (
            "user add omar",
            "",
            2,
            "PASSWORD_MISSING",
            "there is no terminal to ask for the password",
            &["fix:   add --password-stdin"],
        ),
        (
            "repo delete team/app",
            "",
            2,
            "NOT_CONFIRMED",
            "there is no terminal to ask",
            &["fix:   add --yes"],
        ),
        (
            "tag delete team/app",
            "",
            2,
            "TAG_NAME_INVALID",
            "\"team/app\" names no tag",
            &["fix:   write repository and tag: team/app:1.0"],
        ),
        ("repo show Team", "", 2, "REPOSITORY_NAME_INVALID", "", &[]),
        (
            "user passwd hanna --password-stdin",
            "short",
            2,
            "PASSWORD_INVALID",
            "the password is too short (5): it needs 12 to 1,024 characters",
            &[],
        ),
        (
            "token create hanna --name x --scopes pull",
            "",
            2,
            "SCOPE_INVALID",
            "\"pull\" is not a scope; use some of read_registry",
            &[],
        ),
        (
            "user list --server registry",
            "",
            2,
            "SERVER_URL",
            "\"registry\" names no server",
            &["fix:   name its address or its socket: --server https://registry.lan"],
        ),
    ];
    told(cases, |arguments, stdin| place.run_with(arguments, stdin));
}

#[test]
fn a_command_that_is_not_there_says_what_to_do_instead() {
    let place = Place::new();
    let cases: &[Case<'_>] = &[
        (
            "prune",
            "",
            2,
            "COMMAND_ABSENT",
            "there is no `stowage prune`",
            &["stowage gc run --wait", "stowage gc status\n"],
        ),
        (
            "backup",
            "",
            2,
            "COMMAND_ABSENT",
            "there is no `stowage backup` yet",
            &[
                "systemctl stop stowage\n",
                "rsync -a --delete /var/lib/stowage/ ",
                "systemctl start stowage\n",
            ],
        ),
        (
            "restore",
            "",
            2,
            "COMMAND_ABSENT",
            "there is no `stowage restore` yet",
            &["stowage rebuild --into"],
        ),
        ("logs", "", 2, "COMMAND_ABSENT", "there is no `stowage logs`", &["journalctl -u stowage"]),
        ("login", "", 2, "COMMAND_ABSENT", "there is no `stowage login`", &["docker login HOST"]),
        ("users", "", 2, "COMMAND_ABSENT", "there is no `stowage users`", &["stowage user list"]),
        ("export", "", 2, "COMMAND_ABSENT", "there is no `stowage export` yet", &["skopeo sync"]),
        ("import", "", 2, "COMMAND_ABSENT", "there is no `stowage import` yet", &["skopeo sync"]),
        ("mirror", "", 2, "COMMAND_ABSENT", "there is no `stowage mirror` yet", &["skopeo copy"]),
        (
            "project",
            "",
            2,
            "COMMAND_ABSENT",
            "there is no `stowage project` yet",
            &["--scopes read_registry"],
        ),
        ("repo create", "", 2, "COMMAND_ABSENT", "there is no `stowage repo create`", &["docker push"]),
    ];
    told(cases, |arguments, _| place.run_elsewhere(arguments, &[]));
    // Only similar names are suggested.
    let ran = place.run_elsewhere(&["deploy"], &[]).expect(2);
    assert!(
        ran.stderr.contains("unrecognized subcommand 'deploy'") && !ran.stderr.contains("tip:"),
        "{ran:?}"
    );
    let ran = place.run_elsewhere(&["stats"], &[]).expect(2);
    assert!(ran.stderr.contains("fix:   stowage status"), "{ran:?}");
}

#[test]
fn what_a_server_refuses_or_cannot_be_asked_has_its_exit_code() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    place.add("hanna");
    content::push_image(&admin, "team/app", "1", b"layer");
    let why_unreachable = "cannot reach the Stowage server";
    let cases: &[Case<'_>] = &[
        (
            "user list --server unix:/nowhere/admin.sock",
            "",
            4,
            "SERVER_UNREACHABLE",
            why_unreachable,
            &["tried: unix:/nowhere/admin.sock: ", "fix:   is it running?"],
        ),
        (
            "user list --server http://127.0.0.1:1",
            "",
            4,
            "SERVER_UNREACHABLE",
            why_unreachable,
            &["tried: http://127.0.0.1:1: Connection refused", "fix:   is it running there?"],
        ),
        ("user show omar", "", 5, "USER_UNKNOWN", "there is no user \"omar\"", &["fix:   stowage user list"]),
        ("token revoke 999", "", 5, "TOKEN_UNKNOWN", "there is no token 999", &["fix:   stowage token list"]),
        ("repo show nowhere", "", 5, "REPOSITORY_UNKNOWN", "", &["fix:   stowage repo list"]),
        (
            "tag delete team/app:9 --yes",
            "",
            5,
            "TAG_UNKNOWN",
            "there is no tag 9 in team/app",
            &["tag:   team/app:9", "fix:   stowage tag list team/app"],
        ),
        (
            "user add hanna --password-stdin",
            PASSWORD,
            6,
            "USER_EXISTS",
            "there is a user \"hanna\" already",
            &["fix:   choose another name"],
        ),
        (
            "user delete admin --yes",
            "",
            6,
            "LAST_ADMIN",
            "\"admin\" is the last admin who can sign in; make another one first",
            &[],
        ),
        (
            "user list --offline",
            "",
            9,
            "STORE_IN_USE",
            "the data is in use by another process",
            &["path:  ", "held by: stowage serve (pid ", "fix:   go through the server: drop --offline\n"],
        ),
        (
            "fsck --offline",
            "",
            9,
            "STORE_IN_USE",
            "the data is in use by another process",
            &["held by: stowage serve (pid "],
        ),
    ];
    told(cases, |arguments, stdin| place.run_with(arguments, stdin));
}

#[test]
fn every_mistake_without_a_server_has_its_exit_code_and_says_what_to_do() {
    let place = Place::new();
    fs::write(place.directory.path().join("bad.toml"), "[server]\nprot = 5001\n").unwrap();
    fs::write(place.directory.path().join("unsafe.toml"), "[server]\nmax_connections = 0\n").unwrap();
    let with = |command: &str, name: &str| {
        format!("{command} --config {}", place.directory.path().join(name).display())
    };
    let cases: &[Case<'_>] = &[
        (
            &with("check-config", "bad.toml"),
            "",
            3,
            "CONFIG_INVALID",
            "/",
            &[
                "--> line 2, column 1",
                "^^^^ unknown key `prot` in [server]",
                "fix:   use listen instead: listen = [\"127.0.0.1:5001\"]",
            ],
        ),
        (
            &with("check-config", "unsafe.toml"),
            "",
            3,
            "CONFIG_UNSAFE",
            "the configuration is not valid",
            &["key:   server.max_connections", "why:   it is 0", "fix:   "],
        ),
        (
            &with("user list", "absent.toml"),
            "",
            3,
            "CONFIG_UNREADABLE",
            "cannot read",
            &["fix:   name another file with --config"],
        ),
        (
            "user list --data-dir /nowhere",
            "",
            5,
            "NO_DATA",
            "no server runs, and there is no data in /nowhere",
            &["fix:   start the server: stowage serve"],
        ),
        (
            "fsck --data-dir /nowhere",
            "",
            5,
            "NO_DATA",
            "there is no data in /nowhere",
            &["fix:   name the directory"],
        ),
    ];
    told(cases, |arguments, _| place.run_elsewhere(arguments, &[]));
    // Damage is a result, not a failure.
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "a", "1", b"layer");
    server.stop();
    let database = place.data().join("stowage.redb");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    let ran = place.run(&["fsck", "--json"]).expect(7).json();
    assert_eq!(
        (&ran["ok"], &ran["data"]["problems"][0]["kind"]),
        (&Value::from(false), &Value::from("database"))
    );
    let ran = place.run(&["user", "list", "--json"]).expect(7).json();
    assert_eq!(ran["error"]["code"], "STORE_DAMAGED");
}

#[test]
fn remedies_are_the_last_lines() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    for line in
        ["tag delete nowhere:1 --yes", "tag delete team/app:9 --yes", "repo show team", "user list --offline"]
    {
        let words: Vec<&str> = line.split(' ').collect();
        let ran = place.run(&words);
        let fix = ran.stderr.lines().position(|line| line.starts_with("  fix: ")).unwrap();
        let rest: Vec<&str> = ran.stderr.lines().skip(fix + 1).collect();
        assert!(rest.iter().all(|line| line.starts_with("         ")), "{line}: {ran:?}");
    }
}

#[test]
fn what_was_done_before_a_failure_is_told() {
    let place = Place::new();
    let tag = fake::json(200, &json!(samples::tag("1")));
    let mut answers = [
        tag.clone(),
        tag,
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 20\r\n\r\n{\"detail\":\"too bad\"}".to_owned(),
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
    ]
    .into_iter();
    let server = fake::server(&place, move |_| answers.next().unwrap());
    let delete = ["tag", "delete", "a:1", "a:2", "--yes", "--server", &server];
    let ran = place.run_elsewhere(&delete, &[]).expect(8);
    assert!(ran.stderr.contains("done:  a:1\n  left:  a:2"), "{ran:?}");
    let ran = place.run_elsewhere(&["status", "--server", &server], &[]).expect(4);
    assert!(ran.stderr.contains("the response is not from a Stowage server"), "{ran:?}");
}

#[test]
fn a_check_that_cannot_be_followed_any_more_says_why() {
    let place = Place::new();
    let token = json!({"code": "UNAUTHORIZED", "detail": "the token has ended"});
    for (second, code, title) in [
        (fake::json(401, &token), "UNAUTHORIZED", "the token has ended"),
        (fake::json(200, &json!([])), "SERVER_ANSWER", "the response is not from a Stowage server"),
        (fake::json(404, &json!({"code": "JOB_UNKNOWN"})), "CHECK_ENDED", "the check was cancelled"),
        (String::new(), "CHECK_ENDED", "the check was cancelled"),
    ] {
        let started = fake::json(202, &json!(samples::job("x", JobState::Running)));
        let mut answers = [started, second].into_iter();
        let server = fake::server(&place, move |_| answers.next().unwrap());
        let ran = place.run_elsewhere(&["fsck", "--json", "--server", &server], &[]);
        let error = &ran.json()["error"];
        assert_eq!(error["code"], code, "{ran:?}");
        assert!(error["title"].as_str().unwrap().starts_with(title), "{ran:?}");
    }
}

//! Control characters in the responses of a server: none may reach the terminal, in any table, card, question
//! or error.

use std::time::{Duration, Instant};

use serde_json::json;
use stowage::wire::{JobLine, JobState};

use crate::admin::program::{PASSWORD, Place, Ran};
use crate::admin::terminal::Terminal;
use crate::admin::{fake, samples};

/// Clears the screen, sets the title, sets colours by C1 codes, forges a line, moves the cursor, reverses the
/// order of letters.
const EVIL: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\nFORGED\r\tback\u{8}\u{202e}\u{61c}y";

/// The API's response to the first line of a request, with [`EVIL`] in every text.
fn answer(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let document = if path.contains("/deletions") {
        json!(samples::deletion_plan(EVIL))
    } else if path.contains("/-/sizes") {
        json!(samples::tag_size(EVIL))
    } else if path.contains("/-/tags") {
        json!(samples::tag(EVIL))
    } else if path.contains("/-/manifests") {
        json!(samples::manifest(EVIL))
    } else if path.contains("/repositories") || path.contains("/storage/top") {
        json!(samples::repository(EVIL))
    } else if path.contains("/users") {
        json!(samples::user(EVIL))
    } else if path.contains("/tokens") {
        json!(samples::token(EVIL))
    } else if path.contains("/trash") {
        json!(samples::trash_entry(EVIL))
    } else if path.contains("/schedules") {
        json!(samples::schedule(EVIL))
    } else if path.contains("/gc/pins") {
        json!(samples::pin(EVIL))
    } else if path.contains("/scrub/quarantine?") {
        json!(samples::damaged(EVIL))
    } else if path.contains("/scrub/quarantine/") {
        json!(samples::dropped(EVIL))
    } else if path.ends_with("/scrub") {
        json!(samples::scrub_status(EVIL))
    } else if path.contains("/scrub/") {
        json!(samples::scrub(EVIL))
    } else if path.ends_with("/compact") {
        json!(samples::compact(EVIL))
    } else if path.contains("/system") {
        json!(samples::system(EVIL))
    } else if path.ends_with("/log") {
        json!(JobLine { at: EVIL.to_owned(), text: EVIL.to_owned() })
    } else {
        json!(samples::job(EVIL, JobState::Done))
    };
    let is_list =
        path.contains("?limit=") || ["/log", "/schedules", "/pins"].iter().any(|end| path.ends_with(end));
    fake::json(200, &if is_list { json!({"items": [document], "next_cursor": null}) } else { document })
}

/// Asserts that the output has no control character, and no line made by the server.
#[track_caller]
fn assert_tame(ran: &Ran) {
    assert!(!ran.stdout.is_empty() || !ran.stderr.is_empty(), "{ran:?}");
    for text in [&ran.stdout, &ran.stderr] {
        let acting =
            text.chars().find(|c| *c != '\n' && (c.is_control() || matches!(c, '\u{202e}' | '\u{61c}')));
        assert_eq!(acting, None, "{ran:?}");
        assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{ran:?}");
    }
}

const COMMANDS: &[&str] = &[
    "status",
    "user list",
    "user show hanna",
    "user add hanna --password-stdin",
    "user disable hanna",
    "user delete hanna --yes",
    "token list",
    "token list hanna",
    "token show 7",
    "jobs list",
    "jobs show 0000 --log",
    "jobs show 00000000-0000-0000-0000-000000000000 --wait",
    "jobs watch 0000",
    "jobs cancel 0000",
    "trash list",
    "trash restore 7",
    "trash empty 7 --yes",
    "schedule list",
    "schedule set check daily 03:30",
    "schedule reset check",
    "token create hanna --name ci --scopes api",
    "token revoke 7",
    "token revoke ci",
    "repo list",
    "repo show team/app",
    "repo size",
    "repo size team/app",
    "repo size team/app --by-tag",
    "repo delete team/app --dry-run",
    "repo delete team/app --yes",
    "tag list team/app",
    "tag delete team/app:* --dry-run",
    "tag delete team/app:* --yes",
    "tag delete team/app:1 --yes",
    "manifest list team/app",
    "manifest list team/app --untagged",
    "manifest delete team/app@sha256:ab --dry-run",
    "manifest delete team/app@sha256:ab --yes",
    "gc pin backup --for 1h",
    "gc pins",
    "gc pins -o wide",
    "gc unpin backup",
    "compact",
    "compact --wait",
    "compact --dry-run",
    "fsck",
    "scrub status",
    "scrub run",
    "scrub run --wait",
    "scrub stop",
    "scrub quarantine list",
    "scrub quarantine drop sha256:ab --yes",
    "scrub quarantine drop --all --yes",
];

const FORMS: &[&[&str]] = &[&[], &["-o", "wide"], &["--json"], &["-o", "ndjson"]];

fn run(place: &Place, server: &str, command: &str, form: &[&str]) -> Ran {
    let mut arguments: Vec<&str> = command.split(' ').collect();
    arguments.extend_from_slice(form);
    arguments.extend(["--server", server]);
    place.run_elsewhere_with(&arguments, PASSWORD)
}

#[test]
fn every_table_and_card_shows_control_characters() {
    let place = Place::new();
    let server = fake::server(&place, answer);
    for command in COMMANDS {
        for form in FORMS {
            let ran = run(&place, &server, command, form);
            assert!(!ran.stderr.starts_with("error: the response"), "{command}: {ran:?}");
            assert_tame(&ran);
        }
    }
}

#[test]
fn every_error_shows_control_characters() {
    let place = Place::new();
    let problem = json!({"detail": EVIL, "code": EVIL, "fix": EVIL, "title": EVIL});
    let errors = json!({"errors": [{"message": EVIL, "code": EVIL, "detail": EVIL}]});
    for status in [400, 401, 403, 404, 409, 500] {
        for body in [&problem, &errors] {
            let answer = fake::json(status, body);
            let server = fake::server(&place, move |_| answer.clone());
            for command in COMMANDS {
                let ran = run(&place, &server, command, &[]);
                assert_ne!(ran.exit, 0, "{command}: {ran:?}");
                assert_tame(&ran);
            }
        }
    }
    // Names that occur only in the error message.
    let server = fake::server(&place, |request| {
        let mut token = samples::token(EVIL).token;
        token.name = "ci".to_owned();
        let repository = samples::repository(&format!("team/{EVIL}"));
        match request {
            request if request.contains("/tokens?") => fake::json(200, &json!({"items": [token, token]})),
            request if request.contains("/repositories?") => fake::json(200, &json!({"items": [repository]})),
            _ => fake::json(404, &json!({"detail": "no such thing", "code": "REPOSITORY_UNKNOWN"})),
        }
    });
    for command in ["token show ci", "repo show team"] {
        assert_tame(&run(&place, &server, command, &[]));
    }
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    let server = fake::server(&place, move |_| answer.clone());
    assert_tame(&run(&place, &server, "status", &[]));
}

/// A command that talks to this server, on a terminal.
fn on_terminal(place: &Place, server: &str, arguments: &[&str]) -> Terminal {
    let mut command = place.command();
    command.args(arguments).args(["--server", server]);
    Terminal::start(command)
}

#[test]
fn questions_show_control_characters() {
    let place = Place::new();
    let server = fake::server(&place, answer);
    let mut terminal = on_terminal(&place, &server, &["tag", "delete", "team/app:*"]);
    let question = terminal.expect("? [y/N] ");
    assert!(question.contains("Delete team/app:x\\u001b[2J") && !question.contains('\u{1b}'), "{question:?}");
    assert!(!question.contains('\n'), "{question:?}");
    terminal.answer("n\n");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn progress_shows_control_characters() {
    let place = Place::new();
    let begun = Instant::now();
    let server = fake::server(&place, move |_| {
        // Long enough for the command to show its progress, which it does every tenth of a second.
        std::thread::sleep(Duration::from_millis(60));
        let is_young = begun.elapsed() < Duration::from_secs(30);
        let state = if is_young { JobState::Running } else { JobState::Done };
        fake::json(200, &json!(samples::job(EVIL, state)))
    });
    let mut terminal = on_terminal(&place, &server, &["fsck"]);
    let shown = terminal.expect(": 1 of 2");
    assert!(shown.contains("x\\u001b[2J"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2J") && !shown.contains('\n'), "{shown:?}");
    terminal.child.kill().unwrap();
    terminal.wait();
}

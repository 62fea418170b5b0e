//! The output of `stowage fsck`: the image, the problem, and what to do, within the width of the terminal.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stowage::wire::JobState;

use crate::admin::program::Place;
use crate::admin::terminal::Terminal;
use crate::admin::{fake, samples};
use crate::support::content;

/// A store whose only layer is damaged; the digest of the layer.
fn damaged() -> (Place, String) {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    for tag in ["1", "2"] {
        content::push_image(&admin, "team/app", tag, b"layer");
    }
    server.stop();
    let digest = content::sha256(b"layer");
    let hex = digest.split_once(':').unwrap().1;
    let file = place.data().join("blobs/sha256").join(&hex[..2]).join(hex);
    fs::write(file, b"later").unwrap();
    (place, digest)
}

#[test]
fn a_check_names_the_image_the_problem_and_the_next_step() {
    let (place, digest) = damaged();
    let ran = place.run(&["fsck", "--deep"]).expect(7);
    for line in [
        "checked: 1 repository, 2 tags, 1 manifest, 2 blobs, ",
        &format!("team/app:1 and 1 more  {digest}  the content of the blob has changed on the disk\n"),
        "push these images again:\n  team/app:1\n  team/app:2\n1 problem\n",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("bytes_hashed"), "{ran:?}");
    let document = place.run(&["fsck", "--deep", "--json"]).expect(7).json();
    let error = &document["error"];
    assert_eq!((&document["ok"], &error["code"]), (&false.into(), &"PROBLEMS_FOUND".into()));
    assert_eq!(error["title"], "the check found 1 problem");
    assert_eq!(error["detail"], "kinds: blob_corrupt");
    assert_eq!(error["fix"], "push these images again: team/app:1, team/app:2");
    let wide = place.run(&["fsck", "-o", "wide"]).expect(7).stdout;
    assert!(wide.contains("SEVERITY") && wide.contains("blob_corrupt") && wide.contains(&digest), "{wide}");
}

#[test]
fn a_check_fits_the_terminal() {
    let (place, digest) = damaged();
    let mut terminal = Terminal::with_columns(&place, &["fsck", "--deep"], 60);
    let seen = terminal.expect("1 problem");
    let short = &digest.split_once(':').unwrap().1[..12];
    assert!(seen.contains(short) && !seen.contains(&digest), "{seen}");
    let lines: Vec<&str> = seen.lines().map(|line| line.rsplit("\x1b[K").next().unwrap()).collect();
    // The summary and the notes are sentences, which a terminal may wrap anywhere.
    let table = lines.iter().skip_while(|line| !line.starts_with("IMAGE"));
    let table: Vec<_> = table.take_while(|line| !line.starts_with("push")).collect();
    assert!(table.len() > 2, "the last column is not wrapped: {seen}");
    assert!(table.iter().all(|line| line.trim_end().chars().count() <= 60), "{table:#?}");
    assert_eq!(terminal.wait(), 7);
}

#[test]
fn a_signal_to_the_command_cancels_the_job_of_the_server() {
    let place = Place::new();
    for signal in [Signal::INT, Signal::TERM] {
        let (told, requests) = mpsc::channel();
        let mut state = JobState::Running;
        let server = fake::server(&place, move |request| {
            if request.starts_with("POST ") && request.contains("/cancel ") {
                state = JobState::Cancelled;
            }
            // The test does not read what comes after the end of the command.
            let _ = told.send(request.to_owned());
            fake::json(200, &json!(samples::job("x", state)))
        });
        let mut command = place.command();
        command.args(["fsck", "--json", "--server", &server]).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        // The job has started, and the command asks how far it is.
        while !requests.recv().unwrap().starts_with("GET /api/v1/jobs/") {}
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}: {output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["code"], "INTERRUPTED", "{signal:?}");
        assert!(requests.try_iter().any(|request| request.contains("/cancel ")), "{signal:?}");
    }
}

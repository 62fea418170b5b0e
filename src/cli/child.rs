//! Work in a child process, because a damaged database can end the process that opens it.
//!
//! The child is this program with a hidden command. It writes one JSON object per line to its stdout.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::{Exit, Failure};

/// A message of the child.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The progress; a total of 0 is not known.
    Progress { stage: String, done: u64, total: u64, bytes: u64 },
    /// The result.
    Result { data: Value },
    /// It failed, with its error.
    Failed { failure: Failure },
    /// It is about to end in a panic.
    Panicked { message: String },
}

/// How the child ended.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// With a result.
    Finished(Value),
    /// With an error of its own.
    Failed(Failure),
    /// The process ended early: its last message, or the signal that ended it.
    Crashed(String),
}

/// Names the parent to the child.
const PARENT: &str = "STOWAGE_PARENT";

/// Runs this program with `arguments` and waits for it.
pub(super) fn run(arguments: &[&OsStr], mut on_event: impl FnMut(&Event)) -> io::Result<Outcome> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env(PARENT, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut last = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            // Any other line on stdout would be from a library, and is ignored.
            let Ok(event) = serde_json::from_str::<Event>(&line?) else { continue };
            on_event(&event);
            if !matches!(event, Event::Progress { .. }) {
                last = Some(event);
            }
        }
    }
    Ok(outcome(last, child.wait()?))
}

/// Sends a message to the parent. If the parent is gone, the child ends.
pub(super) fn say(event: &Event) {
    let said = serde_json::to_string(event).map_err(io::Error::other).and_then(|line| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush())
    });
    if said.is_err() {
        std::process::exit(i32::from(Exit::Failed.code()));
    }
}

/// In the child: it ends when its parent is killed. Otherwise it would keep the database open, and the next
/// start would find it in use.
fn end_with_parent() {
    // Without it, the child only ends later.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let parent = std::env::var(PARENT).ok().and_then(|parent| parent.parse().ok()).and_then(Pid::from_raw);
    // It may have been killed before the signal was asked for.
    if parent.is_some_and(|parent| getppid() != Some(parent)) {
        std::process::exit(i32::from(Exit::Failed.code()));
    }
}

/// In the child: runs `work` and reports its result to the parent, also after a panic.
pub(super) fn answer<T: Serialize>(work: impl FnOnce() -> Result<T, Failure>) -> Exit {
    end_with_parent();
    std::panic::set_hook(Box::new(|panic| say(&Event::Panicked { message: panic.to_string() })));
    let result = work().and_then(|data| {
        serde_json::to_value(data).map_err(|error| Failure::new(Exit::Failed, "RESULT", error.to_string()))
    });
    match result {
        Ok(data) => {
            say(&Event::Result { data });
            Exit::Done
        }
        Err(failure) => {
            let exit = failure.exit;
            say(&Event::Failed { failure });
            exit
        }
    }
}

fn outcome(last: Option<Event>, status: ExitStatus) -> Outcome {
    match last {
        Some(Event::Result { data }) if status.success() => Outcome::Finished(data),
        Some(Event::Failed { failure }) => Outcome::Failed(failure),
        Some(Event::Panicked { message }) => Outcome::Crashed(message.replace('\n', " ")),
        _ => match status.signal() {
            // The signal came from outside: from a user, or from the kernel because memory ran out.
            Some(signal @ (libc_signal::HUP | libc_signal::INT | libc_signal::KILL | libc_signal::TERM)) => {
                let what = format!("the check was ended by signal {signal}");
                Outcome::Failed(Failure::new(Exit::Failed, "CHECK_ENDED", what).fix("run it again"))
            }
            Some(signal) => Outcome::Crashed(format!("reading it ended the process with signal {signal}")),
            None => Outcome::Crashed(format!("reading it ended the process ({status})")),
        },
    }
}

/// Signal numbers, which are the same on every Linux.
mod libc_signal {
    pub(super) const HUP: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const KILL: i32 = 9;
    pub(super) const TERM: i32 = 15;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_child_decides_what_is_damaged() {
        let (done, failed_exit) = (ExitStatus::from_raw(0), ExitStatus::from_raw(9 << 8));
        let killed_by = ExitStatus::from_raw;
        let result = || Some(Event::Result { data: Value::from(7) });
        assert_eq!(outcome(result(), done), Outcome::Finished(Value::from(7)));

        let in_use = Failure::new(Exit::InUse, "STORE_IN_USE", "the data is in use");
        let event = Event::Failed { failure: in_use.clone() };
        assert_eq!(outcome(Some(event), failed_exit), Outcome::Failed(in_use));

        let panicked = Event::Panicked { message: "at page.rs:1:\nout of range".to_owned() };
        let aborted = killed_by(6);
        assert_eq!(
            outcome(Some(panicked), aborted),
            Outcome::Crashed("at page.rs:1: out of range".to_owned())
        );
        for signal in [6, 7, 11] {
            let crashed = Outcome::Crashed(format!("reading it ended the process with signal {signal}"));
            assert_eq!(outcome(None, killed_by(signal)), crashed);
        }
        assert_eq!(
            outcome(result(), killed_by(11)),
            outcome(None, killed_by(11)),
            "it may have lied by then"
        );
        for signal in [1, 2, 9, 15] {
            assert!(matches!(outcome(None, killed_by(signal)), Outcome::Failed(_)), "{signal} is no damage");
        }
        assert!(matches!(outcome(None, done), Outcome::Crashed(_)), "no result is no success");
    }

    #[test]
    fn events_survive_the_pipe() {
        for event in [
            Event::Progress { stage: "blobs".to_owned(), done: 1, total: 0, bytes: 7 },
            Event::Failed { failure: Failure::new(Exit::Usage, "X", "y").because("z").fix("w") },
            Event::Panicked { message: "m".to_owned() },
        ] {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }
}

//! Kills and errors at a certain system call, with strace.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::dice::Dice;
use crate::process::Stowage;
use crate::support::eventually;
use crate::volume::{left_out, text};

/// The calls of a push that change files and directories.
const CALLS: [&str; 7] = ["openat", "pwritev", "fdatasync", "renameat", "fsync", "pwrite64", "unlinkat"];

/// The greatest number of calls that a thread makes before the one that counts.
const NTH: u64 = 5;
const KILL: &str = "signal=SIGKILL";

/// An strace command that does `what` when a thread makes its `n`-th call of this name, and logs all of these
/// calls.
fn strace(call: &str, what: &str, n: u64, output: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", text(output), "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:{what}:when={n}")]);
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

/// An strace that is attached to a running server. Dropping it detaches it.
struct Attached {
    strace: Child,
    output: NamedTempFile,
}

impl Attached {
    /// Returns when strace is attached.
    fn new(server: &Stowage, what: &str, dice: &mut Dice) -> Self {
        let call = CALLS[dice.size(CALLS.len() as u64) - 1];
        let n = 1 + dice.below(NTH);
        let output = NamedTempFile::new().expect("a file for what strace says");
        let mut strace = strace(call, what, n, output.path());
        let strace = strace.args(["-p", &server.id().to_string()]).spawn().expect("strace starts");
        let status = format!("/proc/{}/status", server.id());
        eventually("strace holds on to the server", || {
            // If the server was killed at its first call, it has no tracer any more.
            let status = fs::read_to_string(&status).unwrap_or_default();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.is_none_or(|tracer| tracer.trim() != "0") || status.contains("zombie")
        });
        Self { strace, output }
    }

    /// Whether it has made a call fail.
    fn has_injected(&self) -> bool {
        fs::read_to_string(self.output.path()).is_ok_and(|calls| calls.contains("(INJECTED)"))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Whether strace is installed. If not, prints a message; cuts at calls are then left out.
pub(crate) fn available() -> bool {
    match Command::new("strace").arg("--version").output() {
        Ok(_) => true,
        Err(error) => left_out::<()>(&io::Error::new(error.kind(), format!("strace: {error}"))).is_some(),
    }
}

/// Kills a running server when one of its threads makes a certain call. If none does in two seconds, the
/// server lives on. Returns whether it was killed; `None` without strace.
pub(crate) fn kill_at_call(server: &mut Stowage, dice: &mut Dice) -> Option<bool> {
    if !available() {
        return None;
    }
    let _attached = Attached::new(server, KILL, dice);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        if let Some(ended) = server.ended() {
            assert!(was_killed(ended), "it ended by itself: {ended}");
            return Some(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(false)
}

/// Makes a call of each thread of a running server fail once, and waits a while. Returns whether any has
/// failed; `None` without strace.
pub(crate) fn fail_calls(server: &Stowage, dice: &mut Dice) -> Option<bool> {
    if !available() {
        return None;
    }
    let what = if dice.below(2) == 0 { "error=EIO" } else { "error=ENOSPC" };
    let attached = Attached::new(server, what, dice);
    std::thread::sleep(Duration::from_micros(200_000 + dice.below(500_000)));
    Some(attached.has_injected())
}

fn was_killed(ended: ExitStatus) -> bool {
    ended.signal() == Some(Signal::KILL.as_raw())
}

/// A command under strace, which kills it when a thread makes its `n`-th call of this name. Dropping it ends
/// both.
pub(crate) struct Traced(Child);

impl Traced {
    pub(crate) fn start(command: &Command, call: &str, n: u64) -> Self {
        let mut strace = strace(call, KILL, n, Path::new("/dev/null"));
        strace.arg(command.get_program()).args(command.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        Self(strace.spawn().expect("strace starts"))
    }

    /// Waits until it is killed, or until `is_through` says that it will not make that many calls. Returns
    /// whether it was killed. Any other end is a failure.
    pub(crate) fn is_killed(&mut self, case: &str, is_through: impl Fn(Option<ExitStatus>) -> bool) -> bool {
        let begun = Instant::now();
        loop {
            let ended = self.ended();
            // strace exits like the process that it traces.
            if ended.is_some_and(was_killed) {
                return true;
            }
            if is_through(ended) {
                return false;
            }
            assert!(ended.is_none(), "{case}: it was not killed, and ended with {ended:?}");
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{case}: it neither is killed nor gets through"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the child can be asked")
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // If strace itself were killed, it would detach and leave the process running.
            let id = self.0.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            for child in
                children.split_whitespace().filter_map(|id| id.parse().ok()).filter_map(Pid::from_raw)
            {
                let _ = kill_process(child, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}

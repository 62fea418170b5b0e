//! Kills and errors at a certain system call, by strace.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::dice::Dice;
use crate::process::Stowage;
use crate::volume::left_out;

/// The calls of a push that change files and directories.
const CALLS: [&str; 7] = ["openat", "pwritev", "fdatasync", "renameat", "fsync", "pwrite64", "unlinkat"];

const KILL: &str = "signal=SIGKILL";

/// strace that does something when a thread makes its `n`-th call of this name.
fn strace(call: &str, what: &str, n: u64) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:{what}:when={n}")]);
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

/// strace on a server that is at work.
fn attach(server: &Stowage, what: &str, dice: &mut Dice) -> Child {
    let call = CALLS[dice.size(CALLS.len() as u64) - 1];
    let n = 1 + dice.below(5);
    strace(call, what, n).args(["-p", &server.id().to_string()]).spawn().expect("strace starts")
}

/// Whether there is a strace. Where there is none, with a word about it, nothing can be killed at a call.
pub(crate) fn available() -> bool {
    match Command::new("strace").arg("--version").output() {
        Ok(_) => true,
        Err(error) => left_out::<()>(&io::Error::new(error.kind(), format!("strace: {error}"))).is_some(),
    }
}

/// Kills a server that is at work when one of its threads makes a certain call from now. One that does not come to it
/// in two seconds lives on.
pub(crate) fn kill_at_call(server: &mut Stowage, dice: &mut Dice) {
    if !available() {
        return;
    }
    let mut strace = attach(server, KILL, dice);
    let begun = Instant::now();
    while server.ended().is_none() && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // It has nothing to hold on to once its server is dead.
    let _ = strace.kill();
    let _ = strace.wait();
}

/// Lets a call of each thread of a server fail that is at work, once, and leaves the server some time to live with it.
pub(crate) fn fail_calls(server: &Stowage, dice: &mut Dice) {
    if !available() {
        return;
    }
    let what = if dice.below(2) == 0 { "error=EIO" } else { "error=ENOSPC" };
    let mut strace = attach(server, what, dice);
    std::thread::sleep(Duration::from_micros(200_000 + dice.below(500_000)));
    // The server is let go when its tracer dies.
    let _ = strace.kill();
    let _ = strace.wait();
}

/// A command under strace, which kills it when a thread makes its `n`-th call of this name. Both go when it is dropped.
pub(crate) struct Traced(Child);

impl Traced {
    pub(crate) fn start(command: &Command, call: &str, n: u64) -> Self {
        let mut strace = strace(call, KILL, n);
        strace.arg(command.get_program()).args(command.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        Self(strace.spawn().expect("strace starts"))
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the child can be asked")
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // strace would let go of what it traces.
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

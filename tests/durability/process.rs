//! The real binary: started, observed, killed and stopped as operators, crashes and supervisors do.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::exchange::exchange;
use crate::support::Client;

/// A time-out for everything that should end by itself. It is generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `stowage serve`. It is killed when it is dropped.
pub(crate) struct Stowage {
    child: Child,
    log: NamedTempFile,
    may_panic: bool,
    pub(crate) address: SocketAddr,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Stowage {
    /// Starts an open registry on a data directory and waits until it answers.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// The same with environment variables.
    pub(crate) fn start_with(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let started = Self::launch(dir, variables).wait_for_answer();
        started.unwrap_or_else(|ended| panic!("the server ended at its start: {ended:#?}"))
    }

    /// Starts it on a store that may be damaged. It may refuse the store, and redb may panic.
    pub(crate) fn try_start_on_damage(dir: &Path) -> Result<Self, Ended> {
        let mut stowage = Self::launch(dir, &[]);
        stowage.may_panic = true;
        stowage.wait_for_answer()
    }

    /// Waits until it answers, or returns how it ended before.
    pub(crate) fn wait_for_answer(mut self) -> Result<Self, Ended> {
        let started = Instant::now();
        while !self.answers() {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return Err(Ended { code: status.code(), stdout: String::new(), stderr: self.log() });
            }
            assert!(started.elapsed() < PATIENCE, "the server does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(self)
    }

    /// Starts it without waiting.
    pub(crate) fn launch(dir: &Path, variables: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().expect("a file for the log");
        let (mut command, address) = serve(dir);
        command.envs(variables.iter().copied());
        let stderr = log.reopen().expect("the log opens");
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary starts");
        Self { child, log, may_panic: false, address }
    }

    fn answers(&self) -> bool {
        answers(self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child can be asked")
    }

    /// `kill -9`
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop, as a supervisor does.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server is there");
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it gracefully.
    pub(crate) fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Its peak memory in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        memory_mib(self.id(), "VmHWM:")
    }

    /// Its output on stderr.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("the log is text")
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        let panicked = log.contains("panicked") && !self.may_panic;
        assert!(!panicked || std::thread::panicking(), "the server panicked:\n{log}");
    }
}

impl Drop for Stowage {
    fn drop(&mut self) {
        self.end();
    }
}

/// The command of an open registry that is not started yet, and its address.
pub(crate) fn serve(dir: &Path) -> (Command, SocketAddr) {
    let address = free_address();
    let mut command = command("serve");
    command.args(["--anonymous", "--listen", &address.to_string()]).env("STOWAGE__LOG__LEVEL", "warn");
    command.arg("--data-dir").arg(dir);
    (command, address)
}

/// A value of a process's status by its name, in MiB.
pub(crate) fn memory_mib(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let found = status.lines().find_map(|line| line.strip_prefix(name)).expect("an amount of memory");
    found.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Whether a server answers.
pub(crate) fn answers(address: SocketAddr) -> bool {
    exchange(address, "GET", "/v2/", &[], b"").is_ok_and(|answer| answer.status == 200)
}

/// Runs a command to its end.
pub(crate) fn run(name: &str, arguments: &[&str], dir: &Path) -> Ended {
    run_with(name, arguments, dir, &[])
}

/// The same with environment variables.
pub(crate) fn run_with(name: &str, arguments: &[&str], dir: &Path, variables: &[(&str, &str)]) -> Ended {
    let mut command = command(name);
    command.envs(variables.iter().copied());
    command.args(arguments).arg("--data-dir").arg(dir).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let started = Instant::now();
    while child.try_wait().expect("the child can be asked").is_none() {
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{name} does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("the output is there");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A start that must be refused: its exit and its message.
pub(crate) fn refused_start(dir: &Path) -> Ended {
    run("serve", &["--anonymous", "--log-level", "error", "--listen", &free_address().to_string()], dir)
}

/// A start that may be refused: its exit and its message, or `None` if it answers; then it is stopped
/// gracefully.
pub(crate) fn refused_or_started(dir: &Path) -> Option<Ended> {
    match Stowage::launch(dir, &[]).wait_for_answer() {
        Ok(server) => {
            server.stop();
            None
        }
        Err(refused) => Some(refused),
    }
}

/// Asserts that all acknowledged content is there, that all rows are consistent, and that nothing is damaged.
#[track_caller]
pub(crate) fn assert_whole(dir: &Path) {
    let (_, wrong) = fsck(dir);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// The report of a deep check, and what is wrong.
pub(crate) fn fsck(dir: &Path) -> (Value, Option<String>) {
    let ended = run("fsck", &["--deep", "--json"], dir);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let is_whole = ended.code == Some(0) && report["ok"] == true;
    (report, (!is_whole).then(|| format!("fsck: {ended:?}")))
}

/// Bytes that the upload has received.
pub(crate) fn offset(client: &Client, upload: &str) -> usize {
    let standing = client.get(upload).expect(204);
    let last = standing.header("range").and_then(|range| range.strip_prefix("0-")).expect("a range");
    // An empty upload says 0-0; no test here sends a single byte.
    last.parse::<usize>().expect("a number") + usize::from(last != "0")
}

/// A directory in memory if there is room, for tests that do not depend on a disk.
pub(crate) fn directory_in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a temporary directory")
}

/// Writes a line that the runner shows if the test fails.
#[expect(clippy::print_stdout, reason = "the test runner shows it when the test fails")]
pub(crate) fn note(text: &str) {
    println!("{text}");
}

/// A command of the binary, without the settings of this machine.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
    // A packaged configuration would lead to the machine's own registry.
    command.args([name, "--config", "/dev/null"]).env_clear().env("STOWAGE__STORAGE__MIN_FREE", "0");
    command.env("STOWAGE__STORAGE__WARN_FREE", "0");
    command
}

/// A port below the ephemeral range, so that no other process gets it before the server.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const PORTS: u16 = 20_000;
    let process = u16::try_from(std::process::id() % u32::from(PORTS)).expect("a small number");
    loop {
        let offset = (process.wrapping_mul(64) % PORTS + NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let address = SocketAddr::from(([127, 0, 0, 1], FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

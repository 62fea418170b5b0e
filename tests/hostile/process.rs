//! `stowage serve` as a process of its own, whose memory and processor time can be measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Client;

/// A time-out for everything that should end by itself. It is generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);
/// The kernel's unit of processor time: ticks a second.
const TICKS: u64 = 100;
/// The password of every user but the first admin.
pub(crate) const USER_PASSWORD: &str = "lantern-quay-and-tide";
/// The most memory that the server may use under any load.
pub(crate) const MEMORY_MIB: u64 = 200;

/// The parameters of a server's start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// Lines of its settings file, in addition to those of every test.
    pub(crate) settings: &'a str,
    /// Whether the registry is open.
    pub(crate) open: bool,
    /// The first admin's password, if there is one.
    pub(crate) password: Option<&'a str>,
    /// The level of its log; `info` when it is empty.
    pub(crate) level: &'a str,
    /// The soft limit of open files at the start.
    pub(crate) open_files: Option<u32>,
}

/// A running server. It is killed when it is dropped.
pub(crate) struct Stowage {
    pub(crate) address: SocketAddr,
    place: TempDir,
    child: Child,
    how: How,
}

/// How it was started, besides its settings file.
struct How {
    open: bool,
    level: String,
    open_files: Option<u32>,
}

impl How {
    fn spawn(&self, place: &Path) -> Child {
        let mut command = match self.open_files {
            None => Command::new(env!("CARGO_BIN_EXE_stowage")),
            Some(files) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -Sn {files} && exec \"$0\" \"$@\"")]);
                shell.arg(env!("CARGO_BIN_EXE_stowage"));
                shell
            }
        };
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--log-level", &self.level]);
        command.args(self.open.then_some("--anonymous"));
        command.arg("--config").arg(place.join("stowage.toml"));
        command.arg("--data-dir").arg(place.join("data"));
        let log = fs::File::create(place.join("log")).expect("a file for the log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts")
    }
}

impl Stowage {
    /// An open registry: everybody may do everything.
    pub(crate) fn open() -> Self {
        Self::start(&Setup { open: true, ..Setup::default() })
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        let place = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a directory");
        let password_file = place.path().join("password");
        let mut settings = format!(
            "[storage]\nmin_free = \"0\"\nwarn_free = \"0\"\n[log]\nformat = \"json\"\n{}",
            setup.settings
        );
        if let Some(password) = setup.password {
            fs::write(&password_file, password).expect("the password is written");
            fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("only its owner may read it");
            let path = password_file.display();
            let _ = write!(settings, "\n[auth]\ninitial_admin_password_file = \"{path}\"\n");
        }
        fs::write(place.path().join("stowage.toml"), settings).expect("the settings are written");
        let level = if setup.level.is_empty() { "info" } else { setup.level };
        let how = How { open: setup.open, level: level.to_owned(), open_files: setup.open_files };
        let child = how.spawn(place.path());
        let mut stowage = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), place, child, how };
        stowage.address = stowage.ready();
        stowage
    }

    /// `kill -9`
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server is there");
        self.child.wait().expect("an end");
    }

    /// `kill -9`, and another start on the same data with a log of its own; how long that took.
    pub(crate) fn kill_and_start(&mut self) -> Duration {
        self.kill();
        let started = Instant::now();
        self.child = self.how.spawn(self.place.path());
        self.address = self.ready();
        started.elapsed()
    }

    /// The address in the log when the server is ready.
    fn ready(&mut self) -> SocketAddr {
        let started = Instant::now();
        loop {
            let log = self.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let address = lines.find_map(|line| {
                let (_, address) = line["registry"].as_str()?.split_once("://")?;
                address.parse().ok()
            });
            if let Some(address) = address {
                return address;
            }
            let ended = self.child.try_wait().expect("the child can be asked");
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "the server is not ready: {ended:?}\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its output on stderr.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.path().join("log")).expect("the log")).into_owned()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// Its admin socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data().join("admin.sock")
    }

    /// Runs the command `stowage ARGUMENTS` for it.
    pub(crate) fn command(&self, arguments: &[&str], stdin: &str) -> Output {
        let input = self.place.path().join("stdin");
        fs::write(&input, stdin).expect("the input is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
        command.env_clear().args(arguments).arg("--config").arg(self.place.path().join("stowage.toml"));
        command.arg("--data-dir").arg(self.data()).stdin(fs::File::open(input).expect("the input"));
        command.output().expect("the command runs")
    }

    /// Creates a user who may pull and push, and returns a token of that user.
    pub(crate) fn add_user(&self, name: &str) -> String {
        let made = self.command(&["user", "add", name, "--password-stdin"], USER_PASSWORD);
        assert!(made.status.success(), "{made:?}");
        let scopes = "read_registry,write_registry";
        let made = self.command(&["token", "create", name, "--name", "test", "--scopes", scopes], "");
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).expect("text").trim().to_owned()
    }

    /// The number of its open sockets.
    pub(crate) fn sockets(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it is there");
        let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// Its peak memory.
    pub(crate) fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is there");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Asserts that its peak memory is within the bound, and prints it.
    #[track_caller]
    pub(crate) fn assert_small(&self) {
        let peak = self.peak_mib();
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        note(&format!("{name}: peak {peak} MiB, {:.2} s of processor time", self.processor_s()));
        assert!(peak < MEMORY_MIB, "{peak} MiB");
    }

    /// Asserts that no thread spins: within half a minute there is a moment in which the server is idle.
    #[track_caller]
    pub(crate) fn assert_at_rest(&self) {
        const MOMENT: Duration = Duration::from_millis(250);
        let started = Instant::now();
        let mut spent = Vec::new();
        while started.elapsed() < Duration::from_secs(30) {
            let (before, begun) = (self.on_processor(), Instant::now());
            std::thread::sleep(MOMENT);
            let now = self.on_processor();
            let more =
                |(thread, time): (&String, &u64)| time - before.get(thread).copied().unwrap_or(0).min(*time);
            spent.push(Duration::from_nanos(now.iter().map(more).sum()));
            if spent.last().is_some_and(|spent| *spent < begun.elapsed() / 20) {
                return;
            }
        }
        panic!("processor time in each quarter of a second: {spent:?}");
    }

    /// Nanoseconds of processor time of each thread; the kernel counts them more exactly than those of the
    /// process.
    fn on_processor(&self) -> BTreeMap<String, u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it is there");
        let times = threads.filter_map(|thread| {
            let thread = thread.ok()?;
            let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let nanoseconds = line.split(' ').next()?.parse().ok()?;
            Some((thread.file_name().to_string_lossy().into_owned(), nanoseconds))
        });
        times.collect()
    }

    /// Seconds of processor time that it has used.
    #[expect(clippy::cast_precision_loss, reason = "a test uses no centuries")]
    fn processor_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is there");
        // The name before it may contain spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
        (ticks(11) + ticks(12)) as f64 / TICKS as f64
    }

    /// Stops it gracefully and returns all that it logged.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server is there");
        let status = self.child.wait().expect("an end");
        let log = self.log();
        assert!(status.success(), "{status}:\n{log}");
        log
    }
}

impl Drop for Stowage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        assert!(!log.contains("panicked") || std::thread::panicking(), "the server panicked:\n{log}");
    }
}

/// Writes a line that the runner shows.
#[expect(clippy::print_stdout, reason = "the figures of docs/security.md come from here")]
pub(crate) fn note(text: &str) {
    println!("{text}");
}

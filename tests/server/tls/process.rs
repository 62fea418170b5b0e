//! `stowage serve` as a process of its own, with its settings file and its log.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub struct Process {
    pub directory: TempDir,
    pub address: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

/// The directory of a process that has not started yet.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub fn settings(&self) -> PathBuf {
        self.0.path().join("stowage.toml")
    }

    /// A command that serves from this directory.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(self.settings());
        command.arg("--data-dir").arg(self.0.path().join("data"));
        command
    }

    /// Starts the server and waits until it is ready.
    pub fn start(self, settings: &str) -> Process {
        write_settings(&self.settings(), settings);
        let mut child = self.command().stderr(Stdio::piped()).spawn().expect("stowage starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().expect("the log").push(line);
            }
        });
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut process = Process { directory: self.0, address, child, log };
        let ready = process.wait_for("ready");
        let registry = ready["registry"].as_str().expect("an address");
        let (_, address) = registry.split_once("://").expect("a URL");
        process.address = address.parse().expect("an address");
        process
    }
}

/// The settings of every test, followed by these.
fn write_settings(path: &std::path::Path, settings: &str) {
    let mut text = settings.to_owned();
    if !settings.contains("[log]") {
        let _ = write!(text, "\n[log]\n");
    }
    let text = text.replace("[log]\n", "[log]\nformat = \"json\"\n");
    fs::write(path, text).expect("the settings are written");
}

impl Process {
    pub fn write_settings(&self, settings: &str) {
        write_settings(&self.directory.path().join("stowage.toml"), settings);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("a signal is sent");
    }

    /// Writes other settings, sends SIGHUP, and returns the log lines about it.
    pub fn reload(&self, settings: &str) -> Vec<Value> {
        self.write_settings(settings);
        self.hang_up()
    }

    /// Sends SIGHUP and returns the log lines about it.
    pub fn hang_up(&self) -> Vec<Value> {
        let before = self.log().len();
        self.signal(Signal::HUP);
        let is_last = |line: &Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message == "read the configuration again" || message.starts_with("the settings stay as they were")
        };
        self.wait(|log| log[before..].iter().any(is_last).then(|| log[before..].to_vec()))
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("the log").clone()
    }

    /// Waits for a line with this message.
    pub fn wait_for(&self, message: &str) -> Value {
        let is_it = |line: &&Value| line["message"].as_str().is_some_and(|text| text.starts_with(message));
        self.wait(|log| log.iter().find(is_it).cloned())
    }

    fn wait<T>(&self, found: impl Fn(&[Value]) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let log = self.log();
            if let Some(found) = found(&log) {
                return found;
            }
            assert!(Instant::now() < deadline, "not in the log: {log:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it gracefully.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("an end")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines about one setting: `message key old new`.
pub fn changes(log: &[Value]) -> Vec<String> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let with_key = log.iter().filter(|line| line["key"].is_string());
    with_key.map(|line| ["message", "key", "old", "new"].map(|name| text(line, name)).join(" | ")).collect()
}

//! The real program: a server with a directory of its own, and commands.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Client;

pub(crate) const PASSWORD: &str = "canary-Quay-Violin-77";

/// A data directory, with or without a server.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
}

/// A running server that logs everything it can.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.data().join("admin.sock")
    }

    /// The file of a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        self.data().join("blobs").join(algorithm).join(&hex[..2]).join(hex)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowage"));
        command.env_clear().env("HOME", self.directory.path()).env("STOWAGE__STORAGE__MIN_FREE", "0");
        // Whether the disk of the machine is nearly full must not matter.
        command.env("STOWAGE__STORAGE__WARN_FREE", "0");
        // An installed Stowage has its own settings, which must not be used.
        command.env("STOWAGE_CONFIG", "/dev/null");
        command
    }

    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// A server with these settings in its environment.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)]) -> Server {
        let data = self.data();
        self.serve_as(&["--log-level", "trace", "--data-dir", data.to_str().unwrap()], environment)
    }

    /// A server with these flags, and these settings in its environment.
    pub(crate) fn serve_as(&self, flags: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = self.command();
        command.envs(environment.iter().copied());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags);
        command.env("STOWAGE__LOG__FORMAT", "json").stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = mpsc::channel();
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("\"registry\":\"http") {
                    let (_, address) = rest.split_once("://").unwrap();
                    let _ = ready.send(address.split_once('"').unwrap().0.to_owned());
                }
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let address = is_ready.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the server is not ready: {}", log.lock().unwrap())
        });
        Server { address: address.parse().unwrap(), child, log, reader: Some(reader) }
    }

    /// A server, and a client of its first admin.
    pub(crate) fn serve_with_admin(&self) -> (Server, Client) {
        let server = self.serve();
        let password = fs::read_to_string(self.data().join("initial-admin-password")).unwrap();
        let admin = server.client().basic("admin", password.trim());
        (server, admin)
    }

    /// Runs `stowage ARGUMENTS` in an environment without a server.
    pub(crate) fn run_elsewhere(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = self.command_elsewhere(arguments);
        command.envs(environment.iter().copied());
        ran(command, "")
    }

    /// The same with this stdin.
    pub(crate) fn run_elsewhere_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        ran(self.command_elsewhere(arguments), stdin)
    }

    fn command_elsewhere(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments).env("HOME", self.directory.path().join("elsewhere"));
        command
    }

    /// Runs `stowage ARGUMENTS --data-dir DATA` with this stdin.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut command = self.command();
        command.args(arguments).arg("--data-dir").arg(self.data());
        ran(command, stdin)
    }
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Creates a user with [`PASSWORD`].
    pub(crate) fn add(&self, name: &str) {
        self.run_with(&["user", "add", name, "--password-stdin"], PASSWORD).expect(0);
    }
}

fn ran(mut command: Command, stdin: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that fails early does not read its stdin.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Stops it gracefully and returns all that it logged.
    pub(crate) fn stop(mut self) -> String {
        self.end();
        self.log.lock().unwrap().clone()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for its end and returns its exit code.
    pub(crate) fn wait(mut self) -> i32 {
        let status = self.child.wait().unwrap();
        self.reader.take().map(std::thread::JoinHandle::join);
        status.code().unwrap_or(-1)
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.reader.is_some() && matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{self:?}");
        self
    }

    /// The JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The first line of an error, which says what is wrong.
    pub(crate) fn error(&self) -> &str {
        self.stderr.lines().next().unwrap_or_default()
    }
}

/// Sends a request to a Unix socket and returns the status, the head and the body.
pub(crate) fn over_socket(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

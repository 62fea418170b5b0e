//! The real program on a store: `stowage serve` and other commands, with their time and memory.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::process::MemoryWatch;
use crate::target::Target;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stowage");
/// A time-out for everything that should end by itself.
const PATIENCE: Duration = Duration::from_mins(10);

/// A server. It is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// Its admin socket.
    socket: PathBuf,
    pub(crate) address: SocketAddr,
    /// The time from its start to its first 200.
    pub(crate) ready_in: Duration,
}

/// A command that has succeeded.
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// Its peak memory, in bytes.
    pub(crate) peak: u64,
}

fn command(name: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(name).stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("STOWAGE__") {
            command.env_remove(variable);
        }
    }
    command
}

/// A socket in the system's temporary directory, because its path must be short.
fn socket(data_dir: &Path) -> PathBuf {
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy();
    std::env::temp_dir().join(format!("stowage-growth-{}-{name}.sock", std::process::id()))
}

impl Server {
    /// Starts a server on a store and waits for its first response. `variables` are settings.
    pub(crate) fn start(data_dir: &Path, variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = data_dir.with_extension("log");
        let mut command = command("serve");
        command.args(["--anonymous", "--log-level", "info", "--listen", &address.to_string()]);
        command.arg("--data-dir").arg(data_dir).env("STOWAGE__LOG__ACCESS", "false");
        command.env("STOWAGE__AUTH__ADMIN_SOCKET__PATH", socket(data_dir)).envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(File::create(&log)?);
        let begun = Instant::now();
        let (socket, ready_in) = (socket(data_dir), Duration::ZERO);
        let mut server = Self { child: command.spawn()?, log, socket, address, ready_in };
        while !answers(address).unwrap_or(false) {
            if let Some(status) = server.child.try_wait()? {
                return Err(Failure(format!("the server ended with {status}:\n{}", server.log())));
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failure(format!("the server does not answer:\n{}", server.log())));
            }
            sleep(Duration::from_millis(1));
        }
        server.ready_in = begun.elapsed();
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The server as a target of load.
    pub(crate) async fn target(&self, name: &str) -> Result<Target, Failure> {
        let spec = format!("{name}=http://{},pid={}", self.address, self.id());
        Target::connect(&spec.parse()?).await
    }

    /// The JSON document of a response of the admin API.
    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Result<serde_json::Value, Failure> {
        let received = self.ask(method, path, body)?;
        let wrong = || Failure(format!("{method} {path}: {received}"));
        serde_json::from_str(&received).map_err(|_| wrong())
    }

    /// Deletes something through the admin API.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask("DELETE", path, "").map(drop)
    }

    /// The body of a response of the admin API, which must be a success.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, Failure> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let content = match (method, body) {
            ("POST", "") => "Content-Length: 0\r\n".to_owned(),
            ("POST", body) => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{content}\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut received = String::new();
        stream.read_to_string(&mut received)?;
        let is_good = received.starts_with("HTTP/1.1 2");
        match received.split_once("\r\n\r\n") {
            Some((_, body)) if is_good => Ok(body.to_owned()),
            _ => Err(Failure(format!("{method} {path}: {received}"))),
        }
    }

    /// Its output.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its peak memory since the last reset, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        MemoryWatch::HighWater(self.id()).end().unwrap_or(0)
    }

    /// Stops it gracefully.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(io::Error::from)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(Failure(format!("the server's end: {status}"))) }
    }

    /// `kill -9`
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a server answers.
fn answers(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status == *b"HTTP/1.1 200")
}

/// Runs a command, which must succeed.
pub(crate) fn run(name: &str, arguments: &[&str], paths: &[(&str, &Path)]) -> Result<Ran, Failure> {
    let mut command = command(name);
    command.args(arguments);
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    let output = tempfile::NamedTempFile::new()?;
    command.stdout(output.reopen()?).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(MemoryWatch::HighWater(child.id()).end().unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed();
    if !status.success() {
        let output = std::fs::read_to_string(output.path())?;
        let shown: String = output.chars().take(2_000).collect();
        return Err(Failure(format!("stowage {name} ends with {status}: {shown}")));
    }
    Ok(Ran { took, peak })
}

/// Removes the files of a store from the page cache, as far as they are written.
pub(crate) fn forget(data_dir: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(data_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)?;
        }
    }
    Ok(())
}

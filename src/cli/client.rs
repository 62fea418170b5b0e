//! How a command reaches the data: the running server's admin API over its Unix socket, or the same API on the store
//! itself when no server runs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::errors::{Exit, Failure};
use super::offline::Offline;
use super::program::Global;
use super::settings;
use crate::config;
use crate::config::Environment;
use crate::config::Flags;

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 256 << 20;

/// Flags of every command that works on a server or its store.
#[derive(clap::Args)]
pub(super) struct Reach {
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Talk to the server at this socket, such as `unix:/run/stowage/admin.sock` (also: `STOWAGE_SERVER`)
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Open the store itself; the server must not run
    #[arg(long, global = true, conflicts_with = "server")]
    offline: bool,
    /// The data directory
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The admin API, wherever it is.
pub(super) struct Api {
    socket: PathBuf,
    /// The store, when this process has opened it.
    offline: Option<Offline>,
}

/// An answer of the admin API.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Reach {
    /// Finds the server, or opens the store if there is none.
    pub(super) fn open(&self, global: &Global, environment: &Environment) -> Result<Api, Failure> {
        let named = match &self.server {
            Some(server) => Some(server.clone()),
            None if self.offline => None,
            None => environment.get("STOWAGE_SERVER").map(|server| server.to_string_lossy().into_owned()),
        };
        if let Some(server) = named {
            let socket = unix_path(&server)?;
            UnixStream::connect(&socket).map_err(|error| unreachable(&socket, &error))?;
            return Ok(Api { socket, offline: None });
        }
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let loaded = settings::load(global, environment, flags)?;
        let (data_dir, _) = settings::directories(&loaded, environment)?;
        if !self.offline
            && let Some(socket) = config::admin_socket(&loaded, environment, &data_dir)
        {
            match UnixStream::connect(&socket) {
                Ok(_) => return Ok(Api { socket, offline: None }),
                Err(error) if nobody_there(&error) => {}
                Err(error) => return Err(unreachable(&socket, &error)),
            }
        }
        let offline = Offline::open(loaded.config, &data_dir)?;
        Ok(Api { socket: offline.socket().to_owned(), offline: Some(offline) })
    }
}

impl Api {
    /// The socket of the running server; `None` when this process has the store.
    pub(super) fn server(&self) -> Option<&Path> {
        self.offline.is_none().then_some(&*self.socket)
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call("POST", path, Some(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call("PATCH", path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call("DELETE", path, None)
    }

    /// One request. An answer without a body is `null`; a problem is a failure.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer =
            exchange(&self.socket, method, path, &body).map_err(|error| unreachable(&self.socket, &error))?;
        let value = match answer.body.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).map_err(|_| no_answer(&self.socket))?,
        };
        if (200..300).contains(&answer.status) { Ok(value) } else { Err(refused(answer.status, &value)) }
    }
}

/// One part of a path.
pub(super) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    // A path of dots alone would mean another place.
    if escaped.bytes().all(|byte| byte == b'.') { escaped.replace('.', "%2E") } else { escaped }
}

fn exchange(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !body.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut bytes)?;
    parse(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what came is no answer of Stowage"))
}

/// Takes an answer apart. The admin API always says how long its bodies are, so a shorter one was cut off.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.unwrap_or(Ok(0)).ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?;
    Some(Answer { status, body: body.to_vec() })
}

fn unix_path(server: &str) -> Result<PathBuf, Failure> {
    match server.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => Err(Failure::new(Exit::Usage, "SERVER_URL", format!("{server:?} names no server"))
            .fix("name its socket: --server unix:/run/stowage/admin.sock")),
    }
}

fn nobody_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// What the admin API said, with an exit code.
fn refused(status: u16, problem: &Value) -> Failure {
    let exit = match status {
        400 => Exit::Usage,
        401 => Exit::Unreachable,
        403 | 409 => Exit::Refused,
        404 => Exit::NotFound,
        _ => Exit::Failed,
    };
    let text = |key: &str| problem[key].as_str().unwrap_or_default();
    let what = if text("detail").is_empty() { "the server failed" } else { text("detail") };
    let code = if text("code").is_empty() { "UNKNOWN" } else { text("code") };
    let failure = Failure::new(exit, code, what);
    if text("fix").is_empty() { failure } else { failure.fix(text("fix")) }
}

fn no_answer(socket: &Path) -> Failure {
    Failure::new(Exit::Unreachable, "SERVER_ANSWER", "what came is no answer of Stowage")
        .line("tried", format!("unix:{}", socket.display()))
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let failure = |code| Failure::new(Exit::Unreachable, code, "cannot reach the Stowage server");
    let tried = format!("unix:{}: {error}", socket.display());
    if error.kind() != io::ErrorKind::PermissionDenied {
        return failure("SERVER_UNREACHABLE").line("tried", tried).fix("is it running?  stowage serve");
    }
    let group = fs::metadata(socket).ok().and_then(|found| name_in("/etc/group", found.gid()));
    let user = rustix::process::geteuid().as_raw();
    let user = name_in("/etc/passwd", user).unwrap_or_else(|| user.to_string());
    let failure = failure("ADMIN_SOCKET_DENIED").line("tried", tried).because(format!("you are {user}"));
    let failure = failure.fix("run the same command with sudo");
    match group {
        Some(group) if group != "root" => {
            failure.fix(format!("or: sudo usermod -aG {group} {user}   and sign in again"))
        }
        _ => failure,
    }
}

/// The name of a number in the system's list of users or groups.
fn name_in(list: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    fs::read_to_string(list).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let answer = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().status, 204);
        for cut in
            ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", "SSH-2.0\r\n\r\n"]
        {
            assert!(parse(cut.as_bytes()).is_none(), "{cut:?}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        for (name, escaped) in [("a@b.c", "a@b.c"), ("a/b", "a%2Fb"), ("..", "%2E%2E"), ("ä?", "%C3%A4%3F")]
        {
            assert_eq!(segment(name), escaped);
        }
    }

    #[test]
    fn a_socket_is_named_with_its_whole_path() {
        assert_eq!(unix_path("unix:/x").unwrap(), Path::new("/x"));
        for wrong in ["unix:x", "/x", "https://registry.lan"] {
            assert_eq!(unix_path(wrong).unwrap_err().exit, Exit::Usage);
        }
    }
}

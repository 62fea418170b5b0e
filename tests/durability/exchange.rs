//! One request and its response, while the server may be killed at any moment.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a response may pause.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Sends a request. An incomplete response is an error: nothing was acknowledged.
pub(crate) fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange_on(stream, method, path, headers, body)
}

/// The same on an open connection, which serves one request.
pub(crate) fn exchange_on(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A server that refuses early may close before it has read everything; its response counts.
    let _ = stream.write_all(body);
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    parse(&received, method == "HEAD").ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn parse(received: &[u8], head_only: bool) -> Option<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let body = received[end + 4..].to_vec();
    let answer = Answer { status: head.split(' ').nth(1)?.parse().ok()?, head, body };
    let whole = head_only || matches!(answer.status, 204 | 304) || {
        let length: usize = answer.header("content-length")?.parse().ok()?;
        length == answer.body.len()
    };
    whole.then_some(answer)
}

impl Answer {
    /// The status line, which is all that docker prints of a 5xx.
    pub(crate) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The first header of this name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

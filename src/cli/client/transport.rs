//! Sends one HTTP/1.1 request over a connection of its own, which ends with the response.
//!
//! A command waits for its response and does nothing meanwhile, so the client needs no event loop. `httparse`
//! parses the response, as it does for the server's requests.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use httparse::Status;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::target::{Remote, Target};
use crate::server::connect_socket;

/// The longest time without progress: no byte received, or none sent.
const PATIENCE: Duration = Duration::from_mins(2);
/// The longest time until one address of the host accepts a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer with its head, in bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// The most headers of an answer: proxies add theirs.
const MAX_HEADERS: usize = 256;

/// An answer of the admin API.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Sends a request to the server and reads its answer to the end.
///
/// # Errors
/// The connection cannot be made or breaks, and [`io::ErrorKind::InvalidData`] for what is not a whole HTTP
/// answer.
pub(super) fn exchange(target: &Target, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let request = request(target, method, path, body);
    match target {
        Target::Socket(socket) => {
            let stream = connect_socket(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            talk(stream, &request)
        }
        Target::Remote(remote) => {
            let stream = connect(remote)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let Some(config) = &remote.tls else { return talk(stream, &request) };
            let name = ServerName::try_from(remote.host.clone()).map_err(io::Error::other)?;
            let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            talk(StreamOwned::new(tls, stream), &request)
        }
    }
}

/// A connection to the first address of the host that accepts one.
fn connect(remote: &Remote) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (remote.host.as_str(), remote.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn request(target: &Target, method: &str, path: &str, body: &str) -> String {
    let (host, token) = match target {
        Target::Socket(_) => ("localhost", None),
        Target::Remote(remote) => (remote.authority.as_str(), remote.token.as_ref()),
    };
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    // Writing to a string cannot fail.
    if let Some(token) = token {
        let _ = write!(request, "Authorization: Bearer {}\r\n", token.expose());
    }
    if !body.is_empty() {
        let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request + "\r\n" + body
}

fn talk(mut stream: impl Read + Write, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut bytes) {
        // Even if the peer did not end TLS properly, the response may be complete: its length tells.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        other => drop(other?),
    }
    parse(&bytes).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the response is not from a Stowage server")
    })
}

/// Parses a response. One that is shorter than it says was cut off.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(Status::Complete(start)) = head.parse(bytes) else { return None };
    let header = |wanted: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(wanted));
        found.map(|header| header.value)
    };
    let rest = &bytes[start..];
    let is_chunked =
        header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let body = if is_chunked {
        chunks(rest)?
    } else {
        let length =
            header("content-length").map_or(Some(0), |length| str::from_utf8(length).ok()?.parse().ok())?;
        rest.get(..length)?.to_vec()
    };
    Some(Answer { status: head.code?, body })
}

/// The body in chunked encoding, as proxies may send it (RFC 9112, 7.1).
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Ok(Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else { return None };
        if size == 0 {
            return Some(body);
        }
        let chunk = rest.get(start..)?;
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(chunk.get(..size)?);
        rest = chunk.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let answer = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().status, 204);
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked.as_bytes()).unwrap().body, b"{}");
        for length in 0..chunked.len() - 4 {
            assert!(parse(&chunked.as_bytes()[..length]).is_none(), "{length}");
        }
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{",
        ] {
            assert!(parse(cut.as_bytes()).is_none(), "{cut:?}");
        }
    }
}

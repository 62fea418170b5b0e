//! One request and its answer, over a connection of its own.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::target::{Network, Target};
use crate::server::connect_socket;

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 256 << 20;

/// An answer of the admin API.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

pub(super) fn exchange(target: &Target, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    match target {
        Target::Socket(socket) => {
            let stream = connect_socket(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            talk(stream, &request("localhost", None, method, path, body))
        }
        Target::Network(network) => {
            let stream = connect(network)?;
            let token = network.token.as_ref().map(|token| token.expose().as_str());
            let request = request(&network.authority, token, method, path, body);
            match &network.tls {
                None => talk(stream, &request),
                Some(config) => {
                    let name = ServerName::try_from(network.host.clone()).map_err(io::Error::other)?;
                    let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                    talk(StreamOwned::new(tls, stream), &request)
                }
            }
        }
    }
}

/// A connection to the first address of the host that takes one.
fn connect(network: &Network) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (network.host.as_str(), network.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn request(host: &str, token: Option<&str>, method: &str, path: &str, body: &str) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    // Writing to a string cannot fail.
    if let Some(token) = token {
        let _ = write!(request, "Authorization: Bearer {token}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request.push_str("\r\n");
    request.push_str(body);
    request
}

fn talk(mut stream: impl Read + Write, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut bytes) {
        // Without the end of TLS an answer may still be whole: its length tells.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        other => drop(other?),
    }
    parse(&bytes).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the response is not from a Stowage server")
    })
}

/// Takes an answer apart. One that is not as long as it says was cut off.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let rest = &bytes[end + 4..];
    let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        chunks(rest)?
    } else {
        let length = header("content-length").map_or(Ok(0), str::parse::<usize>).ok()?;
        rest.get(..length)?.to_vec()
    };
    Some(Answer { status, body })
}

/// A body in chunks, as proxies send it (RFC 9112, 7.1).
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
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

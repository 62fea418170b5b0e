//! Sends one HTTP/1.1 request over a connection of its own, which ends with the response.
//!
//! A command waits for its response and does nothing meanwhile, so the client needs no event loop. `httparse`
//! parses the response, as it does for the server's requests.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use httparse::{Header, Status};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::target::{Remote, Target};
use crate::server::connect_socket;

/// The longest time without progress: no byte received, or none sent.
const PATIENCE: Duration = Duration::from_mins(2);
/// The longest time until an answer is whole, however its bytes come. The largest, the report on a damaged
/// store, takes minutes over a slow line.
const WHOLE: Duration = Duration::from_mins(10);
/// The longest time until one address of the host accepts a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of one read.
const PIECE: usize = 64 << 10;
/// The largest answer with its head, in bytes.
const MAX_ANSWER: usize = 256 << 20;
/// The largest head, in bytes: it is looked at again with every read.
const MAX_HEAD: usize = 256 << 10;
/// The most answers of which all but the last are interim.
const MAX_INTERIM: usize = 16;
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
    let deadline = Instant::now() + WHOLE;
    match target {
        Target::Socket(socket) => {
            let stream = connect_socket(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            talk(Timed { stream, deadline }, &request)
        }
        Target::Remote(remote) => {
            let stream = connect(remote)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let stream = Timed { stream, deadline };
            let Some(config) = &remote.tls else { return talk(stream, &request) };
            let name = ServerName::try_from(remote.host.clone()).map_err(io::Error::other)?;
            let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            talk(StreamOwned::new(tls, stream), &request)
        }
    }
}

/// A connection that is of no use after a deadline. It is below TLS, whose records may come byte by byte,
/// too. A read or write that has begun may go on for its own time-out.
struct Timed<S> {
    stream: S,
    deadline: Instant,
}

impl<S> Timed<S> {
    fn check(&self) -> io::Result<()> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let what = format!("the response was not complete after {} minutes", WHOLE.as_secs() / 60);
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

impl<S: Read> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
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
    receive(stream)
}

/// Reads until the answer is whole: a proxy may keep the connection open behind it.
fn receive(mut stream: impl Read) -> io::Result<Answer> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Without the end of TLS an answer may still be whole: its length tells.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            other => other?,
        };
        bytes.extend_from_slice(&piece[..read]);
        match parse(&bytes, read == 0) {
            Parsed::Whole(answer) => return Ok(answer),
            Parsed::Part if read > 0 && bytes.len() <= MAX_ANSWER => {}
            _ => {
                let what = "the response is not from a Stowage server";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
    }
}

/// What was made of the bytes so far.
enum Parsed {
    /// A whole answer.
    Whole(Answer),
    /// The beginning of one.
    Part,
    /// Something else.
    Wrong,
}

/// Takes an answer apart. `is_end`: no more bytes come.
fn parse(bytes: &[u8], is_end: bool) -> Parsed {
    let mut rest = bytes;
    // An interim answer, such as 103 of a proxy, comes before the one that counts (RFC 9110, 15.2).
    for _ in 0..MAX_INTERIM {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let start = match head.parse(rest) {
            Ok(Status::Complete(start)) => start,
            Ok(Status::Partial) if rest.len() <= MAX_HEAD => return Parsed::Part,
            _ => return Parsed::Wrong,
        };
        rest = &rest[start..];
        match head.code {
            Some(100 | 102..=199) => {}
            Some(status) => return body(status, head.headers, rest, is_end),
            None => return Parsed::Wrong,
        }
    }
    Parsed::Wrong
}

/// The body behind a head. One that is not as long as it says was cut off.
fn body(status: u16, headers: &[Header<'_>], rest: &[u8], is_end: bool) -> Parsed {
    let all = |wanted: &'static str| {
        let found = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(wanted));
        found.map(|header| header.value)
    };
    if all("transfer-encoding").next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        // The last chunk ends with an empty line: only there is it worth to take the others apart.
        let body = (is_end || rest.ends_with(b"\r\n\r\n")).then(|| chunks(rest)).flatten();
        return body.map_or(Parsed::Part, |body| Parsed::Whole(Answer { status, body }));
    }
    let mut lengths = all("content-length");
    let first = lengths.next().unwrap_or(b"0");
    let length = str::from_utf8(first).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match length.and_then(|text| text.parse::<usize>().ok()) {
        // Two lengths are two answers (RFC 9112, 6.3).
        Some(length) if lengths.all(|other| other == first) => {
            let body = rest.get(..length).map(<[u8]>::to_vec);
            body.map_or(Parsed::Part, |body| Parsed::Whole(Answer { status, body }))
        }
        _ => Parsed::Wrong,
    }
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

    /// What comes in reads of so many bytes, and then an error: that of a connection which stays open.
    struct Open<'a>(std::slice::Chunks<'a, u8>);

    impl Read for Open<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let part = self.0.next().ok_or(io::ErrorKind::WouldBlock)?;
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn whole(bytes: &[u8]) -> Option<Answer> {
        receive(bytes).ok()
    }

    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_whole_or_none() {
        let answer = whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().status, 204);
        assert_eq!(whole(CHUNKED.as_bytes()).unwrap().body, b"{}");
        for length in 0..CHUNKED.len() - 4 {
            assert!(whole(&CHUNKED.as_bytes()[..length]).is_none(), "{length}");
        }
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 1\r\n\r\n{}",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{",
        ] {
            assert!(whole(cut.as_bytes()).is_none(), "{cut:?}");
        }
        let endless = b"HTTP/1.1 200 OK\r\nX: ".as_slice().chain(io::repeat(b'y'));
        assert!(receive(endless).is_err());
    }

    #[test]
    fn a_whole_answer_does_not_wait_for_the_end_of_its_connection() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for answer in [plain, CHUNKED] {
            for size in 1..=answer.len() {
                let open = Open(answer.as_bytes().chunks(size));
                assert_eq!(receive(open).unwrap().body, b"{}", "{size} bytes at once");
            }
        }
    }

    /// Never-ending headers, one byte after the other.
    struct Dripping(std::iter::Cycle<std::slice::Iter<'static, u8>>);

    impl Read for Dripping {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // So slow that the deadline comes before the largest head.
            std::thread::sleep(Duration::from_millis(1));
            buffer[0] = *self.0.next().unwrap();
            Ok(1)
        }
    }

    #[test]
    fn an_answer_that_never_ends_is_waited_for_until_a_deadline() {
        let drip = Dripping(b"X: y\r\n".iter().cycle());
        let begin = b"HTTP/1.1 200 OK\r\n".as_slice();
        let stream =
            Timed { stream: begin.chain(drip), deadline: Instant::now() + Duration::from_millis(50) };
        assert_eq!(receive(stream).err().unwrap().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn interim_answers_come_before_the_one_that_counts() {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let answer = whole(format!("HTTP/1.1 100 Continue\r\n\r\n{hint}{CHUNKED}").as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        assert!(receive(hint.repeat(1_000).as_bytes()).is_err());
    }
}

//! A kept-alive connection with the parts of HTTP/1.1 that a registry's client needs. It does not allocate
//! per request.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use crate::failure::Failure;

/// The size of a read, and the longest head of a response.
const BUFFER: usize = 256 << 10;
/// How much of an error's body is shown.
const EXCERPT: usize = 300;

/// Receives the pieces of a body.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// One connection.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// The part of the buffer that was received and not used yet.
    held: Range<usize>,
    /// Whether the server closes the connection after this response.
    closing: bool,
    /// The path in the last `Location`.
    location: Vec<u8>,
    /// The challenges of the last 401.
    challenges: Vec<String>,
    excerpt: Vec<u8>,
}

/// The framing of a body.
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// The head of a response.
struct Head {
    status: u16,
    framing: Framing,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = connect(address).await?;
        Ok(Self {
            address,
            stream,
            buffer: vec![0; BUFFER].into(),
            held: 0..0,
            closing: false,
            location: Vec::new(),
            challenges: Vec::new(),
            excerpt: Vec::new(),
        })
    }

    /// The path and query of the last `Location`.
    pub(crate) fn location(&self) -> &[u8] {
        &self.location
    }

    /// The challenges of the last 401.
    pub(crate) fn challenges(&self) -> &[String] {
        &self.challenges
    }

    /// Sends a complete request and reads the response, which must have this status; returns the length of
    /// its body, for a `HEAD` the announced one.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        wanted: u16,
        sink: Sink<'_>,
    ) -> Result<u64, Failure> {
        self.write(request).await?;
        self.expect(request, wanted, sink).await
    }

    /// Sends a part of a request.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.closing {
            self.stream = connect(self.address).await?;
            self.held = 0..0;
            self.closing = false;
        }
        let mut left = bytes;
        while !left.is_empty() {
            match poll_fn(|context| Pin::new(&mut self.stream).poll_write(context, left)).await {
                Ok(written) => left = &left[written..],
                Err(error) => return Err(self.refusal(&error.to_string()).await),
            }
        }
        Ok(())
    }

    /// Reads the response to the request that begins with `request`.
    pub(crate) async fn expect(
        &mut self,
        request: &[u8],
        wanted: u16,
        sink: Sink<'_>,
    ) -> Result<u64, Failure> {
        let (status, length) = self.answer(request.starts_with(b"HEAD "), sink).await?;
        if status == wanted {
            return Ok(length);
        }
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let excerpt = String::from_utf8_lossy(&self.excerpt);
        Err(Failure(format!("{line}: {status} instead of {wanted}: {}", excerpt.trim_end())))
    }

    /// Reads a response; returns its status and the length of its body.
    pub(crate) async fn answer(&mut self, bodiless: bool, sink: Sink<'_>) -> Result<(u16, u64), Failure> {
        let Head { status, framing } = self.head().await?;
        self.excerpt.clear();
        if bodiless || matches!(status, 204 | 304) {
            let announced = if let Framing::Length(length) = framing { length } else { 0 };
            return Ok((status, announced));
        }
        if status < 400 {
            return Ok((status, self.body(framing, sink).await?));
        }
        let mut excerpt = Vec::new();
        let mut both = |piece: &[u8]| {
            let room = EXCERPT - excerpt.len();
            excerpt.extend_from_slice(&piece[..room.min(piece.len())]);
            sink(piece);
        };
        let length = self.body(framing, &mut both).await?;
        self.excerpt = excerpt;
        Ok((status, length))
    }

    /// Why a server does not accept the rest of a request: it may have said so before it closed.
    async fn refusal(&mut self, error: &str) -> Failure {
        match self.answer(false, &mut |_| ()).await {
            Ok((status, _)) => {
                let excerpt = String::from_utf8_lossy(&self.excerpt);
                Failure(format!("{status} in the middle of a request: {}", excerpt.trim_end()))
            }
            Err(_) => Failure(format!("in the middle of a request: {error}")),
        }
    }

    async fn body(&mut self, framing: Framing, sink: Sink<'_>) -> Result<u64, Failure> {
        match framing {
            Framing::Length(length) => {
                self.take(length, sink).await?;
                Ok(length)
            }
            Framing::Chunked => self.chunks(sink).await,
            Framing::Close => {
                let mut length = 0;
                loop {
                    sink(&self.buffer[self.held.clone()]);
                    length += self.held.len() as u64;
                    self.held = 0..0;
                    if self.receive().await? == 0 {
                        return Ok(length);
                    }
                }
            }
        }
    }

    async fn chunks(&mut self, sink: Sink<'_>) -> Result<u64, Failure> {
        let mut length = 0;
        loop {
            let line = self.line().await?;
            let text = std::str::from_utf8(&self.buffer[line]).unwrap_or_default();
            let digits = text.split(';').next().unwrap_or_default().trim();
            let size =
                u64::from_str_radix(digits, 16).map_err(|_| Failure(format!("no chunk size: {text:?}")))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(length);
            }
            self.take(size, &mut *sink).await?;
            length += size;
            if !self.line().await?.is_empty() {
                return Err(Failure("a chunk is longer than it says".into()));
            }
        }
    }

    /// Passes exactly this many bytes on.
    async fn take(&mut self, length: u64, sink: Sink<'_>) -> Result<(), Failure> {
        let mut left = length;
        while left > 0 {
            if self.held.is_empty() {
                self.fill().await?;
            }
            let here = usize::try_from(left).map_or(self.held.len(), |left| left.min(self.held.len()));
            sink(&self.buffer[self.held.start..self.held.start + here]);
            self.held.start += here;
            left -= here as u64;
        }
        Ok(())
    }

    /// Consumes a line; returns its place in the buffer, without the line ending.
    async fn line(&mut self) -> Result<Range<usize>, Failure> {
        loop {
            let held = &self.buffer[self.held.clone()];
            if let Some(length) = held.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.held.start..self.held.start + length;
                self.held.start += length + 2;
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    async fn head(&mut self) -> Result<Head, Failure> {
        loop {
            let received = &self.buffer[self.held.clone()];
            let Some(length) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.fill().await?;
                continue;
            };
            let end = self.held.start + length + 4;
            let head = self.parse(self.held.start..end)?;
            self.held.start = end;
            if head.status >= 200 {
                return Ok(head);
            }
        }
    }

    fn parse(&mut self, place: Range<usize>) -> Result<Head, Failure> {
        let head = &self.buffer[place];
        let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
            Failure(format!("not an answer: {:?}", String::from_utf8_lossy(&head[..head.len().min(80)])))
        })?;
        let mut framing = Framing::Close;
        if status == 401 {
            self.challenges.clear();
        }
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            if let Some(value) = value(line, b"content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                framing = Framing::Length(length.ok_or_else(|| Failure("not a Content-Length".into()))?);
            } else if let Some(value) = value(line, b"transfer-encoding") {
                if value.eq_ignore_ascii_case(b"chunked") {
                    framing = Framing::Chunked;
                }
            } else if let Some(value) = value(line, b"location") {
                self.location.clear();
                self.location.extend_from_slice(path(value));
            } else if let Some(value) = value(line, b"connection") {
                self.closing |= value.eq_ignore_ascii_case(b"close");
            } else if status == 401
                && let Some(value) = value(line, b"www-authenticate")
            {
                self.challenges.push(String::from_utf8_lossy(value).into_owned());
            }
        }
        self.closing |= matches!(framing, Framing::Close) && status >= 200 && status != 204;
        Ok(Head { status, framing })
    }

    /// Receives more; the end of the connection is an error.
    async fn fill(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            self.held = 0..0;
        } else if self.held.end == self.buffer.len() {
            if self.held.start == 0 {
                return Err(Failure("a line or a head is too long".into()));
            }
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        match self.receive().await? {
            0 => Err(Failure("the server closed the connection before its answer was complete".into())),
            _ => Ok(()),
        }
    }

    async fn receive(&mut self) -> Result<usize, Failure> {
        let mut room = ReadBuf::new(&mut self.buffer[self.held.end..]);
        poll_fn(|context| Pin::new(&mut self.stream).poll_read(context, &mut room)).await?;
        let received = room.filled().len();
        self.held.end += received;
        Ok(received)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| Failure(format!("{address}: {error}")))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The value of a header line, if it has this name.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (key, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// A `Location` without scheme and host.
fn path(location: &[u8]) -> &[u8] {
    let Some(scheme) = location.windows(3).position(|three| three == b"://") else { return location };
    let rest = &location[scheme + 3..];
    rest.iter().position(|byte| *byte == b'/').map_or(b"/", |slash| &rest[slash..])
}

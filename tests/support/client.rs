//! A plain HTTP/1.1 client that sends exactly what a test specifies, and returns exactly what was received.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Sends requests, each on a connection of its own.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    from: Option<Ipv4Addr>,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection, plain or with TLS.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, authorization: None, from: None, tls: None }
    }

    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    pub fn authorization(mut self, value: &str) -> Self {
        self.authorization = Some(value.to_owned());
        self
    }

    /// Connects from this address of the loopback network.
    pub fn from(mut self, address: Ipv4Addr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sends its requests over TLS. Raw connections stay plain.
    pub fn over_tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// The same client for a server whose address has changed.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn open(&self) -> Box<dyn Stream> {
        let stream = self.connect();
        let Some(config) = &self.tls else { return Box::new(stream) };
        let name = ServerName::from(self.address.ip());
        let tls = ClientConnection::new(Arc::clone(config), name).expect("a connection");
        Box::new(StreamOwned::new(tls, stream))
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub fn head(&self, path: &str) -> Response {
        self.send("HEAD", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Response {
        self.send("POST", path, &[], body)
    }

    pub fn put(&self, path: &str, body: &[u8]) -> Response {
        self.send("PUT", path, &[], body)
    }

    pub fn patch(&self, path: &str, body: &[u8]) -> Response {
        self.send("PATCH", path, &[], body)
    }

    /// Sends a request with a `Content-Length`, unless `headers` say how long the body is.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut stream = self.open();
        let has_length = headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        });
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        if !has_length && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
            headers.push(("Content-Length", &length));
        }
        stream.write_all(self.head_of(method, path, &headers).as_bytes()).expect("the head is sent");
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(body);
        read_response(&mut BufReader::new(stream), method == "HEAD")
    }

    /// Sends a body in chunks of the given size, as docker does.
    pub fn send_chunked(&self, method: &str, path: &str, body: &[u8], chunk: usize) -> Response {
        let mut stream = self.open();
        let head = self.head_of(method, path, &[("Transfer-Encoding", "chunked")]);
        stream.write_all(head.as_bytes()).expect("the head is sent");
        for piece in body.chunks(chunk.max(1)) {
            let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
            if stream.write_all(&framed).is_err() {
                break;
            }
        }
        let _ = stream.write_all(b"0\r\n\r\n");
        read_response(&mut BufReader::new(stream), false)
    }

    /// A raw connection, for bytes that no client library would send.
    pub fn connect(&self) -> TcpStream {
        let stream = match self.from {
            None => TcpStream::connect(self.address).expect("the server accepts"),
            Some(from) => {
                let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
                bind(&socket, &SocketAddr::from((from, 0))).expect("every address of the network is ours");
                connect(&socket, &self.address).expect("the server accepts");
                TcpStream::from(socket)
            }
        };
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket option");
        stream
    }

    /// The head of a request that closes its connection.
    pub fn head_of(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(authorization) = &self.authorization {
            let _ = write!(head, "Authorization: {authorization}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// Reads one response; a body without a length ends with the connection.
pub fn read_response<R: BufRead>(reader: &mut R, head_only: bool) -> Response {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let mut words = line.trim_end().splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    assert!(version.starts_with("HTTP/1."), "not a response: {line:?}");
    let status = words.next().and_then(|status| status.parse().ok()).expect("a status");
    let reason = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header line");
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, reason, headers, body: Vec::new() };
    if status == 100 {
        return read_response(reader, head_only);
    }
    if head_only || matches!(status, 204 | 304) {
        return response;
    }
    let length = response.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = read_chunks(reader);
    } else if let Some(length) = length {
        reader.take(length).read_to_end(&mut response.body).expect("a body");
    } else {
        reader.read_to_end(&mut response.body).expect("a body");
    }
    response
}

fn read_chunks<R: BufRead>(reader: &mut R) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk size");
        let size = u64::from_str_radix(line.trim(), 16).expect("a chunk size");
        reader.take(size).read_to_end(&mut body).expect("a chunk");
        reader.read_line(&mut line).expect("the end of a chunk");
        if size == 0 {
            return body;
        }
    }
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path in the `Location` header.
    #[track_caller]
    pub fn location(&self) -> String {
        self.header("location").expect("a Location").to_owned()
    }

    /// The path of the next page of a list, if there is one.
    #[track_caller]
    pub fn next_page(&self) -> Option<String> {
        let links = self.all("link");
        assert!(links.len() <= 1, "one link at most: {links:?}");
        let (path, relation) =
            links.first()?.strip_prefix('<').expect("a link").split_once('>').expect("a link");
        assert_eq!(relation, "; rel=\"next\"");
        assert!(path.starts_with("/v2/"), "a link of the same origin: {path}");
        Some(path.to_owned())
    }

    /// Every header of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as a type of the admin API.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().expect("an error code").to_owned()
    }

    /// The message of the first error.
    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().expect("an error message").to_owned()
    }

    /// Fails the test and prints the response, unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{:?}\n{}",
            self.headers,
            String::from_utf8_lossy(&self.body[..self.body.len().min(2000)])
        );
        self
    }

    /// Fails the test unless both are as given.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        assert_eq!(response.code(), code, "{}", response.message());
        response
    }
}

//! The behaviour of a TLS listener.

use std::io::{BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use stowage::config::{SecretFile, TlsVersion};
use stowage::model::media_type::OCI_MANIFEST;
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::client::read_response;
use crate::support::{Setup, TestStowage, content, eventually, once_within};
use crate::tls::client::TlsClient;
use crate::tls::process::Place;

/// The time that a client has for its handshake.
const HANDSHAKE: Duration = stowage::server::HANDSHAKE_TIMEOUT;

struct Server {
    stowage: TestStowage,
    authority: Authority,
    _files: TempDir,
}

impl Server {
    fn start(min_version: TlsVersion) -> Self {
        let directory = TempDir::new().expect("a directory");
        let authority = Authority::new();
        let files = authority.issue_to(directory.path());
        let mut setup = Setup::default();
        setup.config.server.tls.cert_file = SecretFile::new(files.cert.display().to_string());
        setup.config.server.tls.key_file = SecretFile::new(files.key.display().to_string());
        setup.config.server.tls.min_version = min_version;
        Self { stowage: TestStowage::with(setup), authority, _files: directory }
    }

    fn client(&self) -> TlsClient {
        TlsClient::new(self.stowage.address, &self.authority)
    }
}

#[test]
fn an_image_is_pushed_and_pulled_over_tls() {
    let server = Server::start(TlsVersion::V12);
    let client = server.client();
    let layer = content::bytes(1, 5 << 20);
    for blob in [layer.as_slice(), b"{}"] {
        let digest = content::sha256(blob);
        let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
        let response = client.send("POST", &path, &[], blob).expect(201);
        assert_eq!(response.header("location").unwrap(), format!("/v2/team/app/blobs/{digest}"));
    }
    let manifest = content::image(&[&layer]);
    client.send("PUT", "/v2/team/app/manifests/1", &[("Content-Type", OCI_MANIFEST)], &manifest).expect(201);
    let pulled = client.send("GET", "/v2/team/app/manifests/1", &[("Accept", OCI_MANIFEST)], b"").expect(200);
    assert_eq!(pulled.body, manifest);
    let pulled = client.get(&format!("/v2/team/app/blobs/{}", content::sha256(&layer))).expect(200);
    assert!(pulled.body == layer, "the layer came back with other bytes");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_http_2_is_not_offered() {
    let server = Server::start(TlsVersion::V12);
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let shaken =
            TlsClient::with(server.stowage.address, &server.authority, &[version]).connect().unwrap();
        assert_eq!(shaken.version, expected);
        assert_eq!(shaken.alpn.as_deref(), Some(b"http/1.1".as_slice()));
        shaken.send("GET", "/v2/", &[], b"").unwrap().expect(200);
    }
}

#[test]
fn tls_1_2_is_refused_where_1_3_is_the_least() {
    let server = Server::start(TlsVersion::V13);
    let old = TlsClient::with(server.stowage.address, &server.authority, &[&TLS12]);
    assert!(old.connect().is_err());
    assert_eq!(server.client().connect().unwrap().version, ProtocolVersion::TLSv1_3);
}

#[test]
fn a_plain_request_to_a_tls_listener_is_told_what_to_do() {
    let server = Server::start(TlsVersion::V12);
    let body = content::bytes(2, 30 << 10);
    once_within(Duration::from_secs(2), "both answers at once", || {
        let response = server.stowage.client().get("/v2/").expect(400);
        assert_eq!(response.message(), "this port speaks TLS: use https:// instead of http://");
        // The response is not lost to a reset, although the server does not read the body.
        server.stowage.client().post("/v2/team/app/blobs/uploads/", &body).expect(400);
    });
    server.client().get("/v2/").expect(200);
}

#[test]
fn a_tls_hello_to_a_plain_listener_is_answered_at_once() {
    let stowage = TestStowage::start();
    let client = TlsClient::new(stowage.address, &Authority::new());
    once_within(Duration::from_millis(300), "an answer at once", || assert!(client.connect().is_err()));
}

#[test]
fn a_tls_probe_of_a_plain_listener_leaves_no_line_where_faults_are_looked_for() {
    let process = Place::new().start("[log]\nlevel = \"debug\"\n");
    // docker and crane recognise by the first bytes of the response that the port does not use TLS.
    let mut stream = TcpStream::connect(process.address).unwrap();
    stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
    let answer = read_response(&mut BufReader::new(stream), false).expect(400);
    assert!(answer.message().starts_with("this port speaks plain HTTP and not TLS"), "{}", answer.message());
    let line = process.wait_for("a TLS handshake was refused");
    assert_eq!(line["level"], "DEBUG", "{line}");
    // Bytes that are neither HTTP nor TLS get a response, too.
    let mut stream = TcpStream::connect(process.address).unwrap();
    stream.write_all(b"EHLO registry.lan\r\n\r\n").unwrap();
    read_response(&mut BufReader::new(stream), false).expect(400);
    assert_eq!(process.wait_for("a request was refused")["level"], "INFO");
    assert!(process.stop().success());
}

#[test]
fn whoever_does_not_finish_the_handshake_is_dropped_and_holds_nobody_up() {
    let server = Server::start(TlsVersion::V12);
    let begin = Instant::now();
    let silent: Vec<TcpStream> =
        (0..600).map(|_| TcpStream::connect(server.stowage.address).unwrap()).collect();
    let mut half = TcpStream::connect(server.stowage.address).unwrap();
    half.write_all(&[0x16, 0x03, 0x01, 0x02]).unwrap();
    server.client().get("/v2/").expect(200);
    half.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let waiting = half.read(&mut [0]);
    // On a busy machine their time may have passed already.
    assert!(
        waiting.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) || begin.elapsed() > HANDSHAKE,
        "the others still hold their connections"
    );
    for mut stream in silent.into_iter().take(3).chain([half]) {
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let end = stream.read(&mut [0]);
        assert!(
            end.as_ref().is_ok_and(|bytes| *bytes == 0)
                || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    }
    assert!(begin.elapsed() > HANDSHAKE, "{:?}", begin.elapsed());
}

#[test]
fn a_stop_lets_a_request_within_tls_finish() {
    let server = Server::start(TlsVersion::V12);
    let client = server.client();
    let body = content::bytes(3, 1 << 20);
    let digest = content::sha256(&body);
    let (first, second) = body.split_at(1000);
    let mut stream = client.connect().unwrap().into_stream();
    let head = format!(
        "POST /v2/team/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // This interim response shows that the request is being handled.
    let mut goes_on = [0; 25];
    stream.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first).unwrap();
    let (stowage, address) = (server.stowage, client.address());
    let stopping = std::thread::spawn(move || stowage.stop());
    eventually("no more connections are taken", || TcpStream::connect(address).is_err());
    stream.write_all(second).unwrap();
    read_response(&mut BufReader::new(stream), false).expect(201);
    stopping.join().unwrap();
}

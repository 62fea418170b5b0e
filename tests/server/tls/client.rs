//! An HTTP client over TLS that reports the certificate and the TLS version.

use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::support::Response;
use crate::support::certificates::Authority;
use crate::support::client::read_response;

#[derive(Clone)]
pub struct TlsClient {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

/// A connection after its handshake.
pub struct Shaken {
    stream: StreamOwned<ClientConnection, TcpStream>,
    pub version: ProtocolVersion,
    pub alpn: Option<Vec<u8>>,
    pub certificate: CertificateDer<'static>,
}

impl TlsClient {
    pub fn new(address: SocketAddr, authority: &Authority) -> Self {
        Self::with(address, authority, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// A client that supports only these versions.
    pub fn with(
        address: SocketAddr,
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { address, config: Arc::new(config) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connect(&self) -> io::Result<Shaken> {
        let mut tcp = TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
        let name = ServerName::from(self.address.ip());
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let certificates = tls.peer_certificates().expect("the server has a certificate");
        Ok(Shaken {
            version: tls.protocol_version().expect("a version"),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            certificate: certificates[0].clone().into_owned(),
            stream: StreamOwned::new(tls, tcp),
        })
    }

    /// Sends one request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.connect().expect("a handshake").send(method, path, headers, body).expect("a request is sent")
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }
}

impl Shaken {
    /// The raw stream, for bytes that no client would send.
    pub fn into_stream(self) -> StreamOwned<ClientConnection, TcpStream> {
        self.stream
    }

    pub fn send(
        mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        use std::fmt::Write as _;

        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        Ok(read_response(&mut BufReader::new(self.stream), method == "HEAD"))
    }
}

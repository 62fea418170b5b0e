//! TLS handshakes: apart from the threads that answer requests, and only so many at once for each address.
//!
//! A handshake costs a signature (a millisecond and more with RSA) and up to 80 KiB of memory, and any client can ask for
//! thousands. Those above the limit wait unread, which costs nothing, and one address after the other has its turn.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::{Holder, Ledger, Resource};

/// How long a client may take for the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a handshake waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that a connection encrypts before they are sent: unread answers keep no more of them. That is one full record.
const ENCRYPTED: usize = 16 << 10;
/// What all connections together may keep; with more of them each has its share, and smaller records.
const ENCRYPTED_BY_ALL: usize = 8 << 20;
const LEAST_ENCRYPTED: usize = 4 << 10;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// A connection within TLS is open for as long as this is there.
pub(super) struct TlsConnection(());

impl TlsConnection {
    /// Counts it; returns how many bytes it may encrypt ahead.
    fn open() -> (Self, usize) {
        let connections = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(()), (ENCRYPTED_BY_ALL / connections).clamp(LEAST_ENCRYPTED, ENCRYPTED))
    }
}

impl Drop for TlsConnection {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where handshakes are made.
pub(super) struct Handshakes {
    runtime: Option<Runtime>,
    ledger: Arc<Ledger>,
}

impl Handshakes {
    /// With threads of their own: half as many as there are processors, so that requests are answered meanwhile.
    pub(super) fn new(ledger: Arc<Ledger>) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).thread_name("tls").enable_all().build()?;
        Ok(Self { runtime: Some(runtime), ledger })
    }

    /// Waits for the turn of `holder` and makes a handshake.
    pub(super) async fn make(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        holder: &Holder,
    ) -> io::Result<(TlsStream<TcpStream>, TlsConnection)> {
        let charge = self.ledger.wait(holder, Resource::Handshakes, 1, TURN_WITHIN).await;
        let charge = charge.map_err(io::Error::other)?;
        let Some(runtime) = &self.runtime else { return Err(io::ErrorKind::NotConnected.into()) };
        let shaking = runtime.spawn(async move {
            let _charge = charge;
            let mut stream = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await??;
            let (connection, encrypted) = TlsConnection::open();
            stream.get_mut().1.set_buffer_limit(Some(encrypted));
            Ok((stream, connection))
        });
        shaking.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        // Waiting for its threads is forbidden where the last owner may be: on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

//! TLS handshakes: apart from the threads that answer requests, and only so many at once for each address.
//!
//! A handshake costs a signature (a millisecond and more with RSA) and up to 80 KiB of memory, and any client can ask for
//! thousands. Those above the limit wait unread, which costs nothing, and one address after the other has its turn.

use std::io;
use std::sync::Arc;
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
/// Bytes that are encrypted before they are sent: unread answers keep no more of them.
const ENCRYPTED: usize = 16 << 10;

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
    ) -> io::Result<TlsStream<TcpStream>> {
        let charge = self.ledger.wait(holder, Resource::Handshakes, 1, TURN_WITHIN).await;
        let charge = charge.map_err(io::Error::other)?;
        let Some(runtime) = &self.runtime else { return Err(io::ErrorKind::NotConnected.into()) };
        let shaking = runtime.spawn(async move {
            let _charge = charge;
            let mut stream = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await??;
            stream.get_mut().1.set_buffer_limit(Some(ENCRYPTED));
            Ok(stream)
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

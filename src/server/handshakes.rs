//! TLS handshakes: apart from the threads that answer requests, and only so many at once for each address.
//!
//! A handshake costs a signature (a millisecond and more with RSA), and any client can ask for thousands. Those above the
//! limit wait unread, which costs nothing, and one address after the other has its turn. A turn lasts only while the server
//! computes: a client that stops in the middle of a handshake has none, and so delays no other.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::hello::Hello;
use crate::limits::{Charge, Holder, Ledger, Resource};

/// How long a client may take for its part of the handshake after the first message, or for one of several records.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a handshake waits for a turn.
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
    /// With a thread of their own that looks what has come, and threads that compute: half as many as there are processors,
    /// so that requests are answered meanwhile.
    pub(super) fn new(ledger: Arc<Ledger>) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads)
            .thread_name("tls")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), ledger })
    }

    /// Makes a handshake whose first message has come. The server computes for it when it is the turn of `holder`; while
    /// it waits for the client the turn is that of others.
    pub(super) async fn make(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        hello: Hello,
        holder: Holder,
    ) -> io::Result<(TlsStream<TcpStream>, TlsConnection)> {
        let Some(runtime) = &self.runtime else { return Err(io::ErrorKind::NotConnected.into()) };
        let turns = Turns { ledger: Arc::clone(&self.ledger), holder };
        let shaking = runtime.spawn(async move {
            let mut stream = turns.shake_hands(config, stream, hello).await?;
            let (connection, encrypted) = TlsConnection::open();
            stream.get_mut().1.set_buffer_limit(Some(encrypted));
            Ok((stream, connection))
        });
        shaking.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// The turns of one client.
struct Turns {
    ledger: Arc<Ledger>,
    holder: Holder,
}

impl Turns {
    async fn wait(&self, resource: Resource) -> io::Result<Charge> {
        self.ledger.wait(&self.holder, resource, 1, TURN_WITHIN).await.map_err(io::Error::other)
    }

    async fn shake_hands(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        hello: Hello,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut reading = pin!(LazyConfigAcceptor::new(Acceptor::default(), stream));
        // What comes in several records takes up to 64 KiB of memory, and may never end.
        let long = if hello == Hello::Long {
            let place = self.wait(Resource::LongHellos).await?;
            Some((timeout(HANDSHAKE_TIMEOUT, reading.as_mut()).await??, place))
        } else {
            None
        };
        let mut turn = self.wait(Resource::Handshakes).await?;
        let start = match long {
            Some((start, _place)) => start,
            None => timeout(HANDSHAKE_TIMEOUT, reading).await??,
        };
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        let wake = Arc::new(Wake::default());
        let mut rest = Box::pin(start.into_stream(config));
        loop {
            let waker = Waker::from(Arc::clone(&wake));
            // A signature may take milliseconds: not on the thread that looks what has come.
            let step = spawn_blocking(move || (rest.as_mut().poll(&mut Context::from_waker(&waker)), rest));
            let (made, unfinished) = step.await.map_err(io::Error::other)?;
            if let Poll::Ready(made) = made {
                return made;
            }
            rest = unfinished;
            drop(turn);
            timeout_at(deadline, wake.0.notified()).await?;
            turn = self.wait(Resource::Handshakes).await?;
        }
    }
}

/// Remembers that a handshake may go on, also before anything waits for that.
#[derive(Default)]
struct Wake(Notify);

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
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

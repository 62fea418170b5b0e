//! TLS handshakes: computed on threads of their own, and limited in number for each address.
//!
//! A handshake costs a signature (a millisecond and more with RSA), and any client can start thousands. Those
//! above the limit wait unread, which costs nothing, and addresses are served round-robin. A handshake holds
//! a slot only while the server computes: a client that pauses in the middle of a handshake holds none, and
//! so delays no other.

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

/// How long a client may take for its part of the handshake after the first message, or for a first message
/// of several records.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a handshake waits for a slot.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that a connection encrypts before they are sent, so that an unread response takes no more memory:
/// one full record.
const ENCRYPTED: usize = 16 << 10;
/// The most such bytes of all connections; if there are many, each has a share, and smaller records.
const ENCRYPTED_BY_ALL: usize = 8 << 20;
const LEAST_ENCRYPTED: usize = 4 << 10;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Counts an open TLS connection.
pub(super) struct TlsConnection(());

impl TlsConnection {
    /// Counts a connection; returns how many bytes it may encrypt ahead.
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

/// The threads and limits of handshakes.
pub(super) struct Handshakes {
    runtime: Option<Runtime>,
    ledger: Arc<Ledger>,
}

impl Handshakes {
    /// Starts a thread that drives the handshakes, and threads that compute: half as many as there are
    /// processors, so that requests are answered meanwhile.
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

    /// Makes a handshake whose first message was received. The server computes when `holder` has a slot;
    /// while it waits for the client, the slot is released.
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

/// The slots of one client.
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
        // A message of several records takes up to 64 KiB of memory and may never end, so it needs a slot of
        // its own.
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
        // Lazy, because `into_stream` itself answers the first message, which computes a signature.
        let mut rest = Box::pin(async move { start.into_stream(config).await });
        loop {
            let waker = Waker::from(Arc::clone(&wake));
            // A signature may take milliseconds, so it must not run on the thread that drives the handshakes.
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

/// Records that a handshake may continue, even if nothing waits for it yet.
#[derive(Default)]
struct Wake(Notify);

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        // A runtime must not be dropped in async code, and the last owner may be on a thread of another
        // runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicBool;

    use actix_web::rt::net::TcpListener;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion,
    };
    use tokio::runtime::Handle;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::Config;
    use crate::limits::Limits;

    /// A signing key that records whether it is used on a thread that may block.
    #[derive(Clone, Debug)]
    struct Watched {
        key: Arc<dyn SigningKey>,
        blocks: Arc<AtomicBool>,
    }

    #[derive(Debug)]
    struct WatchedSigner(Box<dyn Signer>, Arc<AtomicBool>);

    impl SigningKey for Watched {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            let signer = self.key.choose_scheme(offered)?;
            Some(Box::new(WatchedSigner(signer, Arc::clone(&self.blocks))))
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.key.algorithm()
        }
    }

    impl Signer for WatchedSigner {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
            // `block_on` panics on a thread that drives tasks.
            let blocking = AssertUnwindSafe(|| Handle::current().block_on(std::future::ready(())));
            self.1.store(catch_unwind(blocking).is_ok(), Ordering::Relaxed);
            self.0.sign(message)
        }

        fn scheme(&self) -> SignatureScheme {
            self.0.scheme()
        }
    }

    async fn signs_on_a_blocking_thread(version: &'static SupportedProtocolVersion) -> bool {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let watched = Watched {
            key: rustls::crypto::ring::sign::any_supported_type(&der).unwrap(),
            blocks: Arc::new(AtomicBool::new(false)),
        };
        let certified = CertifiedKey::new(vec![certificate.der().clone()], Arc::new(watched.clone()));
        let config = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // The client refuses the certificate in the end; by then the server has signed.
        let client =
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let connecting = async {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(client)).connect(name, stream).await
        };
        let accepting = async {
            let (stream, peer) = listener.accept().await.unwrap();
            let hello = Hello::of(&stream).await.unwrap();
            let handshakes = Handshakes::new(Ledger::new(Limits::of(&Config::default()))).unwrap();
            let holder = Holder::address(Some(peer.ip()));
            handshakes.make(Arc::new(config), stream, hello, holder).await.map(drop)
        };
        let (connected, accepted) = tokio::join!(connecting, accepting);
        assert!(connected.is_err() && accepted.is_err(), "the client trusts no certificate");
        watched.blocks.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn signatures_are_made_on_threads_that_may_block() {
        for version in [&TLS13, &TLS12] {
            assert!(signs_on_a_blocking_thread(version).await, "{version:?}");
        }
    }
}

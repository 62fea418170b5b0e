//! Listeners: socket options, the TLS handshake, and HTTP/1.1 on each connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive};
use actix_server::GracefulShutdownSignal;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::App as WebApp;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use actix_web::web::Data;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::ServerConfig as TlsServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::server::TlsStream;

use super::guard::{ConnectionGuard, Why};
use super::handshakes::{Handshakes, TlsConnection};
use super::hello::Hello;
use crate::app::App;
use crate::config::ServerConfig;
use crate::http::{self, Connection, ProxySettings, Requests};
use crate::limits::{Holder, LimitReached};

/// Bytes that are buffered for one write to a connection, so that large pieces of a blob need few system
/// calls.
const WRITE_BUFFER: usize = 256 << 10;
/// How long a connection is read after its request was refused early: docker sends its whole layer before it
/// reads.
const LINGER: Duration = Duration::from_secs(10);
/// Milliseconds after which a peer that acknowledges nothing is given up, so that a stalled download ends.
const TCP_USER_TIMEOUT_MS: u32 = 300_000;
/// How long a client may take for the first message of a TLS handshake.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a client that does not use TLS may take to read the response.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many bytes of a plain request to a TLS listener are read, so that the response is not lost to a reset.
const READ_ON: usize = 64 << 10;
const USE_HTTPS: &str = r#"{"errors":[{"code":"UNSUPPORTED","message":"this port speaks TLS: use https:// instead of http://"}]}"#;

/// Serves the connections of a listener.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) app: Data<App>,
    pub(super) proxies: Data<ProxySettings>,
    pub(super) keep_alive: Duration,
    pub(super) header_timeout: Duration,
    pub(super) stopping: GracefulShutdownSignal,
}

impl Service {
    pub(super) fn new(
        config: &ServerConfig,
        app: Arc<App>,
        proxies: Arc<ProxySettings>,
        stopping: GracefulShutdownSignal,
    ) -> Self {
        Self {
            app: Data::from(app),
            proxies: Data::from(proxies),
            keep_alive: config.keep_alive.duration(),
            header_timeout: config.client_header_timeout.duration(),
            stopping,
        }
    }

    /// How long a connection may stay after a request until the next one has begun.
    fn patience(&self) -> Duration {
        self.keep_alive + self.header_timeout
    }

    /// Plain HTTP.
    pub(super) fn plain(
        &self,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
    {
        let service = self.clone();
        let open = move |stream: TcpStream| {
            prepare(&stream);
            let peer = stream.peer_addr().ok();
            let (requests, counted) = service.count(peer);
            let mut guard = ConnectionGuard::new(stream, peer, requests, service.patience());
            if counted.is_err() {
                guard.refuse(Why::ManyConnections);
            }
            std::future::ready(Ok::<_, DispatchError>((guard, peer)))
        };
        let connection =
            |stream: &TcpStream| Connection { is_secure: false, local: stream.local_addr().ok() };
        fn_service(open).and_then(self.http(connection))
    }

    /// HTTP within TLS.
    pub(super) fn tls(
        &self,
        config: &Arc<TlsServerConfig>,
        handshakes: &Arc<Handshakes>,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
    {
        let (config, handshakes) = (Arc::clone(config), Arc::clone(handshakes));
        let service = self.clone();
        let open = move |stream: TcpStream| {
            prepare(&stream);
            let peer = stream.peer_addr().ok();
            let (requests, counted) = service.count(peer);
            let patience = service.patience();
            let shaken = shake_hands(Arc::clone(&handshakes), Arc::clone(&config), stream);
            async move {
                let shaken = match counted {
                    Ok(()) => tokio::select! {
                        shaken = shaken => shaken,
                        () = requests.ended() => Err(io::ErrorKind::ConnectionAborted.into()),
                    },
                    Err(reached) => Err(io::Error::other(reached)),
                };
                match shaken {
                    Ok((stream, connection)) => {
                        let mut guard = ConnectionGuard::new(stream, peer, requests, patience);
                        guard.count_until_closed(connection);
                        Ok((guard, peer))
                    }
                    Err(error) => {
                        tracing::debug!(%error, peer = peer.map(tracing::field::display), "no TLS handshake");
                        Err(DispatchError::Io(error))
                    }
                }
            }
        };
        let connection = |stream: &TlsStream<TcpStream>| {
            let (tcp, _) = stream.get_ref();
            Connection { is_secure: true, local: tcp.local_addr().ok() }
        };
        fn_service(open).and_then(self.http(connection))
    }

    /// Counts a connection for the address that it comes from, until a user signs in over it. For a trusted
    /// proxy, only its requests tell who the client is; until the first one it counts among the silent
    /// connections.
    fn count(&self, peer: Option<SocketAddr>) -> (Requests, Result<(), LimitReached>) {
        let requests = Requests::default();
        let counted = match peer.map(|peer| peer.ip()) {
            Some(address) if !self.proxies.trusts(address) => {
                requests.count_for(&self.app.ledger, Some(address))
            }
            Some(address) => {
                requests.count_silent(&self.app.ledger, address);
                Ok(())
            }
            None => Ok(()),
        };
        (requests, counted)
    }

    fn http<T>(
        &self,
        connection: fn(&T) -> Connection,
    ) -> impl ServiceFactory<
        (ConnectionGuard<T>, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (app, proxies) = (self.app.clone(), self.proxies.clone());
        let web = WebApp::new()
            .app_data(app)
            .app_data(proxies)
            .wrap(from_fn(http::observe_public))
            .configure(http::routes);
        let stopping = Rc::new(self.stopping.clone());
        HttpService::build()
            .keep_alive(KeepAlive::Timeout(self.keep_alive))
            .client_request_timeout(self.header_timeout)
            .client_disconnect_timeout(LINGER)
            .h1_write_buffer_size(WRITE_BUFFER)
            .graceful_shutdown_signal(move || {
                let stopping = GracefulShutdownSignal::clone(&stopping);
                async move { stopping.notified().await }
            })
            .on_connect_ext(move |stream: &ConnectionGuard<T>, data| {
                data.insert(connection(stream.get_ref()));
                data.insert(stream.requests());
            })
            .h1(map_config(web.into_factory(), |()| AppConfig::default()))
    }
}

/// Sets the options of every connection.
fn prepare(stream: &TcpStream) {
    // Without it, every body that follows its head is delayed by 40 ms (Nagle's algorithm and delayed
    // acknowledgements).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection gathers small writes");
    }
    if let Err(error) = set_tcp_user_timeout(stream, TCP_USER_TIMEOUT_MS) {
        tracing::debug!(%error, "a connection has no limit on stalls");
    }
}

/// Makes the TLS handshake. A connection that is refused here is closed, because a client that uses TLS could
/// not read a plain response.
async fn shake_hands(
    handshakes: Arc<Handshakes>,
    config: Arc<TlsServerConfig>,
    stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, TlsConnection)> {
    let hello = timeout(HELLO_WITHIN, Hello::of(&stream)).await.map_err(io::Error::from)??;
    if hello == Hello::Plain {
        timeout(ANSWER_WITHIN, answer_plainly(stream)).await.map_err(io::Error::from)??;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a request without TLS"));
    }
    let holder = Holder::address(stream.peer_addr().ok().map(|peer| peer.ip()));
    handshakes.make(config, stream, hello, holder).await
}

/// Tells a client that uses HTTP on a TLS port what to do instead.
async fn answer_plainly(mut stream: TcpStream) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{USE_HTTPS}",
        USE_HTTPS.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    let mut read = 0;
    while read < READ_ON {
        match stream.read(&mut unread).await? {
            0 => break,
            bytes => read += bytes,
        }
    }
    Ok(())
}

//! The server: its listeners, its signals, and its orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::App as WebApp;
use actix_web::HttpServer;
use actix_web::dev::Extensions;
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::rt::net::TcpStream;
use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::web::Data;
use rustix::net::sockopt::set_tcp_user_timeout;

use crate::app::App;
use crate::config::Config;
use crate::http;

/// Bytes that are gathered for one write to a connection: large pieces of a blob go out in few system calls.
const WRITE_BUFFER: usize = 256 << 10;
/// How long a connection is read on after its request was refused early: docker sends its whole layer before it reads.
const LINGER: Duration = Duration::from_secs(10);
/// Milliseconds after which a peer that acknowledges nothing is given up: a stalled download ends.
const TCP_USER_TIMEOUT_MS: u32 = 300_000;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// A server that listens already and serves when it is run.
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    config: Config,
    app: Arc<App>,
}

impl Server {
    /// Listens on every address of the settings.
    pub fn bind(config: &Config, app: Arc<App>) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for addr in &config.server.listen {
            let wrong = |source| BindError { addr: *addr, source };
            let listener = listen(*addr).map_err(wrong)?;
            addresses.push(listener.local_addr().map_err(wrong)?);
            listeners.push(listener);
        }
        Ok(Self { listeners, addresses, config: config.clone(), app })
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Serves until SIGTERM or SIGINT, then drains: no new connections, requests to their end (or the end of the
    /// grace), uploads to their checkpoints, the last commit, the database closed.
    pub fn run(self) -> io::Result<()> {
        self.run_until(async {
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                tracing::error!("signals cannot be received");
                return;
            };
            let name = futures_util::future::select(Box::pin(term.recv()), Box::pin(int.recv())).await;
            drop(name);
            tracing::info!("stopping: requests under way are finished first");
        })
    }

    /// Serves until `stop` is ready, then drains.
    pub fn run_until(self, stop: impl Future<Output = ()> + 'static) -> io::Result<()> {
        let Self { listeners, config, app, .. } = self;
        let served = System::new().block_on(serve(listeners, &config, Arc::clone(&app), stop));
        app.close();
        served
    }
}

async fn serve(
    listeners: Vec<TcpListener>,
    config: &Config,
    app: Arc<App>,
    stop: impl Future<Output = ()> + 'static,
) -> io::Result<()> {
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let data = Data::from(app);
    let mut server = HttpServer::new(move || {
        WebApp::new().app_data(data.clone()).wrap(from_fn(http::observe)).configure(http::routes)
    })
    .workers(workers)
    // The limit is for each worker.
    .max_connections(config.server.max_connections.div_ceil(workers).max(1))
    .keep_alive(config.server.keep_alive.duration())
    .client_request_timeout(config.server.client_header_timeout.duration())
    .client_disconnect_timeout(LINGER)
    .shutdown_timeout(config.server.shutdown_grace.as_secs())
    // Without it every body that follows its head waits 40 ms for an acknowledgement.
    .tcp_nodelay(true)
    .h1_write_buffer_size(WRITE_BUFFER)
    .on_connect(limit_stalls)
    .disable_signals();
    for listener in listeners {
        server = server.listen(listener)?;
    }
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(async move {
        stop.await;
        handle.stop(true).await;
    });
    running.await
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn limit_stalls(connection: &dyn std::any::Any, _: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = set_tcp_user_timeout(stream, TCP_USER_TIMEOUT_MS)
    {
        tracing::debug!(%error, "a connection has no limit on stalls");
    }
}

//! The server: its listeners, its signals, and its graceful shutdown.

mod certificate_warnings;
mod files;
mod guard;
mod handshakes;
mod hello;
mod key_pair;
mod listener;
mod signals;
mod socket;
mod tls;
mod tls_error;
mod x509;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt::task::spawn_blocking;
use actix_web::rt::time::sleep;
use actix_web::rt::{System, SystemRunner};
use futures_util::FutureExt as _;
use tokio::sync::Notify;

pub use guard::{FREE_HEAD, HEAD_POOL, LARGEST_HEAD};
pub use handshakes::HANDSHAKE_TIMEOUT;
pub use signals::Signals;
pub use socket::{AdminSocket, SocketError, connect_socket};
pub use tls::{Certificate, NewCertificate, Tls};
pub use tls_error::TlsError;
pub use x509::CertificateFacts;

use self::certificate_warnings::Reminder;
use self::handshakes::Handshakes;
use self::listener::Service;
use crate::app::{App, CertificateState, Listening};
use crate::config::{Config, Scheme};
use crate::http::ProxySettings;
use crate::store::give_large_memory_back;

/// How often the files of the certificate are checked for changes.
const LOOK_AT_FILES_EVERY: Duration = Duration::from_secs(2);

/// The server cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// The error of the system.
    pub source: io::Error,
}

/// A server that listens already, and serves when it is run.
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    config: Config,
    tls: Option<Tls>,
    proxies: Arc<ProxySettings>,
    admin: Option<AdminSocket>,
    app: Arc<App>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its requests completed or ran out of time, and its store is closed.
    InOrder,
    /// After a second signal; the process must end now.
    AtOnce,
}

/// The parts of a server that can change while it runs.
#[derive(Clone)]
pub struct Live {
    /// Its parts.
    pub app: Arc<App>,
    /// The trusted proxies and the public URL.
    pub proxies: Arc<ProxySettings>,
    /// Its certificate, if it uses TLS.
    pub certificate: Option<Arc<Certificate>>,
}

impl Server {
    /// Listens on every address of the settings.
    pub fn bind(config: &Config, tls: Option<Tls>, app: Arc<App>) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for addr in &config.server.listen {
            let wrong = |source| BindError { addr: *addr, source };
            let listener = listen(*addr).map_err(wrong)?;
            addresses.push(listener.local_addr().map_err(wrong)?);
            listeners.push(listener);
        }
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        let urls = addresses.iter().map(|address| format!("{scheme}://{address}")).collect();
        let certificate = tls.as_ref().map(|tls| {
            let certificate = Arc::clone(&tls.certificate);
            let state =
                move || CertificateState { end_ms: certificate.end_ms(), warnings: certificate.warnings() };
            Box::new(state) as Box<_>
        });
        app.set_listening(Listening { urls, certificate });
        let proxies = Arc::new(ProxySettings::new(&config.server));
        Ok(Self { listeners, addresses, config: config.clone(), tls, proxies, admin: None, app })
    }

    /// Serves the admin socket as well.
    #[must_use]
    pub fn with_admin_socket(mut self, socket: AdminSocket) -> Self {
        self.admin = Some(socket);
        self
    }

    /// Its addresses, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The path of its admin socket.
    pub fn socket(&self) -> Option<&Path> {
        self.admin.as_ref().map(AdminSocket::path)
    }

    /// The parts that can change while it runs.
    pub fn live(&self) -> Live {
        let certificate = self.tls.as_ref().map(|tls| Arc::clone(&tls.certificate));
        Live { app: Arc::clone(&self.app), proxies: Arc::clone(&self.proxies), certificate }
    }

    /// Serves until SIGTERM or SIGINT, then drains: it accepts no new connections, completes requests (or
    /// ends them after the grace period), brings uploads to their checkpoints, makes the last commit, and
    /// closes the database. A second signal ends all that at once. `hangup` is called at each SIGHUP and
    /// returns whether to continue.
    pub fn run(
        self,
        signals: Signals,
        hangup: impl Fn() -> ControlFlow<()> + Send + Sync + 'static,
    ) -> io::Result<Ended> {
        let Signals { system, caught } = signals;
        let grace = self.config.server.shutdown_grace;
        self.run_on(&system, caught.stop(hangup, grace))
    }

    /// Serves until `stop` is ready, then drains.
    pub fn run_until(self, stop: impl Future<Output = ()> + 'static) -> io::Result<()> {
        self.run_on(&System::new(), stop.map(|()| std::future::pending())).map(|_| ())
    }

    fn run_on<A: Future<Output = ()> + 'static>(
        self,
        system: &SystemRunner,
        stop: impl Future<Output = A> + 'static,
    ) -> io::Result<Ended> {
        give_large_memory_back();
        let app = Arc::clone(&self.app);
        let served = system.block_on(self.serve(stop));
        if matches!(served, Ok(Ended::AtOnce)) {
            // Requests continue until the process ends, which is soon. The store must not be closed while
            // they run, so it is leaked; the next start is like one after a crash.
            std::mem::forget(app);
        } else {
            app.close();
        }
        served
    }

    /// Serves until `stop` is ready. `stop` returns a future that ends the drain.
    async fn serve<A: Future<Output = ()> + 'static>(
        self,
        stop: impl Future<Output = A> + 'static,
    ) -> io::Result<Ended> {
        let Self { listeners, config, tls, proxies, admin, app, .. } = self;
        let admin = admin.map(|socket| socket.serve(&app)).transpose()?;
        let config = &config.server;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            workers => workers,
        };
        let connections = files::connections(config.max_connections);
        app.ledger.set_connections(connections);
        let mut server = actix_server::Server::build()
            .workers(workers)
            // The limit applies to each worker.
            .max_concurrent_connections(connections.div_ceil(workers).max(1))
            .shutdown_timeout(config.shutdown_grace.as_secs())
            .disable_signals();
        let ending = Arc::clone(&app);
        let service = Service::new(config, app, proxies, server.graceful_shutdown_signal());
        let tls_parts = match &tls {
            Some(tls) => {
                Some((Arc::clone(&tls.config), Arc::new(Handshakes::new(Arc::clone(&ending.ledger))?)))
            }
            None => None,
        };
        for listener in listeners {
            let service = service.clone();
            server = match tls_parts.clone() {
                Some((tls, handshakes)) => {
                    server.listen("https", listener, move || service.tls(&tls, &handshakes))?
                }
                None => server.listen("http", listener, move || service.plain())?,
            };
        }
        drop(service);
        let running = server.run();
        let handle = running.handle();
        let at_once = Arc::new(Notify::new());
        let hurry = Arc::clone(&at_once);
        actix_web::rt::spawn(async move {
            let again = stop.await;
            ending.jobs.end();
            drop(ending);
            tokio::select! {
                () = handle.stop(true) => {}
                () = again => hurry.notify_one(),
            }
        });
        let watch = tls.map(|tls| actix_web::rt::spawn(watch(tls.certificate)));
        let drained = async {
            let result = running.await;
            if let Some(admin) = admin {
                admin.stop().await;
            }
            result
        };
        let result = tokio::select! {
            result = drained => result.map(|()| Ended::InOrder),
            () = at_once.notified() => Ok(Ended::AtOnce),
        };
        if let Some(watch) = watch {
            watch.abort();
        }
        result
    }
}

/// Reloads the certificate when its files change, and warns about one that has expired, expires soon, or
/// lacks a part of its chain.
async fn watch(certificate: Arc<Certificate>) {
    let mut reminder = Reminder::default();
    loop {
        let looked_at = Arc::clone(&certificate);
        let warnings = spawn_blocking(move || {
            looked_at.refresh();
            looked_at.warnings()
        });
        match warnings.await {
            Ok(warnings) if reminder.is_due(&warnings, Instant::now()) => {
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the files of the certificate cannot be looked at"),
        }
        sleep(LOOK_AT_FILES_EVERY).await;
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

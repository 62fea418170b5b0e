//! The signals that a server handles.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::rt::task::spawn_blocking;
use actix_web::rt::{System, SystemRunner};

use crate::http;
use crate::model::units::HumanDuration;

/// SIGTERM, SIGINT and SIGHUP, caught from now on: they are kept until the server runs instead of ending the
/// process.
pub struct Signals {
    pub(super) system: SystemRunner,
    pub(super) caught: Caught,
}

pub(super) struct Caught {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to catch them.
    pub fn catch() -> io::Result<Self> {
        let system = System::new();
        let caught = system.block_on(async {
            Ok::<_, io::Error>(Caught {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        })?;
        Ok(Self { system, caught })
    }
}

impl Caught {
    /// Waits for the signal to stop, and returns a future that waits for the next one. `hangup` is called at
    /// each SIGHUP and returns whether to continue.
    pub(super) async fn stop(
        self,
        hangup: impl Fn() -> ControlFlow<()> + Send + Sync + 'static,
        grace: HumanDuration,
    ) -> impl Future<Output = ()> {
        let Self { mut terminate, mut interrupt, mut hang_up } = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up(&mut hang_up, Arc::new(hangup)) => {}
        }
        match http::in_flight() {
            0 => tracing::info!("stopping"),
            requests => tracing::info!(
                "stopping: waiting up to {grace} for {requests} {}; Ctrl-C again stops at once, uploads can be resumed",
                if requests == 1 { "request" } else { "requests" }
            ),
        }
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("stopped at once: requests under way were cut off, uploads can be resumed");
        }
    }
}

/// Calls `hangup` at each signal, until it returns a break.
async fn hung_up(signal: &mut Signal, hangup: Arc<impl Fn() -> ControlFlow<()> + Send + Sync + 'static>) {
    while signal.recv().await.is_some() {
        let hangup = Arc::clone(&hangup);
        if matches!(spawn_blocking(move || hangup()).await, Ok(ControlFlow::Break(()))) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

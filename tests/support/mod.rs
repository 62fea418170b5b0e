//! A server for each test, on a port that the system chooses and in a directory that is removed with it.

#![allow(dead_code, reason = "each test binary uses its own part of the support")]
#![allow(unreachable_pub, reason = "what the support offers is its face towards every test binary")]

pub mod certificates;
pub mod client;
pub mod content;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stowage::app::{App, FirstAdmin, Hooks, Older, Start};
use stowage::config::{Config, Environment};
use stowage::server::{Server, Tls};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub use client::{Client, Response};

/// Waits for something that the server does after its response and that has no other sign.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that something takes less than `limit`. On a busy machine any one attempt may take longer, so one
/// quick attempt is enough.
#[track_caller]
pub fn once_within(limit: Duration, what: &str, mut work: impl FnMut()) {
    let mut quickest = Duration::MAX;
    eventually(what, || {
        let started = Instant::now();
        work();
        quickest = quickest.min(started.elapsed());
        quickest < limit
    });
}

/// A running server. Dropping it stops it gracefully.
pub struct TestStowage {
    pub address: SocketAddr,
    pub directory: PathBuf,
    pub password: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _temporary: Option<TempDir>,
}

/// A directory that is removed with its server. It is in memory if there is much of it: creating the 768
/// directories of a store takes half a second on a disk. A test of the disk brings its own directory.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    if room > 4 << 30 { TempDir::new_in(memory) } else { TempDir::new() }.expect("a temporary directory")
}

/// How a test server differs from the default, which is an open registry in a new directory.
pub struct Setup {
    pub config: Config,
    pub open: bool,
    pub hooks: Hooks,
    pub directory: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut config = Config::default();
        config.server.listen = vec!["127.0.0.1:0".parse().expect("an address")];
        config.storage.min_free = "0".parse().expect("a size");
        config.storage.warn_free = "0".parse().expect("a size");
        Self { config, open: true, hooks: Hooks::default(), directory: None }
    }
}

impl TestStowage {
    /// An open registry: every caller may do everything.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// A registry whose only user is `admin`, with its own password.
    pub fn with_sign_in() -> Self {
        Self::with(Setup { open: false, ..Setup::default() })
    }

    /// A server in a directory that outlives it.
    pub fn in_directory(directory: &Path) -> Self {
        Self::with(Setup { directory: Some(directory.to_owned()), ..Setup::default() })
    }

    pub fn with(setup: Setup) -> Self {
        let temporary = setup.directory.is_none().then(temporary);
        let directory = setup
            .directory
            .clone()
            .or_else(|| temporary.as_ref().map(|temporary| temporary.path().to_owned()))
            .expect("one of both is there");
        let start = Start {
            config: setup.config.clone(),
            data_dir: directory.clone(),
            open_registry: setup.open,
            first_admin: FirstAdmin::Generate,
            older: Older::CopyAndMigrate,
            hooks: setup.hooks,
        };
        let app = App::open(start).expect("the store opens");
        let password = app.new_admin().map(|admin| admin.password.expose().clone());
        let tls =
            Tls::load(&setup.config.server.tls, &Environment::default()).expect("the certificate is good");
        let server = Server::bind(&setup.config, tls, Arc::clone(&app)).expect("the address is free");
        let address = server.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            server
                .run_until(async {
                    // Dropping the sender stops the server, too.
                    let _ = stopped.await;
                })
                .expect("the server runs");
        });
        Self { address, directory, password, stop: Some(stop), thread: Some(thread), _temporary: temporary }
    }

    /// A client without credentials.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client that signs in as the first admin.
    pub fn admin(&self) -> Client {
        let password = self.password.as_ref().expect("the registry has an admin");
        Client::new(self.address).basic("admin", password)
    }

    /// Stops the server gracefully and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server ended with a panic");
        }
    }
}

impl Drop for TestStowage {
    fn drop(&mut self) {
        self.end();
    }
}

//! Opens the store in this process, if no server runs. It serves the same admin API, at a socket that only
//! this process can reach, so that commands work the same with and without a server.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::{fs, io};

use tokio::sync::oneshot;

use super::client::running;
use super::errors::{Exit, Failure, refuse_stranger};
use super::private_dir::PrivateDir;
use super::{data_dir, probe};
use crate::app::{App, FirstAdmin, Hooks, Older, Start};
use crate::config::Config;
use crate::server::AdminSocket;

/// An open store. Dropping it closes the store in order.
pub(super) struct Offline {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    _directory: PrivateDir,
}

impl Offline {
    /// Opens the store in `data_dir`, which must exist and belong to this user.
    pub(super) fn open(config: Config, data_dir: &Path) -> Result<Self, Failure> {
        refuse_unusable(data_dir)?;
        probe::after_unclean_stop(data_dir)?;
        let directory = PrivateDir::create()?;
        let socket = directory.path().join("admin.sock");
        let app = App::open(Start {
            config,
            data_dir: data_dir.to_owned(),
            open_registry: false,
            first_admin: FirstAdmin::No,
            // The older version could not open it any more, and a command may only have been to look.
            older: Older::Refuse,
            hooks: Hooks::default(),
        })?;
        let listening = AdminSocket::bind(&socket, 0o600).map_err(|error| {
            Failure::new(Exit::Failed, "OFFLINE", "cannot open the store").because(error.to_string())
        })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            listening.run_until(&app, async {
                // Dropping the sender also ends it.
                let _ = stopped.await;
            })
        });
        Ok(Self { socket, stop: Some(stop), thread: Some(thread), _directory: directory })
    }

    /// The socket of the admin API.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has closed the store; a panic there changes nothing for the command any more.
            let _ = thread.join();
        }
    }
}

/// Refuses a directory without a store, and a store of another user.
fn refuse_unusable(data_dir: &Path) -> Result<(), Failure> {
    let owner = match fs::metadata(data_dir) {
        Ok(found) if data_dir::has_store(data_dir) => found.uid(),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::unusable(data_dir, &error));
        }
        _ => {
            let what = format!("no server runs, and there is no data in {}", data_dir.display());
            let failure = Failure::new(Exit::NotFound, "NO_DATA", what)
                .fix("start the server: stowage serve")
                .fix("or name its data directory: --data-dir DIR");
            return Err(running::named(failure));
        }
    };
    let directory = format!("no server runs, and {}", data_dir.display());
    let command = format!("... --data-dir {}", data_dir.display());
    refuse_stranger(&directory, &command, owner, rustix::process::geteuid().as_raw())
}

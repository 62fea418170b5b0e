//! Start-up: the time to the first response, and the memory.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::failure::Failure;
use crate::layout::Layout;
use crate::requests;
use crate::server::{self, Server};

/// How the previous server ended, and what the page cache still has of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Stopped,
    /// The database is not in the page cache.
    Cold,
    /// The server was killed after 1.5 idle seconds, which followed a push.
    Killed,
}

impl Before {
    pub(crate) const ALL: [Self; 3] = [Self::Stopped, Self::Cold, Self::Killed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "after a stop",
            Self::Cold => "after a stop, cold",
            Self::Killed => "killed when idle",
        }
    }
}

/// One start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartUp {
    pub(crate) took: Duration,
    /// Memory at the first response, in bytes.
    pub(crate) peak: u64,
}

/// Starts a server after `before`, on a store that no server has open.
pub(crate) fn start(data_dir: &Path, layout: &Layout, before: Before) -> Result<StartUp, Failure> {
    match before {
        Before::Stopped => {}
        Before::Cold => server::forget(data_dir)?,
        Before::Killed => {
            let server = Server::start(data_dir, requests::SETTINGS)?;
            requests::push_once(&server, layout)?;
            sleep(Duration::from_millis(1_500));
            server.kill()?;
        }
    }
    let server = Server::start(data_dir, requests::SETTINGS)?;
    let start = StartUp { took: server.ready_in, peak: server.peak() };
    server.stop()?;
    Ok(start)
}

//! What is told of a running server beside its content: where it listens, whether it takes pushes, when it
//! last saved and checked its metadata.

use std::path::PathBuf;
use std::time::Instant;

use super::App;
use crate::access::{Grant, ReadServer};
use crate::lifecycle::JobState;
use crate::limits::Resource;

/// The certificate in use.
#[derive(Clone, Debug, Default)]
pub struct CertificateState {
    /// Until when it is valid, in Unix milliseconds.
    pub end_ms: Option<u64>,
    /// What the operator should know of its dates and its chain.
    pub warnings: Vec<String>,
}

/// Where a server listens.
pub struct Listening {
    /// Its addresses, as URLs.
    pub urls: Vec<String>,
    /// Present when it speaks TLS.
    pub certificate: Option<Box<dyn Fn() -> CertificateState + Send + Sync>>,
}

/// How the server is.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where it listens; empty for a command that has opened the store itself.
    pub urls: Vec<String>,
    /// Its certificate; the default without TLS.
    pub certificate: CertificateState,
    /// Since how many seconds it runs.
    pub uptime_s: u64,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Open upload sessions.
    pub uploads: u64,
    /// When the newest dump was made, in Unix milliseconds.
    pub last_dump_ms: Option<u64>,
    /// The last check that came to its end since the start.
    pub last_check: Option<LastCheck>,
}

/// The end of a check.
#[derive(Clone, Copy, Debug)]
pub struct LastCheck {
    /// In Unix milliseconds.
    pub ended_ms: u64,
    /// Whether every blob was read.
    pub deep: bool,
    /// How many problems it found.
    pub problems: usize,
}

/// What an open app knows of itself.
pub(super) struct Run {
    pub(super) data_dir: PathBuf,
    pub(super) started: Instant,
    pub(super) listening: std::sync::OnceLock<Listening>,
}

impl Run {
    pub(super) fn begin(data_dir: PathBuf) -> Self {
        Self { data_dir, started: Instant::now(), listening: std::sync::OnceLock::new() }
    }
}

impl App {
    /// Notes where the server listens. It does so once.
    pub fn set_listening(&self, listening: Listening) {
        let _ = self.run.listening.set(listening);
    }

    /// How the server is.
    pub fn condition(&self, grant: &Grant<ReadServer>) -> Condition {
        let listening = self.run.listening.get();
        let certificate = listening.and_then(|listening| listening.certificate.as_ref());
        Condition {
            urls: listening.map(|listening| listening.urls.clone()).unwrap_or_default(),
            certificate: certificate.map(|state| state()).unwrap_or_default(),
            uptime_s: self.run.started.elapsed().as_secs(),
            data_dir: self.run.data_dir.clone(),
            uploads: self.ledger.total(Resource::UploadSessions),
            last_dump_ms: self.dumps.newest(),
            last_check: self.last_check(grant),
        }
    }

    fn last_check(&self, grant: &Grant<ReadServer>) -> Option<LastCheck> {
        self.jobs.list(grant).into_iter().find_map(|job| match job.state {
            JobState::Done(report) => Some(LastCheck {
                ended_ms: job.ended_ms.unwrap_or(job.started_ms),
                deep: job.deep,
                problems: report.problems.len(),
            }),
            _ => None,
        })
    }
}

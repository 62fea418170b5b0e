//! The state of a running server besides its content: its addresses and certificate, its last dump and check.

use std::path::PathBuf;
use std::time::Instant;

use super::App;
use crate::access::{Grant, ReadServer};
use crate::lifecycle::CheckParams;
use crate::limits::Resource;
use crate::wire::{JobKind, Scrubbed};

/// The certificate in use.
#[derive(Clone, Debug, Default)]
pub struct CertificateState {
    /// The end of its validity, in Unix milliseconds.
    pub end_ms: Option<u64>,
    /// Warnings about its dates and its chain.
    pub warnings: Vec<String>,
}

/// The addresses of a server.
pub struct Listening {
    /// Its addresses, as URLs.
    pub urls: Vec<String>,
    /// Returns the state of the certificate; `None` without TLS.
    pub certificate: Option<Box<dyn Fn() -> CertificateState + Send + Sync>>,
}

/// The state of a server.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Its URLs; empty for a command that has opened the store itself.
    pub urls: Vec<String>,
    /// Its certificate; the default without TLS.
    pub certificate: CertificateState,
    /// How long it has run, in seconds.
    pub uptime_s: u64,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Open upload sessions.
    pub uploads: u64,
    /// When the newest dump was made, in Unix milliseconds.
    pub last_dump_ms: Option<u64>,
    /// The last check that was completed.
    pub last_check: Option<LastCheck>,
    /// The last garbage collection that was completed.
    pub last_gc: Option<LastGc>,
    /// The last scrub, and the damage that is not healed.
    pub last_scrub: Option<LastScrub>,
}

/// A completed garbage collection.
#[derive(Clone, Copy, Debug)]
pub struct LastGc {
    /// In Unix milliseconds.
    pub ended_ms: u64,
    /// Bytes that it removed from the disk.
    pub freed_bytes: u64,
    /// Damaged rows, and files that could not be removed.
    pub spared: u64,
}

/// The last scrub, and the damage that the runs so far have found.
#[derive(Clone, Copy, Debug)]
pub struct LastScrub {
    /// When the last run came to its end, in Unix milliseconds; `None`: none did yet.
    pub ended_ms: Option<u64>,
    /// What was found damaged by any run, and is not healed.
    pub damaged: u64,
}

/// A completed check.
#[derive(Clone, Copy, Debug)]
pub struct LastCheck {
    /// In Unix milliseconds.
    pub ended_ms: u64,
    /// Whether every blob was read.
    pub deep: bool,
    /// How many problems it found.
    pub problems: u64,
}

/// What an open app records about this run.
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
    /// Records where the server listens, and runs scheduled jobs from now on. Only the first call has an
    /// effect.
    pub fn set_listening(&self, listening: Listening) {
        let _ = self.run.listening.set(listening);
        self.scheduler.serve();
    }

    /// The state of the server.
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
            last_gc: self.last_gc(grant),
            last_scrub: self.last_scrub(grant),
        }
    }

    fn last_gc(&self, grant: &Grant<ReadServer>) -> Option<LastGc> {
        let gc = self.jobs.last_done(grant, JobKind::Gc)?;
        let (freed_bytes, spared) = (gc.job.progress.bytes, gc.job.problems);
        Some(LastGc { ended_ms: gc.ended_or_started_ms(), freed_bytes, spared })
    }

    fn last_scrub(&self, grant: &Grant<ReadServer>) -> Option<LastScrub> {
        let ended_ms = self.jobs.last_done(grant, JobKind::Scrub).map(|scrub| scrub.ended_or_started_ms());
        // Also of runs that were ended: what they have found is not found again before the next cycle.
        let result = self.jobs.last_result(grant, JobKind::Scrub);
        let found = result.and_then(|result| serde_json::from_str::<Scrubbed>(&result).ok())?;
        let unhealed = found.unhealed.iter().filter(|damage| self.registry.needs_attention(damage));
        let damaged = unhealed.count() as u64;
        (ended_ms.is_some() || damaged > 0).then_some(LastScrub { ended_ms, damaged })
    }

    fn last_check(&self, grant: &Grant<ReadServer>) -> Option<LastCheck> {
        let check = self.jobs.last_done(grant, JobKind::Check)?;
        let params: CheckParams = serde_json::from_str(&check.job.parameters).unwrap_or_default();
        Some(LastCheck {
            ended_ms: check.ended_or_started_ms(),
            deep: params.deep,
            problems: check.job.problems,
        })
    }
}

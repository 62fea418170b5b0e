//! When dumps of the metadata are made, and where.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::DumpsConfig;
use crate::store::meta::dump;

/// How often it is asked whether a dump is due, where dumps are not made more often.
const ASK_EVERY: Duration = Duration::from_mins(1);

/// When dumps are made, and where.
pub struct Dumps {
    dir: PathBuf,
    settings: ArcSwap<DumpsConfig>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// The last attempt of this server.
    attempt: Option<Instant>,
    /// [`Meta::changes`](crate::store::meta::Meta::changes) before the last dump that this server has made.
    changes: Option<u64>,
}

impl Dumps {
    /// Dumps of the store in `data_dir`.
    pub fn new(data_dir: &Path, settings: DumpsConfig) -> Self {
        let dir = data_dir.join(dump::DIR_NAME);
        Self { dir, settings: ArcSwap::from_pointee(settings), last: Mutex::default() }
    }

    /// Puts other settings into force.
    pub fn set(&self, settings: DumpsConfig) {
        self.settings.store(Arc::new(settings));
    }

    /// When the newest dump was made, in Unix milliseconds.
    pub fn newest(&self) -> Option<u64> {
        dump::newest(&self.dir)
    }

    /// How long it is until it is asked again whether a dump is due.
    pub(super) fn pause(&self) -> Duration {
        match self.settings.load().every.duration() {
            Duration::ZERO => ASK_EVERY,
            every => every.min(ASK_EVERY),
        }
    }

    /// Where dumps are made, and how many are kept.
    pub(super) fn place(&self) -> (&Path, usize) {
        (&self.dir, self.settings.load().keep)
    }

    /// Whether a dump is due, which is then an attempt. One that fails counts: what was in its way may need a
    /// person. When nothing has changed since this server's last dump, none is due, unless that one is gone;
    /// what changed before the start is not known, so the first one is made in any case.
    pub(super) fn due(&self, now_ms: u64, changes: u64) -> bool {
        let every = self.settings.load().every.duration();
        if every.is_zero() {
            return false;
        }
        let mut last = self.last();
        let due = match last.attempt {
            Some(attempt) => {
                attempt.elapsed() >= every && (last.changes != Some(changes) || self.newest().is_none())
            }
            // A dump from the future tells of a clock that was set back.
            None => self.newest().is_none_or(|made_ms| {
                now_ms.checked_sub(made_ms).is_none_or(|age| u128::from(age) >= every.as_millis())
            }),
        };
        if due {
            last.attempt = Some(Instant::now());
        }
        due
    }

    /// Notes that a dump was made which has everything up to this number of changes.
    pub(super) fn made(&self, changes: u64) {
        self.last().changes = Some(changes);
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

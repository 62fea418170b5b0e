//! Dumps of the metadata while the server works.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config::DumpsConfig;
use crate::lifecycle::worker::Worker;
use crate::store::meta::Meta;
use crate::store::meta::dump::{self, Written};

/// How often it is asked whether a dump is due, where dumps are not made more often.
const ASK_EVERY: Duration = Duration::from_mins(1);

/// When dumps are made, and where.
pub struct Dumps {
    dir: PathBuf,
    settings: ArcSwap<DumpsConfig>,
    /// The last attempt of this server.
    last: Mutex<Option<Instant>>,
}

impl Dumps {
    /// Dumps of the store in `data_dir`.
    pub fn new(data_dir: &Path, settings: DumpsConfig) -> Self {
        let dir = data_dir.join(dump::DIR_NAME);
        Self { dir, settings: ArcSwap::from_pointee(settings), last: Mutex::new(None) }
    }

    /// Puts other settings into force.
    pub fn set(&self, settings: DumpsConfig) {
        self.settings.store(Arc::new(settings));
    }

    /// When the newest dump was made, in Unix milliseconds.
    pub fn newest(&self) -> Option<u64> {
        dump::newest(&self.dir)
    }

    fn pause(&self) -> Duration {
        match self.settings.load().every.duration() {
            Duration::ZERO => ASK_EVERY,
            every => every.min(ASK_EVERY),
        }
    }

    /// What is to be done now, if anything. An attempt that failed counts: what was in its way may need a
    /// person.
    fn due(&self, now_ms: u64) -> Option<(PathBuf, usize)> {
        let settings = self.settings.load();
        let every = settings.every.duration();
        if every.is_zero() {
            return None;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match *last {
            Some(last) => last.elapsed() >= every,
            // A dump from the future tells of a clock that was set back.
            None => dump::newest(&self.dir).is_none_or(|made_ms| {
                now_ms.checked_sub(made_ms).is_none_or(|age| u128::from(age) >= every.as_millis())
            }),
        };
        if !due {
            return None;
        }
        *last = Some(Instant::now());
        Some((self.dir.clone(), settings.keep))
    }
}

pub(super) struct MakeDumps {
    meta: Arc<Meta>,
    dumps: Arc<Dumps>,
}

impl MakeDumps {
    pub(super) const fn new(meta: Arc<Meta>, dumps: Arc<Dumps>) -> Self {
        Self { meta, dumps }
    }
}

impl Worker for MakeDumps {
    fn pause(&self) -> Duration {
        self.dumps.pause()
    }

    async fn step(&self) {
        let Some((dir, keep)) = self.dumps.due(self.meta.clock().now().wall_ms) else { return };
        let meta = Arc::clone(&self.meta);
        // A panic over a damaged page is told by its own words.
        let _ = tokio::task::spawn_blocking(move || make(&meta, &dir, keep)).await;
    }
}

fn make(meta: &Meta, dir: &Path, keep: usize) {
    let started = Instant::now();
    match meta.dump(dir, keep) {
        Ok(Written { path, totals, bytes, .. }) => {
            tracing::info!(
                dump = %path.display(),
                rows = totals.rows,
                manifests = totals.bodies,
                bytes,
                ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "dumped the metadata"
            );
            if totals.damaged > 0 {
                tracing::warn!(
                    rows = totals.damaged,
                    "the metadata is damaged; the last dump of before is kept; run: stowage fsck"
                );
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the metadata could not be dumped; the earlier dumps stay as they are");
        }
    }
}

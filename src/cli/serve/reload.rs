//! SIGHUP: reads the configuration again. Either all changes that a running server can make take effect, or
//! none.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::cli::context::Context;
use crate::cli::errors::Failure;
use crate::config::{Config, Flags, Loaded, Reloaded};
use crate::server::Live;
use crate::telemetry::{Filter, Stderr};

/// Where the settings of this run come from, at the start and at every reload.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) context: Context,
    pub(super) flags: Flags,
    pub(super) ephemeral: bool,
}

impl Sources {
    /// Reads them and refuses what is not safe.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let mut loaded = self.context.load(self.flags.clone())?;
        if self.ephemeral {
            // The configuration file may name the blob directory of a permanent registry, which a temporary
            // one must not use.
            loaded.config.storage.blob_dir = PathBuf::new();
        }
        Ok(loaded)
    }
}

/// The parts that a reload changes.
pub(super) struct Reload {
    sources: Sources,
    live: Live,
    filter: Filter,
    in_force: Mutex<Config>,
    had_terminal: bool,
}

impl Reload {
    pub(super) fn new(sources: Sources, loaded: &Loaded, live: Live, filter: Filter, stderr: Stderr) -> Self {
        let in_force = Mutex::new(loaded.config.clone());
        Self { sources, live, filter, in_force, had_terminal: stderr.is_terminal() }
    }

    /// Called at each SIGHUP: reads the settings again. If the server's terminal was closed, the server ends,
    /// as it would without this handler.
    pub(super) fn run(&self) -> ControlFlow<()> {
        if self.had_terminal && !std::io::stderr().is_terminal() {
            return ControlFlow::Break(());
        }
        if let Err(failure) = self.reload() {
            tracing::error!(
                code = failure.code,
                why = failure.reasons(),
                fix = failure.all_fixes(),
                "the settings stay as they were: {}",
                failure.what
            );
        }
        ControlFlow::Continue(())
    }

    fn reload(&self) -> Result<(), Failure> {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.sources.load()?;
        let Reloaded { config, changed, waiting } = in_force.reloaded(&loaded.config);
        let certificate = match &self.live.certificate {
            Some(current) => {
                Some((current, current.read(&config.server.tls, &self.sources.context.environment)?))
            }
            None => None,
        };
        // Nothing can fail from here on, so the changes are applied completely.
        let new_certificate = certificate.is_some_and(|(current, new)| current.replace(new));
        self.live.proxies.set(&config.server);
        self.live.app.reconfigure(&config);
        for change in &changed {
            tracing::info!(
                key = change.key,
                old = bare(&change.old),
                new = bare(&change.new),
                "changed a setting"
            );
        }
        self.filter.set(&config.log);
        if new_certificate {
            tracing::info!("a new certificate is in use");
        }
        for change in &waiting {
            tracing::warn!(
                key = change.key,
                old = bare(&change.old),
                new = bare(&change.new),
                "a changed setting needs a restart: the old value stays in effect"
            );
        }
        for warning in loaded.warnings(&self.sources.context.environment, false) {
            if changed.iter().any(|change| change.key == warning.key) {
                tracing::warn!(key = warning.key, fix = warning.fix, "{}", warning.message);
            }
        }
        tracing::info!(changed = changed.len(), waiting = waiting.len(), "read the configuration again");
        *in_force = config;
        Ok(())
    }
}

/// A text without the quotes of the file, because the log adds its own.
fn bare(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

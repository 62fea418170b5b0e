//! Sets up logging: what is logged, in which form, and where it goes.

use std::io;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::{FilterExt as _, FilterFn, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::fields::TextFields;
use super::format::{JournalFormat, Stderr};
use super::json::{JsonFields, JsonLine};
use super::panics;
use super::writer::{LineWriter, WriterThread};
use crate::config::{LogConfig, LogFormat};

/// The target of access lines: `tracing::info!(target: telemetry::ACCESS, method, uri, status, ...)`.
pub const ACCESS: &str = "stowage::access";

/// The event name of access lines for parts of a push or pull. A terminal does not show them: one line
/// for the whole operation is enough.
pub const PART: &str = "part of a push or pull";

/// Keeps the writer thread running. When it is dropped, all waiting lines are written, and later ones are
/// written at once.
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    thread: WriterThread,
    filter: Filter,
}

/// The filter of the log, which can change at run time.
#[derive(Clone)]
pub struct Filter(reload::Handle<Targets, Registry>);

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The writer thread could not be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Another subscriber was installed before.
    #[error("the log was started already")]
    Again(#[source] SetGlobalDefaultError),
}

/// Starts the log of this process, on stderr. Panics are logged too.
///
/// # Errors
/// The thread cannot be started, or a subscriber is installed already.
pub fn init(log: &LogConfig, stderr: Stderr) -> Result<Guard, InitError> {
    let (writer, thread) = LineWriter::start(Box::new(io::stderr())).map_err(InitError::Thread)?;
    let (subscriber, filter) = subscriber(log, stderr, writer.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(InitError::Again)?;
    panics::log_them(writer);
    Ok(Guard { thread, filter })
}

impl Filter {
    /// Applies new settings of the filter. The format of lines stays as it was.
    pub fn set(&self, log: &LogConfig) {
        if let Err(error) = self.0.reload(filter(log)) {
            tracing::error!(%error, "cannot change the log level");
        }
    }
}

impl Guard {
    /// A handle to the filter.
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// Waits until everything logged so far is written, so that something else can be written after it.
    pub fn flush(&self) {
        self.thread.flush();
    }
}

/// The same log, to another output.
#[cfg(test)]
pub(super) fn to(
    log: &LogConfig,
    stderr: Stderr,
    out: Box<dyn io::Write + Send>,
) -> (impl Subscriber + Send + Sync + use<>, Guard) {
    let (writer, thread) = LineWriter::start(out).expect("a thread for the test");
    let (subscriber, filter) = subscriber(log, stderr, writer);
    (subscriber, Guard { thread, filter })
}

fn subscriber(
    log: &LogConfig,
    stderr: Stderr,
    writer: LineWriter,
) -> (impl Subscriber + Send + Sync + use<>, Filter) {
    let (filter, handle) = reload::Layer::new(filter(log));
    let is_quiet = log.format != LogFormat::Json
        && stderr.is_terminal()
        && log.level.default_level() <= LevelFilter::INFO;
    let told = FilterFn::new(move |line| !(is_quiet && line.target() == ACCESS && line.name() == PART));
    let layer = lines(log.format, stderr, writer, is_quiet).with_filter(filter.and(told));
    (tracing_subscriber::registry().with(layer), Filter(handle))
}

fn lines<S>(
    format: LogFormat,
    stderr: Stderr,
    writer: LineWriter,
    is_quiet: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // The target of a line helps those who debug, so it is shown when the level is below info.
    let layer = fmt::layer().with_writer(writer).with_target(!is_quiet);
    let text = |layer: fmt::Layer<S, _, _, _>| layer.fmt_fields(TextFields);
    match (format, stderr) {
        (LogFormat::Json, _) => layer.fmt_fields(JsonFields).event_format(JsonLine).with_ansi(false).boxed(),
        (LogFormat::Auto, Stderr::Journal) => {
            let line = JournalFormat(fmt::format().without_time());
            text(layer).with_ansi(false).event_format(line).boxed()
        }
        (LogFormat::Auto, Stderr::ColorTerminal) => text(layer).with_ansi(true).boxed(),
        (LogFormat::Auto | LogFormat::Text, _) => text(layer).with_ansi(false).boxed(),
    }
}

fn filter(log: &LogConfig) -> Targets {
    let default = log.level.default_level();
    let mut filter = Targets::new().with_default(default);
    if default <= LevelFilter::INFO {
        // Bytes that are not HTTP are the client's mistake: some clients try TLS on every port first.
        filter = filter.with_target("actix_http::h1::dispatcher", LevelFilter::OFF);
    }
    if default == LevelFilter::INFO {
        // Its workers log every start and stop, on which an operator need not act.
        filter = filter.with_target("actix_server", LevelFilter::WARN);
    }
    let filter = filter.with_targets(log.level.targets().iter().cloned());
    if log.access { filter } else { filter.with_target(ACCESS, LevelFilter::OFF) }
}

//! The log as a whole: what is logged, how it looks, and where it goes.

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

/// The name of access lines that are a part of a push or pull: on a terminal one line for the whole is
/// enough.
pub const PART: &str = "part of a push or pull";

/// Keeps the log going. When it is dropped, every line is written; what is logged after that is written at
/// once.
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    thread: WriterThread,
    filter: Filter,
}

/// What is logged, which can change while the program runs.
#[derive(Clone)]
pub struct Filter(reload::Handle<Targets, Registry>);

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No thread to write with.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// Another subscriber was set before.
    #[error("the log was started already")]
    Again(#[source] SetGlobalDefaultError),
}

/// Starts the log of this process, on stderr. A panic leaves a line too.
///
/// # Errors
/// No thread could be made, or there is a log already.
pub fn init(log: &LogConfig, stderr: Stderr) -> Result<Guard, InitError> {
    let (writer, thread) = LineWriter::start(Box::new(io::stderr())).map_err(InitError::Thread)?;
    let (subscriber, filter) = subscriber(log, stderr, writer.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(InitError::Again)?;
    panics::log_them(writer);
    Ok(Guard { thread, filter })
}

impl Filter {
    /// From now on, what these settings ask for. How lines look stays as it was.
    pub fn set(&self, log: &LogConfig) {
        if let Err(error) = self.0.reload(filter(log)) {
            tracing::error!(%error, "cannot change the log level");
        }
    }
}

impl Guard {
    /// A handle to what is logged.
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// Waits until everything logged so far is written, so that something else can be written after it.
    pub fn flush(&self) {
        self.thread.flush();
    }
}

/// The same log, to somewhere else.
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
    // Where a line comes from is for those who look for a fault.
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
        // What is no HTTP is the client's fault: some try TLS on every port first.
        filter = filter.with_target("actix_http::h1::dispatcher", LevelFilter::OFF);
    }
    if default == LevelFilter::INFO {
        // Its workers tell of every start and stop, which is nothing an operator acts on.
        filter = filter.with_target("actix_server", LevelFilter::WARN);
    }
    let filter = filter.with_targets(log.level.targets().iter().cloned());
    if log.access { filter } else { filter.with_target(ACCESS, LevelFilter::OFF) }
}

//! How a line looks: text for a terminal, for a file or for the journal, or JSON.

use std::fmt;
use std::io::{self, IsTerminal as _};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is at the other end of stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// A terminal that shows colours.
    ColorTerminal,
    /// A terminal without colours.
    Terminal,
    /// systemd's journal, which adds times and priorities itself.
    Journal,
    /// A file, or another program.
    Other,
}

impl Stderr {
    /// Detects what stderr of this process is. `color`: whether colours are permitted; `journal`: the value
    /// of `JOURNAL_STREAM`.
    pub fn detect(color: bool, journal: Option<&str>) -> Self {
        let stderr = io::stderr();
        if stderr.is_terminal() {
            return if color { Self::ColorTerminal } else { Self::Terminal };
        }
        // A child process inherits the variable, so it counts only if it names this very stderr.
        let is_journal = rustix::fs::fstat(&stderr)
            .is_ok_and(|stat| journal == Some(format!("{}:{}", stat.st_dev, stat.st_ino).as_str()));
        if is_journal { Self::Journal } else { Self::Other }
    }

    /// Whether a person is there to read it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::ColorTerminal | Self::Terminal)
    }
}

/// A line for the journal: its priority in front, no time.
pub(super) struct JournalFormat(pub(super) Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for JournalFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        writer.write_str(priority)?;
        self.0.format_event(ctx, writer, event)
    }
}

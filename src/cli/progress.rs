//! The progress of a long command: one line that is updated on a terminal, else a line every ten seconds.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use serde_json::json;

use super::output::{self, Format};
use super::visible::one_line;

const ON_TERMINAL: Duration = Duration::from_millis(100);
const EVENTS: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// The output of progress.
pub(super) struct Display {
    format: Format,
    silent: bool,
    is_terminal: bool,
    last: Instant,
    shown: bool,
}

impl Display {
    /// With `silent`, only the events of [`Format::Ndjson`] are written.
    pub(super) fn new(format: Format, silent: bool) -> Self {
        Self { format, silent, is_terminal: io::stderr().is_terminal(), last: Instant::now(), shown: false }
    }

    /// Shows that this much of a stage is done, and how many bytes were read in all; a total of 0 is not
    /// known.
    pub(super) fn show(&mut self, stage: &str, done: u64, total: u64, bytes: u64) {
        let pause = match self.format {
            Format::Ndjson => EVENTS,
            _ if self.is_terminal => ON_TERMINAL,
            _ => ELSEWHERE,
        };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        if self.format == Format::Ndjson {
            let event =
                json!({"event": "progress", "stage": stage, "done": done, "total": total, "bytes": bytes});
            // A closed stdout is reported when the result is written.
            let _ = output::print(&event.to_string());
            return;
        }
        if self.silent {
            return;
        }
        let line = match total {
            0 => format!("{stage}: {done}"),
            total => format!("{stage}: {done} of {total}"),
        };
        let line = one_line(&if bytes == 0 { line } else { format!("{line}, {} read", output::size(bytes)) })
            .into_owned();
        if self.is_terminal {
            // Returns to the start of the line and clears it.
            output::write_note(&format!("\r\x1b[K{line}"));
            self.shown = true;
        } else {
            output::note(&line);
        }
    }
}

impl Display {
    /// Removes the line from a terminal, so that a line of another kind can take its place.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            output::write_note("\r\x1b[K");
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

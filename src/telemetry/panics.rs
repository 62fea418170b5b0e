//! Logs a panic, and flushes the log before anything else happens.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use super::writer::LineWriter;

pub(super) fn log_them(writer: LineWriter) {
    panic::set_hook(Box::new(move |info| {
        log(info);
        writer.flush();
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let what = payload.downcast_ref::<&str>().copied();
    let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(target: "stowage", thread, place, backtrace = %trace, "panicked: {what}");
    } else {
        tracing::error!(target: "stowage", thread, place, "panicked: {what}");
    }
}

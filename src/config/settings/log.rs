//! `[log]`: what is written to stderr.

use serde::{Deserialize, Serialize};

use crate::config::log_filter::LogFilter;

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged.
    pub level: LogFilter,
    /// How it is written.
    pub format: LogFormat,
    /// Whether each request leaves a line.
    pub access: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogFilter::default(), format: LogFormat::default(), access: true }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text: coloured on a terminal, with priorities and without times under the journal.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Plain text with times, wherever it goes.
    Text,
}

//! The failure for an invalid configuration: exit code 3, with the place and a suggestion.

use std::io;

use super::{Exit, Failure};
use crate::config::{ConfigError, SecretFileError, Source};
use crate::server::TlsError;
use crate::telemetry::Chain;

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = |code| Self::new(Exit::Configuration, code, error.to_string());
        match &error {
            ConfigError::Read { source, .. } => {
                let failure = failure("CONFIG_UNREADABLE").because(source.to_string());
                match source.kind() {
                    io::ErrorKind::NotFound => failure.fix("name another file with --config, or none at all"),
                    io::ErrorKind::InvalidData => failure.fix("save the file as text in UTF-8"),
                    io::ErrorKind::IsADirectory => {
                        failure.fix("name the file in the directory: --config DIR/stowage.toml")
                    }
                    io::ErrorKind::PermissionDenied => failure
                        .fix("run this as the user of the server or as root: sudo -u stowage stowage ..."),
                    _ => failure,
                }
            }
            ConfigError::File { problems, .. } => {
                problems.iter().fold(failure("CONFIG_INVALID"), |failure, problem| {
                    let failure = failure.line("", problem.excerpt());
                    if problem.fix.is_empty() { failure } else { failure.fix(&problem.fix) }
                })
            }
            ConfigError::Environment { problems } => {
                let mut failure = failure("CONFIG_INVALID");
                for problem in problems {
                    failure = failure.line("name", &problem.variable).because(&problem.message);
                    if !problem.fix.is_empty() {
                        failure = failure.fix(&problem.fix);
                    }
                }
                failure
            }
            ConfigError::Values { problems } => {
                let mut failure = failure("CONFIG_UNSAFE");
                for (problem, source) in problems {
                    let place = match source {
                        Source::Default => problem.key.to_owned(),
                        source => format!("{}   set by: {source}", problem.key),
                    };
                    failure = failure.line("key", place);
                    failure = failure.because(format!("it {}", problem.message)).fix(&problem.fix);
                }
                failure
            }
            ConfigError::Merge(_) => {
                failure("CONFIG_MERGE").fix("this is a defect of Stowage: please report it")
            }
        }
    }
}

impl From<SecretFileError> for Failure {
    fn from(error: SecretFileError) -> Self {
        let fix = error.fix();
        let failure = Self::new(Exit::Configuration, "SECRET_UNUSABLE", error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.because(Chain(source).to_string()).fix(fix),
            None => failure.fix(fix),
        }
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        let failure = Self::new(Exit::Configuration, "TLS_UNUSABLE", error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.because(Chain(source).to_string()).fix(error.fix()),
            None => failure.fix(error.fix()),
        }
    }
}

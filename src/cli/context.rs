//! The context of a command's run: the global flags, the environment, and the form of its output.

use std::path::PathBuf;

use serde::Serialize;

use super::errors::{Failure, Typed};
use super::global::Global;
use super::output::{self, Form, Format};
use super::terminal;
use crate::config::{self, Environment, Flags, Loaded};
use crate::telemetry::Stderr;

/// The context of a command's run.
#[derive(Clone)]
pub(super) struct Context {
    /// The global flags.
    pub(super) global: Global,
    /// The environment of this process.
    pub(super) environment: Environment,
    /// The flags of this run that select a server or its data: commands in error messages repeat them.
    pub(super) typed: Typed,
    /// The name of the command in JSON output.
    pub(super) name: &'static str,
    /// The flags for the output.
    pub(super) form: Form,
    /// The whole program, for commands that describe it.
    pub(super) program: fn() -> clap::Command,
}

impl Context {
    /// The format of the result.
    pub(super) const fn format(&self) -> Format {
        self.form.format()
    }

    /// Whether text output has all details.
    pub(super) const fn is_wide(&self) -> bool {
        self.form.is_wide()
    }

    /// The width that a list must fit into: that of the terminal, unless all details are wanted.
    pub(super) fn width(&self) -> Option<usize> {
        if self.is_wide() { None } else { terminal::width() }
    }

    /// Writes the result of the command: `data` for programs, `text` for people.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub(super) fn say(&self, data: &impl Serialize, text: &str) -> Result<(), Failure> {
        self.result(None, data, || text.to_owned())
    }

    /// Writes the result of a command that may have found a problem, which `text` includes.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub(super) fn result(
        &self,
        problem: Option<&Failure>,
        data: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        output::result(self.format(), self.name, problem, data, text)
    }

    /// Reads the settings from files, environment and `flags`, and refuses unsafe ones.
    ///
    /// # Errors
    /// A file cannot be read, or a setting is not valid.
    pub(super) fn load(&self, flags: Flags) -> Result<Loaded, Failure> {
        let request = config::Request::new(self.global.config.clone(), self.environment.clone(), flags);
        Ok(config::load(&request)?.checked()?)
    }

    /// The absolute paths of the data directory and of the blob directory, because the command may change its
    /// working directory.
    ///
    /// # Errors
    /// The working directory of this process no longer exists.
    pub(super) fn directories(&self, loaded: &Loaded) -> Result<(PathBuf, PathBuf), Failure> {
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|error| Failure::unusable(&path, &error));
        let data_dir = absolute(config::data_dir(&loaded.config, loaded.file.as_deref(), &self.environment))?;
        let blob_dir = absolute(config::blob_dir(&loaded.config, &data_dir))?;
        Ok((data_dir, blob_dir))
    }

    /// The kind of output that stderr is.
    pub(super) fn stderr(&self) -> Stderr {
        let get = |name| self.environment.get(name);
        let is_dumb = get("TERM").is_some_and(|term| term == "dumb");
        let color = !self.global.no_color && !is_dumb && get("NO_COLOR").is_none();
        Stderr::detect(color, get("JOURNAL_STREAM").and_then(|value| value.to_str()))
    }
}

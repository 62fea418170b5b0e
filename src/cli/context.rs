//! What a run of a command has: the flags of every command, the environment, and the form of its output.

use std::path::PathBuf;

use serde::Serialize;

use super::errors::{Failure, Typed};
use super::global::Global;
use super::output::{self, Form, Format};
use super::terminal;
use crate::config::{self, Environment, Flags, Loaded};
use crate::telemetry::Stderr;

/// One run of a command.
#[derive(Clone)]
pub(super) struct Context {
    /// The flags of every command.
    pub(super) global: Global,
    /// The environment of this process.
    pub(super) environment: Environment,
    /// The flags of this run that name a server or its data: a command in a remedy repeats them.
    pub(super) typed: Typed,
    /// The name of the command in a JSON document.
    pub(super) name: &'static str,
    /// How the command writes.
    pub(super) form: Form,
    /// The whole program, for commands that describe it.
    pub(super) program: fn() -> clap::Command,
}

impl Context {
    /// The format of the result.
    pub(super) const fn format(&self) -> Format {
        self.form.format()
    }

    /// Whether people want everything in full.
    pub(super) const fn is_wide(&self) -> bool {
        self.form.is_wide()
    }

    /// The columns that a list must fit into: those of the terminal, unless everything is wanted in full.
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

    /// Writes the result of a command that ran and has perhaps found a problem, which people read in `text`.
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

    /// Reads the settings from files, environment and `flags`, and refuses what is not safe.
    ///
    /// # Errors
    /// A file cannot be read, or a setting is not valid.
    pub(super) fn load(&self, flags: Flags) -> Result<Loaded, Failure> {
        let request = config::Request::new(self.global.config.clone(), self.environment.clone(), flags);
        Ok(config::load(&request)?.checked()?)
    }

    /// The absolute paths of the data directory and of the blob directory: the command may change its
    /// working directory.
    ///
    /// # Errors
    /// The working directory of this process does not exist any more.
    pub(super) fn directories(&self, loaded: &Loaded) -> Result<(PathBuf, PathBuf), Failure> {
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|error| Failure::unusable(&path, &error));
        let data_dir = absolute(config::data_dir(&loaded.config, loaded.file.as_deref(), &self.environment))?;
        let blob_dir = absolute(config::blob_dir(&loaded.config, &data_dir))?;
        Ok((data_dir, blob_dir))
    }

    /// What is at the other end of stderr.
    pub(super) fn stderr(&self) -> Stderr {
        let get = |name| self.environment.get(name);
        let is_dumb = get("TERM").is_some_and(|term| term == "dumb");
        let color = !self.global.no_color && !is_dumb && get("NO_COLOR").is_none();
        Stderr::detect(color, get("JOURNAL_STREAM").and_then(|value| value.to_str()))
    }
}

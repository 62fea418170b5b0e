//! `stowage version`: prints the version.

use serde_json::json;

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output::Form;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Print the version
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage version\n  stowage version --json")]
pub(super) struct Options {
    #[command(flatten)]
    form: Form,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "version"
    }

    fn form(&self) -> Form {
        self.form
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        let data = json!({"version": VERSION, "os": system, "architecture": machine});
        context.result(None, &data, || format!("stowage {VERSION} ({system} {machine})"))?;
        Ok(Exit::Done)
    }
}

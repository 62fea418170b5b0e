//! `stowage init`: a configuration file to start from.

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Print a configuration file to start from
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage init --print > stowage.toml\n  stowage init --print | less")]
pub(super) struct Options {
    /// Write the file, with every setting at its default and commented out, to stdout
    #[arg(long)]
    print: bool,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "init"
    }

    fn run(&self, _: &Context) -> Result<Exit, Failure> {
        if !self.print {
            return Err(Failure::new(Exit::Usage, "USAGE", "init writes the configuration to stdout only")
                .fix("stowage init --print > stowage.toml"));
        }
        output::print(EXAMPLE.trim_end())?;
        Ok(Exit::Done)
    }
}

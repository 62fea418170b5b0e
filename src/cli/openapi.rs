//! `stowage openapi`: the description of the admin API, for programs.

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;
use crate::http::admin::OPENAPI;

/// Print the `OpenAPI` document of the admin API
#[derive(clap::Args)]
#[command(
    after_help = "The running server has it at /api/v1/openapi.json as well.\n\nExamples:\n  stowage openapi > openapi.json\n  \
                  stowage openapi | less"
)]
pub(super) struct Options {}

impl Command for Options {
    fn name(&self) -> &'static str {
        "openapi"
    }

    fn run(&self, _: &Context) -> Result<Exit, Failure> {
        output::print(OPENAPI.trim_end())?;
        Ok(Exit::Done)
    }
}

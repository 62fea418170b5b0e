//! `stowage version`: which version this is.

use serde_json::json;

use super::errors::{Exit, Failure};
use super::output;

pub(super) const NAME: &str = "version";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage version\n  stowage version --json")]
pub(super) struct Options {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    if options.json {
        output::json(NAME, true, &json!({"version": VERSION, "os": system, "architecture": machine}))?;
    } else {
        output::print(&format!("stowage {VERSION} ({system} {machine})"))?;
    }
    Ok(Exit::Done)
}

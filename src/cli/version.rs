//! `stowage version`: which version this is.

use serde_json::json;

use super::errors::{Exit, Failure};
use super::output;

pub(super) const NAME: &str = "version";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage version\n  stowage version --json")]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) form: output::Form,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    let data = json!({"version": VERSION, "os": system, "architecture": machine});
    output::result(options.form.format(), NAME, None, &data, || {
        format!("stowage {VERSION} ({system} {machine})")
    })?;
    Ok(Exit::Done)
}

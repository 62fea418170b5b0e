//! `stowage status`: whether the server runs, and what it holds.

use serde_json::Value;

use super::client::Reach;
use super::errors::{Exit, Failure};
use super::output;
use super::program::Global;
use crate::config::Environment;

pub(super) const NAME: &str = "status";

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage status\n  stowage status --json")]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) reach: Reach,
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    let api = options.reach.open(global, environment)?;
    let mut status = api.get("/api/v1/system")?;
    status["running"] = Value::from(api.server().is_some());
    let count = |key: &str| status[key].as_u64().unwrap_or_default();
    let server = match api.server() {
        Some(server) => format!("runs at {server}"),
        None => "does not run; this is what its store says".to_owned(),
    };
    let text = format!(
        "version  {}\nserver   {server}\ncontent  {} repositories, {} tags, {} manifests, {} blobs\nsize     {}\non disk  {}, of it {} that nothing uses\nfree     {}",
        status["version"].as_str().unwrap_or_default(),
        count("repositories"),
        count("tags"),
        count("manifests"),
        count("blobs"),
        output::size(count("size_bytes")),
        output::size(count("disk_bytes")),
        output::size(count("unused_bytes")),
        output::size(count("free_bytes")),
    );
    let text = match status["changes_refused"].as_str() {
        Some(why) => format!("{text}\nchanges  refused: {why}"),
        None => text,
    };
    options.reach.say(NAME, &status, &text)?;
    Ok(Exit::Done)
}

//! Opens the database in a child process before the server does, because a damaged one may end the process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::child::{self, Event, Outcome};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use crate::store::meta::log_repair;
use crate::store::open;

#[derive(clap::Args)]
#[command(hide = true)]
pub(super) struct ChildOptions {
    #[arg(long)]
    data_dir: PathBuf,
}

/// After a stop that was not clean: checks in a child process that the database can be opened.
pub(super) fn after_unclean_stop(data_dir: &Path) -> Result<(), Failure> {
    if open::was_clean(data_dir) {
        return Ok(());
    }
    tracing::info!("the last run did not stop cleanly: looking at the database first");
    let arguments = [OsStr::new("probe"), OsStr::new("--data-dir"), data_dir.as_os_str()];
    match child::run(&arguments, pass_on) {
        Ok(Outcome::Finished(_)) => Ok(()),
        Ok(Outcome::Failed(failure)) => Err(failure),
        Ok(Outcome::Crashed(how)) => Err(Failure::damaged(data_dir, &how)),
        Err(error) => {
            // The check is a precaution; starting without it usually works.
            tracing::warn!(error = %error, "cannot look at the database first");
            Ok(())
        }
    }
}

impl Command for ChildOptions {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn run(&self, _: &Context) -> Result<Exit, Failure> {
        Ok(child::answer(|| open::probe(&self.data_dir, tell_parent).map_err(Failure::from)))
    }
}

fn tell_parent(percent: u64) {
    child::say(&Event::Progress { stage: "repair".to_owned(), done: percent, total: 100, bytes: 0 });
}

fn pass_on(event: &Event) {
    if let Event::Progress { done: percent, .. } = event {
        log_repair(*percent);
    }
}

//! `stowage fsck`: checks that everything stored is present and intact.

mod finding;
mod online;
pub(super) mod report;

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::report::{Report, View};
use super::child::{self, Event, Outcome};
use super::client::{self, Found, Store, running};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure, refuse_stranger};
use super::progress::Display;
use super::server_args::ServerArgs;
use super::{data_dir, terminal};
use crate::lifecycle::check;
use crate::registry::fsck::Progress;
use crate::store::lock::LOCK_FILE;
use crate::wire;

const NAME: &str = "fsck";

/// Check that everything stored is present and intact
#[derive(clap::Args)]
#[command(
    after_help = "While a server runs, it makes the check itself and continues its work. With -o wide every field of a problem is shown.\n\n\
                  Exit codes: 0 no problem, 7 something is damaged, 9 another process uses the data, 3 unknown format\n\n\
                  Examples:\n  stowage fsck --deep\n  stowage fsck --data-dir /srv/stowage --json"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    /// Also read every blob and compare it with its digest
    #[arg(long)]
    deep: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

#[derive(clap::Args)]
#[command(hide = true)]
pub(super) struct ChildOptions {
    #[arg(long)]
    deep: bool,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    blob_dir: PathBuf,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        NAME
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let mut display = Display::new(context.format(), self.no_progress);
        let report = match client::find(&self.server, context)? {
            Found::Server(api) => online::check(&api, self.deep, &mut display)?,
            Found::Store(store) => {
                let Store { data_dir, blob_dir, .. } = *store;
                let directory = data_dir.display().to_string();
                let again = format!("{NAME} --data-dir {directory}");
                let caller = rustix::process::geteuid().as_raw();
                refuse_stranger(&directory, &again, owner(&data_dir)?, caller)?;
                check(self.deep, &data_dir, &blob_dir, &mut display)
                    .map_err(|failure| self.server.explained(failure))?
            }
        };
        drop(display);
        let view = View { width: terminal::width(), in_full: context.is_wide() };
        let typed = &context.typed;
        let problem = report.failure().map(|failure| failure.completed(typed));
        context.result(problem.as_ref(), report.data(), || {
            report.text(view, &|command| typed.complete(command))
        })?;
        Ok(if report.is_clean() { Exit::Done } else { Exit::Integrity })
    }
}

impl Command for ChildOptions {
    fn name(&self) -> &'static str {
        "fsck-child"
    }

    fn run(&self, _: &Context) -> Result<Exit, Failure> {
        Ok(child::answer(|| {
            let mut on_progress = |step: Progress| {
                child::say(&Event::Progress {
                    stage: step.stage.to_string(),
                    done: step.done,
                    total: step.total,
                    bytes: step.bytes,
                });
            };
            let checked = check::offline(&self.data_dir, &self.blob_dir, self.deep, &mut on_progress);
            checked.map(|report| wire::Report::from(&report)).map_err(Failure::from)
        }))
    }
}

fn check(deep: bool, data_dir: &Path, blob_dir: &Path, display: &mut Display) -> Result<Report, Failure> {
    let mut arguments = vec![OsStr::new("fsck-child")];
    arguments.extend([OsStr::new("--data-dir"), data_dir.as_os_str()]);
    arguments.extend([OsStr::new("--blob-dir"), blob_dir.as_os_str()]);
    if deep {
        arguments.push(OsStr::new("--deep"));
    }
    let outcome = child::run(&arguments, |event| {
        if let Event::Progress { stage, done, total, bytes } = event {
            display.show(stage, *done, *total, *bytes);
        }
    });
    match outcome {
        Ok(Outcome::Finished(report)) => serde_json::from_value::<wire::Report>(report)
            .map(Report::from)
            .map_err(|error| Failure::new(Exit::Failed, "RESULT", error.to_string())),
        // Finding a damaged database is a result of the check, not a failure of it.
        Ok(Outcome::Failed(failure))
            if failure.exit == Exit::Integrity && failure.code != "BLOBS_MISSING" =>
        {
            Ok(Report::of_damaged_database(failure.why().unwrap_or(&failure.what)))
        }
        Ok(Outcome::Failed(failure)) => Err(failure),
        Ok(Outcome::Crashed(how)) => Ok(Report::of_damaged_database(&how)),
        Err(error) => {
            let failure =
                Failure::new(Exit::Failed, "CHECK_NOT_STARTED", "cannot start the process that checks");
            Err(failure.because(error.to_string()))
        }
    }
}

fn owner(data_dir: &Path) -> Result<u32, Failure> {
    let absent = || {
        let failure =
            Failure::new(Exit::NotFound, "NO_DATA", format!("there is no data in {}", data_dir.display()));
        running::named(failure.fix("name the directory: stowage fsck --data-dir DIR"))
    };
    match std::fs::metadata(data_dir) {
        // An interrupted rebuild may leave only a lock. In any other directory without a store, the check
        // must not create one.
        Ok(found) if data_dir::has_store(data_dir) || data_dir.join(LOCK_FILE).exists() => Ok(found.uid()),
        Ok(_) => Err(absent()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent()),
        Err(error) => Err(Failure::unusable(data_dir, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_read_is_a_problem_of_its_own() {
        let report = Report::of_damaged_database("reading it ended the process with signal 6");
        assert_eq!(report.data()["problems"][0]["kind"], "database");
        assert!(
            report
                .text(View::default(), &str::to_owned)
                .contains("reading it ended the process with signal 6")
        );
    }

    #[test]
    fn only_the_owner_may_check() {
        let command = "fsck --data-dir /data";
        assert_eq!(refuse_stranger("/data", command, 7, 7), Ok(()));
        assert_eq!(
            refuse_stranger("/data", command, 4_000_000_000, 0).unwrap_err().to_string(),
            "error: /data belongs to another user\n  \
               why:   its owner is 4000000000, you are root: 4000000000 could not use the files that you create\n  \
               fix:   sudo -u '#4000000000' stowage fsck --data-dir /data"
        );
    }
}

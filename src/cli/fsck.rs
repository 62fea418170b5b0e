//! `stowage fsck`: is everything stored there, and whole?

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::child::{self, Event, Outcome};
use super::errors::{Exit, Failure};
use super::output;
use super::program::Global;
use super::progress::Display;
use super::settings;
use crate::app;
use crate::config::Environment;
use crate::config::Flags;

pub(super) const NAME: &str = "fsck";

#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 7 something is damaged, 9 the server is running, 3 unknown format\n\n\
                  Examples:\n  stowage fsck --deep\n  stowage fsck --data-dir /srv/stowage --json"
)]
pub(super) struct Options {
    /// Also read every blob and compare it with its digest
    #[arg(long)]
    deep: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
    /// The data directory to check
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct ChildOptions {
    #[arg(long)]
    deep: bool,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    blob_dir: PathBuf,
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    let flags = Flags { data_dir: options.data_dir.clone(), ..Flags::default() };
    let loaded = settings::load(global, environment, flags)?;
    let (data_dir, blob_dir) = settings::directories(&loaded, environment)?;
    let owner = owner(&data_dir)?;
    refuse_stranger(&data_dir, owner, rustix::process::geteuid().as_raw())?;

    let report = Report::from(check(options.deep, &data_dir, &blob_dir)?);
    if options.json {
        output::json(NAME, report.problems.is_empty(), &report.data())?;
    } else {
        output::print(&report.text())?;
    }
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Integrity })
}

pub(super) fn run_child(options: &ChildOptions) -> Exit {
    child::answer(|| {
        let mut progress = |step: app::Progress| {
            child::say(&Event::Progress {
                stage: step.stage.to_string(),
                done: step.done,
                total: step.total,
            });
        };
        app::check(&options.data_dir, &options.blob_dir, options.deep, &mut progress).map_err(Failure::from)
    })
}

fn check(deep: bool, data_dir: &Path, blob_dir: &Path) -> Result<Value, Failure> {
    let mut arguments = vec![OsStr::new("fsck-child")];
    arguments.extend([OsStr::new("--data-dir"), data_dir.as_os_str()]);
    arguments.extend([OsStr::new("--blob-dir"), blob_dir.as_os_str()]);
    if deep {
        arguments.push(OsStr::new("--deep"));
    }
    let mut display = Display::new();
    let outcome = child::run(&arguments, |event| {
        if let Event::Progress { stage, done, total } = event {
            display.show(stage, *done, *total);
        }
    });
    match outcome {
        Ok(Outcome::Finished(report)) => Ok(report),
        // That the database is damaged is what a check is for, not a failure of it.
        Ok(Outcome::Failed(failure)) if failure.exit == Exit::Integrity => {
            Ok(damaged_database(failure.why().unwrap_or(&failure.what)))
        }
        Ok(Outcome::Failed(failure)) => Err(failure),
        Ok(Outcome::Crashed(how)) => Ok(damaged_database(&how)),
        Err(error) => {
            let failure =
                Failure::new(Exit::Failed, "CHECK_NOT_STARTED", "cannot start the process that checks");
            Err(failure.because(error.to_string()))
        }
    }
}

/// The report when the database cannot be read at all.
fn damaged_database(found: &str) -> Value {
    let problem = json!({
        "kind": "database",
        "severity": "damage",
        "repository": null,
        "digest": null,
        "expected": "a whole database",
        "found": found,
    });
    json!({"checked": {}, "problems": [problem], "notes": []})
}

fn owner(data_dir: &Path) -> Result<u32, Failure> {
    let absent = || {
        Failure::new(Exit::NotFound, "NO_DATA", format!("there is no data in {}", data_dir.display()))
            .fix("name the directory: stowage fsck --data-dir DIR")
    };
    match std::fs::metadata(data_dir) {
        // A store that lost its database still has its lock; looking must not make one in any other directory.
        Ok(found) if settings::has_store(data_dir) || data_dir.join("LOCK").exists() => Ok(found.uid()),
        Ok(_) => Err(absent()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent()),
        Err(error) => Err(Failure::unusable(data_dir, &error)),
    }
}

/// What another user creates in the directory could keep the server from using it.
fn refuse_stranger(data_dir: &Path, owner: u32, caller: u32) -> Result<(), Failure> {
    if owner == caller {
        return Ok(());
    }
    let failure =
        Failure::new(Exit::Failed, "NOT_OWNER", format!("{} belongs to another user", data_dir.display()));
    let failure = failure.because(format!("its owner has the id {owner}, you have {caller}"));
    Err(failure.fix(format!("sudo -u '#{owner}' stowage fsck --data-dir {}", data_dir.display())))
}

/// What was found, whatever fields it has.
struct Report {
    checked: Map<String, Value>,
    problems: Vec<Value>,
    notes: Vec<Value>,
}

impl From<Value> for Report {
    fn from(mut report: Value) -> Self {
        let mut list = |name: &str| match report[name].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let (problems, notes) = (list("problems"), list("notes"));
        let checked = match report["checked"].take() {
            Value::Object(checked) => checked,
            _ => Map::new(),
        };
        Self { checked, problems, notes }
    }
}

impl Report {
    fn data(&self) -> Value {
        json!({"checked": self.checked, "problems": self.problems, "notes": self.notes})
    }

    fn text(&self) -> String {
        const COLUMNS: [&str; 6] = ["severity", "kind", "repository", "digest", "expected", "found"];
        let mut lines = Vec::new();
        if !self.checked.is_empty() {
            let checked = self.checked.iter().map(|(what, count)| format!("{} {what}", cell(count)));
            lines.push(format!("checked: {}", checked.collect::<Vec<_>>().join(", ")));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {}", cell(note))));
        if self.problems.is_empty() {
            lines.push("all is well".to_owned());
            return lines.join("\n");
        }
        let row = |problem: &Value| COLUMNS.map(|column| cell(&problem[column])).to_vec();
        let rows: Vec<Vec<String>> = self.problems.iter().map(row).collect();
        lines.push(output::table(&COLUMNS.map(str::to_uppercase).each_ref().map(String::as_str), &rows));
        let problems = if rows.len() == 1 { "problem" } else { "problems" };
        lines.push(format!("{} {problems}", rows.len()));
        lines.join("\n")
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(problems: &Value) -> Report {
        Report::from(json!({
            "checked": {"blobs": 10, "repositories": 2},
            "problems": problems,
            "notes": ["1 young file without a row"],
        }))
    }

    #[test]
    fn a_clean_store_is_said_to_be_well() {
        assert_eq!(
            report(&json!([])).text(),
            "checked: 10 blobs, 2 repositories\nnote: 1 young file without a row\nall is well"
        );
    }

    #[test]
    fn problems_are_a_table() {
        let problems = json!([
            {"severity": "damage", "kind": "blob_missing", "repository": "team/app", "digest": "sha256:ab",
             "expected": 1024, "found": null},
        ]);
        assert_eq!(
            report(&problems).text(),
            "checked: 10 blobs, 2 repositories\n\
             note: 1 young file without a row\n\
             SEVERITY  KIND          REPOSITORY  DIGEST     EXPECTED  FOUND\n\
             damage    blob_missing  team/app    sha256:ab  1024\n\
             1 problem"
        );
        assert_eq!(report(&problems).data()["problems"], problems);
    }

    #[test]
    fn a_database_that_cannot_be_read_is_a_problem_of_its_own() {
        let report = Report::from(damaged_database("reading it ended the process with signal 6"));
        assert_eq!(report.problems.len(), 1);
        assert_eq!(report.problems[0]["kind"], "database");
        assert!(report.text().contains("reading it ended the process with signal 6"));
    }

    #[test]
    fn only_the_owner_may_check() {
        assert_eq!(refuse_stranger(Path::new("/data"), 7, 7), Ok(()));
        assert_eq!(
            refuse_stranger(Path::new("/data"), 106, 0).unwrap_err().to_string(),
            "error: /data belongs to another user\n  \
               why:   its owner has the id 106, you have 0\n  \
               fix:   sudo -u '#106' stowage fsck --data-dir /data"
        );
    }
}

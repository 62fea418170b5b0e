//! `stowage schedule`: when jobs run by themselves.

use serde_json::json;

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{ago, distance, when};
use crate::wire::{List, NewSchedule, Schedule};

/// Show and change when jobs run by themselves
#[derive(clap::Args)]
#[command(
    after_help = "The settings say when each job runs (scheduler.check, in the time zone scheduler.timezone); a schedule that is set \
                  here overrides them, also after a restart.\n\n\
                  Examples:\n  stowage schedule list\n  stowage schedule set check daily 03:30\n  stowage schedule reset check"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the jobs that run by themselves, with their next and last runs
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage schedule list\n  stowage schedule list -o wide"
    )]
    List,
    /// Set when a job runs, whatever the settings say
    #[command(
        after_help = "WHEN is one of: off, hourly, daily 03:30, weekly sun 03:30, every 6h, or five fields of cron in quotes.\n\n\
                      Examples:\n  stowage schedule set check weekly sun 03:30\n  stowage schedule set check '30 3 1,15 * *'\n  \
                      stowage schedule set check off"
    )]
    Set {
        /// The kind of the job
        job: String,
        /// When it runs
        #[arg(required = true)]
        when: Vec<String>,
    },
    /// Let the settings say again when a job runs
    #[command(
        aliases = ["unset", "rm"],
        after_help = "Examples:\n  stowage schedule reset check\n  stowage schedule reset check --json"
    )]
    Reset {
        /// The kind of the job
        job: String,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List => "schedule list",
            Verb::Set { .. } => "schedule set",
            Verb::Reset { .. } => "schedule reset",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        let changed = match &self.verb {
            Verb::List => return list(&api, context),
            Verb::Set { job, when } => api.put(&path(job), &NewSchedule { when: when.join(" ") })?,
            Verb::Reset { job } => api.end(&path(job))?,
        };
        say(&changed, context)
    }
}

fn path(job: &str) -> String {
    format!("/api/v1/schedules/{}", segment(job))
}

fn list(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let found: List<Received<Schedule>> = api.get("/api/v1/schedules")?;
    let headings = ["JOB", "WHEN", "SET BY", "NEXT", "LAST", "STATE", "PROBLEMS"];
    let row = |schedule: &Received<Schedule>| fields(schedule, context.is_wide());
    let text = output::list(&found.items, headings, context.width(), row, "no job runs by itself");
    context.say(&json!({"schedules": found.items}), &text)?;
    Ok(Exit::Done)
}

/// `in_full`: times with their day, and what the settings say.
fn fields(schedule: &Schedule, in_full: bool) -> [String; 7] {
    let Schedule { setting, configured, timezone, .. } = schedule;
    let (runs, set_by) = match &schedule.set {
        Some(set) if in_full => (
            format!("{} ({timezone})", schedule.when),
            format!("{}, {}; {setting} is {configured}", set.by, when(&set.at)),
        ),
        Some(set) => (schedule.when.clone(), set.by.clone()),
        None if in_full => (format!("{} ({timezone})", schedule.when), setting.clone()),
        None => (schedule.when.clone(), setting.clone()),
    };
    let next = schedule.next_at.as_deref().map(if in_full { when } else { distance }).unwrap_or_default();
    let [last, state, problems] = schedule.last_job.as_ref().map_or_else(Default::default, |job| {
        let last = if in_full { when(&job.started_at) } else { ago(&job.started_at) };
        [last, job.state.to_string(), job.problems.to_string()]
    });
    [schedule.job.to_string(), runs, set_by, next, last, state, problems]
}

/// Writes when the job runs now.
fn say(schedule: &Received<Schedule>, context: &Context) -> Result<Exit, Failure> {
    let Schedule { job, when: runs, timezone, setting, configured, set, next_at, .. } = &**schedule;
    let source = match set {
        Some(_) => format!("{setting} is {configured}"),
        None => format!("as {setting} says"),
    };
    let next = next_at.as_deref().map_or_else(|| "never".to_owned(), when);
    let first = if runs == "off" {
        format!("{job} does not run by itself; {source}")
    } else {
        format!("{job} runs {runs} ({timezone}); {source}")
    };
    let lines = [first, format!("next: {next}")];
    let text = lines.map(|line| one_line(&line).into_owned()).join("\n");
    context.say(&json!(schedule), &text)?;
    Ok(Exit::Done)
}

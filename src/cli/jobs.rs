//! `stowage jobs`: the long work of a server, what it does and what it did.

use clap::builder::RangedU64ValueParser;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{self, Api, Received};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::fsck::report::{Report, View};
use super::offered::Offered;
use super::output::{self, Format};
use super::progress::Display;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{self, ago, counted, when};
use super::{compact, following, gc, scrub};
use crate::wire::{DumpMade, Job, JobKind, JobLine, JobParameters, JobResult, JobState, List, Progress};

/// Characters of an id that name a job at least.
const SHORTEST: usize = 4;
/// Characters of an id in a list: two jobs hardly ever begin alike.
const SHOWN: usize = 8;

/// Show the long work of the server, such as checks, and cancel it
#[derive(clap::Args)]
#[command(after_help = "The latest jobs of each kind are kept, also across restarts.\n\n\
                  Examples:\n  stowage jobs list\n  stowage jobs show 3f2a --log\n  stowage jobs cancel 3f2a")]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the latest jobs, the newest first
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage jobs list\n  stowage jobs list --kind check --limit 5 --json"
    )]
    List {
        /// Only jobs of this kind
        #[arg(long, value_parser = Offered(|| JobKind::ALL.map(JobKind::as_str).to_vec()))]
        kind: Option<String>,
        /// How many jobs at most
        #[arg(
            long,
            value_name = "N",
            default_value = "20",
            value_parser = RangedU64ValueParser::<u64>::new().range(1..=500)
        )]
        limit: u64,
    },
    /// Show one job, and what it found
    #[command(
        after_help = "With --wait, the exit codes are: 0 the job is done, 7 it is done and found damage, \
                            1 it failed, was cancelled or was interrupted\n\n\
                            Examples:\n  stowage jobs show 3f2a\n  stowage jobs show 3f2a --wait --log"
    )]
    Show {
        /// Its id, or at least its first 4 characters
        id: String,
        /// Also show what it said while it worked
        #[arg(long)]
        log: bool,
        /// Wait for its end
        #[arg(long)]
        wait: bool,
    },
    /// Follow a job until its end: how far it is, and what it says
    #[command(
        alias = "follow",
        after_help = "The exit codes are: 0 the job is done, 7 it is done and found damage, 1 it failed, was cancelled or was interrupted. \
                            Ctrl-C ends only this command.\n\n\
                            Examples:\n  stowage jobs watch 3f2a\n  stowage jobs watch 3f2a -o ndjson"
    )]
    Watch {
        /// Its id, or at least its first 4 characters
        id: String,
    },
    /// Ask a job to end, which it does soon
    #[command(
        aliases = ["stop", "kill"],
        after_help = "Examples:\n  stowage jobs cancel 3f2a\n  stowage jobs cancel 3f2a --json"
    )]
    Cancel {
        /// Its id, or at least its first 4 characters
        id: String,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List { .. } => "jobs list",
            Verb::Show { .. } => "jobs show",
            Verb::Watch { .. } => "jobs watch",
            Verb::Cancel { .. } => "jobs cancel",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        match &self.verb {
            Verb::List { kind, limit } => list(&api, kind.as_deref(), *limit, context),
            Verb::Show { id, log, wait } => show(&api, id, *log, *wait, context),
            Verb::Watch { id } => watch(&api, id, context),
            Verb::Cancel { id } => cancel(&api, id, context),
        }
    }
}

fn list(api: &Api, kind: Option<&str>, limit: u64, context: &Context) -> Result<Exit, Failure> {
    let kind = kind.map(|kind| format!("&kind={}", client::segment(kind))).unwrap_or_default();
    let part: List<Received<Job>> = api.get(&format!("/api/v1/jobs?limit={limit}{kind}"))?;
    let headings = ["ID", "KIND", "STATE", "PROBLEMS", "BY", "STARTED", "TOOK"];
    let none = "no job yet; the first dump comes by itself, and a check with: stowage fsck";
    let row = |job: &Received<Job>| fields(job, context.is_wide());
    let text = output::list(&part.items, headings, context.width(), row, none);
    context.say(&json!({"jobs": part.items}), &text)?;
    if part.next_cursor.is_some() && context.format() == Format::Human {
        output::note(&format!("there are older jobs: --limit {}", limit.saturating_mul(5).min(500)));
    }
    Ok(Exit::Done)
}

/// `in_full`: the whole id, and times with their day.
fn fields(job: &Job, in_full: bool) -> [String; 7] {
    let id = job.id.to_string();
    let id = if in_full { id } else { id.chars().take(SHOWN).collect() };
    let started = if in_full { when(&job.started_at) } else { ago(&job.started_at) };
    let problems = if job.state == JobState::Done { job.problems.to_string() } else { String::new() };
    let took = took(job).unwrap_or_default();
    [id, job.kind.to_string(), job.state.to_string(), problems, job.by.clone(), started, took]
}

/// How long a job took.
fn took(job: &Job) -> Option<String> {
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let lasted = time(job.ended_at.as_deref()?)?.duration_since(time(&job.started_at)?);
    Some(words::seconds(u64::try_from(lasted.as_secs()).unwrap_or_default()))
}

fn show(api: &Api, named: &str, log: bool, wait: bool, context: &Context) -> Result<Exit, Failure> {
    let path = format!("/api/v1/jobs/{}", id(api, named)?);
    let mut job: Received<Job> = api.get(&path)?;
    if wait {
        let mut display = Display::new(context.format(), false);
        while job.is_under_way() {
            job = following::step(api, &job, &mut display)?;
        }
    }
    let mut text = vec![card(&job)];
    let mut data = json!(job);
    if log {
        let lines: List<Received<JobLine>> = api.get(&format!("{path}/log"))?;
        text.extend(lines.items.iter().map(|line| said(line)));
        data["log"] = json!(lines.items);
    }
    text.extend(result(&job, &data, context));
    let problem = wait.then(|| problem(&job)).flatten();
    context.result(problem.as_ref(), &data, || text.join("\n"))?;
    Ok(problem.map_or(Exit::Done, |problem| problem.exit))
}

/// A line of a job's log.
fn said(line: &JobLine) -> String {
    let at = words::to_the_second(&line.at);
    format!("{}  {}", one_line(&at), one_line(&line.text))
}

/// Writes each line of a job's log when it comes, and at last how the job ended.
fn watch(api: &Api, named: &str, context: &Context) -> Result<Exit, Failure> {
    let path = format!("/api/v1/jobs/{}", id(api, named)?);
    let mut display = Display::new(context.format(), false);
    let (mut job, mut lines): (Received<Job>, Vec<Received<JobLine>>) = (api.get(&path)?, Vec::new());
    loop {
        // Read behind the job: what it said before its end is in it.
        let log: List<Received<JobLine>> = api.get(&format!("{path}/log"))?;
        // The last line changes when more are left out; that is told once, at the end.
        let seen = if job.is_under_way() { lines.len() } else { unchanged(&lines, &log.items) };
        display.clear();
        for line in log.items.iter().skip(seen) {
            match context.format() {
                Format::Human | Format::Wide => output::print(&said(line))?,
                Format::Ndjson => {
                    let mut event = json!(line);
                    event["event"] = json!("log");
                    output::print(&event.to_string())?;
                }
                Format::Json => {}
            }
        }
        lines = log.items;
        if !job.is_under_way() {
            break;
        }
        job = following::step(api, &job, &mut display)?;
    }
    let mut data = json!(job);
    data["log"] = json!(lines);
    let end = format!("the {} {} is {}", job.kind, job.id, job.state);
    let text = std::iter::once(one_line(&end).into_owned()).chain(result(&job, &data, context));
    let problem = problem(&job);
    context.result(problem.as_ref(), &data, || text.collect::<Vec<_>>().join("\n"))?;
    Ok(problem.map_or(Exit::Done, |problem| problem.exit))
}

/// How many of the lines that were read before are the same now.
fn unchanged(before: &[Received<JobLine>], now: &[Received<JobLine>]) -> usize {
    before.iter().zip(now).take_while(|(one, other)| one.text == other.text).count()
}

fn card(job: &Job) -> String {
    let Progress { stage, done, total, .. } = &job.progress;
    let progress = match total {
        0 => format!("{stage}: {done}"),
        total => format!("{stage}: {done} of {total}"),
    };
    let JobParameters { deep, full, repository, digest, .. } = &job.parameters;
    let of = match (deep, full, repository.as_deref().or(digest.as_deref())) {
        (Some(true), _, _) => " (deep)".to_owned(),
        (_, Some(true), _) => " (full)".to_owned(),
        (_, _, Some(part)) => format!(" ({part})"),
        _ => String::new(),
    };
    let kind = format!("{}{of}", job.kind);
    let mut fields = vec![
        ("id", job.id.to_string()),
        ("kind", kind),
        ("state", job.state.to_string()),
        ("by", job.by.clone()),
        ("started", when(&job.started_at)),
    ];
    fields.extend(job.ended_at.as_deref().map(|ended| ("ended", when(ended))));
    fields.extend(took(job).map(|took| ("took", took)));
    if job.state != JobState::Done {
        fields.push(("progress", progress));
    }
    fields.extend(job.error.clone().map(|error| ("error", error)));
    output::card(&fields)
}

/// What a job found, as people read it.
fn result(job: &Job, data: &Value, context: &Context) -> Option<String> {
    match job.result.as_ref()? {
        JobResult::Check(report) => {
            let report = Report::new(report.clone(), data["result"].clone());
            let view = View { width: context.width(), in_full: context.is_wide() };
            Some(report.text(view, &|command| context.typed.complete(command)))
        }
        JobResult::Dump(DumpMade { file, rows, manifests, bytes, damaged }) => {
            let (rows, manifests) =
                (counted(*rows, "row", "rows"), counted(*manifests, "manifest", "manifests"));
            let damaged = match damaged {
                0 => String::new(),
                damaged => format!(", {} damaged: stowage fsck", counted(*damaged, "row", "rows")),
            };
            let file = one_line(file);
            Some(format!("{file}: {rows} and {manifests}, {} written{damaged}", output::size(*bytes)))
        }
        JobResult::Gc(done) => Some(gc::done_text(done, false)),
        JobResult::Scrub(done) => Some(scrub::done_text(done, context)),
        JobResult::Compact(done) => Some(compact::done_text(done)),
        JobResult::Other(other) => Some(one_line(&other.to_string()).into_owned()),
    }
}

/// What is wrong with a job that was waited for.
fn problem(job: &Job) -> Option<Failure> {
    let Job { id, kind, state, .. } = job;
    if *state != JobState::Done {
        let failure = Failure::new(Exit::Failed, "JOB_NOT_DONE", format!("the {kind} {id} is {state}"));
        return Some(job.error.iter().fold(failure, Failure::because));
    }
    let found = counted(job.problems, "problem", "problems");
    (job.problems > 0)
        .then(|| Failure::new(Exit::Integrity, "PROBLEMS_FOUND", format!("the {kind} found {found}")))
}

fn cancel(api: &Api, named: &str, context: &Context) -> Result<Exit, Failure> {
    let id = id(api, named)?;
    let job: Received<Job> = api.post(&format!("/api/v1/jobs/{id}/cancel"), &())?;
    let text = if job.is_under_way() {
        format!("the {} {id} ends soon", job.kind)
    } else {
        format!("the {} {id} has ended already: it is {}", job.kind, job.state)
    };
    context.say(&json!(job), &one_line(&text))?;
    Ok(Exit::Done)
}

/// The job with this id, or the only one whose id begins like this.
fn id(api: &Api, named: &str) -> Result<Uuid, Failure> {
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    let prefix = named.to_ascii_lowercase();
    let is_one = prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if prefix.len() < SHORTEST || !is_one {
        let what = format!("a job is named by its id, or by at least its first {SHORTEST} characters");
        return Err(Failure::new(Exit::Usage, "JOB_ID", what).fix("stowage jobs list"));
    }
    let jobs: Vec<Job> = api.list("/api/v1/jobs", "")?;
    let ids = jobs.iter().map(|job| job.id).filter(|id| id.to_string().starts_with(&prefix));
    match ids.collect::<Vec<_>>()[..] {
        [id] => Ok(id),
        [] => Err(Failure::new(Exit::NotFound, "JOB_UNKNOWN", format!("there is no job {named}"))
            .fix("stowage jobs list")),
        ref several => {
            let what = format!("{} jobs begin with {named}", several.len());
            let found: Vec<String> = several.iter().map(Uuid::to_string).collect();
            Err(Failure::new(Exit::Usage, "JOB_AMBIGUOUS", what)
                .line("found", found.join(", "))
                .fix("add characters of the id: stowage jobs list -o wide"))
        }
    }
}

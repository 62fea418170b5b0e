//! `stowage compact`: gives the free space of the database file back.

use serde_json::json;

use super::client::{self, Api, Received};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::following::Starting;
use super::output::{self, size};
use super::server_args::ServerArgs;
use super::words::when;
use crate::wire::{CompactStatus, Compacted, Job, JobResult, JobState};

/// Give the free space of the database file back to the disk
#[derive(clap::Args)]
#[command(
    after_help = "Deleted images leave free space in the database file, which later changes use. This command copies what is left \
                  to a new file while the server works; the disk needs room for both files. Pulls do not wait, and pushes \
                  wait only for a moment at the end. By itself the server does this once a day when more than half of the file is free \
                  (storage.compact).\n\n\
                  Exit codes: 0 it has begun, or with --wait it is done, 1 it failed, was ended, or the disk has too little space\n\n\
                  Examples:\n  stowage compact --dry-run\n  stowage compact --wait"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    /// Show how much would be given back, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait for its end
    #[arg(long)]
    wait: bool,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "compact"
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        if self.dry_run {
            return show(&api, context);
        }
        // Without a server the run ends with this command.
        run(&api, self.wait || api.server().is_none(), context)
    }
}

fn show(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let status: Received<CompactStatus> = api.get("/api/v1/compact")?;
    let CompactStatus { file_bytes, needed_bytes, free_bytes, due, refused, .. } = &*status;
    let mut fields = vec![
        ("file", size(*file_bytes)),
        ("needed", format!("about {}", size(*needed_bytes))),
        ("free", format!("about {}: stowage compact --wait", size(*free_bytes))),
    ];
    fields.extend(refused.as_ref().map(|why| ("refused", why.clone())));
    let at = status.next_at.as_deref().map(when);
    fields.push((
        "next",
        match at {
            None => "the server does not compact it by itself: stowage schedule list".to_owned(),
            Some(at) if *due => format!("the server compacts it at {at}"),
            Some(at) => {
                format!(
                    "the server looks at {at}, and compacts it if more than half of it and 8 MiB are free"
                )
            }
        },
    ));
    fields.extend(status.running.as_ref().map(|job| ("running", format!("since {}", when(&job.started_at)))));
    let last = status.last.as_ref().map(|job| when(job.ended_at.as_deref().unwrap_or(&job.started_at)));
    fields.push(("last run", last.unwrap_or_else(|| "none yet".to_owned())));
    context.say(&json!(status), &output::card(&fields))?;
    Ok(Exit::Done)
}

fn run(api: &Api, wait: bool, context: &Context) -> Result<Exit, Failure> {
    let starting = Starting {
        path: "/api/v1/compact/runs",
        body: &(),
        name: "the compaction",
        ending: "ending the compaction; once more to leave it to the server",
    };
    if !wait {
        return starting.begin(api, context);
    }
    let job = starting.wait(api, context)?;
    let problem = problem(&job);
    context.result(problem.as_ref(), &json!(job), || match &job.result {
        Some(JobResult::Compact(done)) => done_text(done),
        _ => format!("the compaction is {}", job.state),
    })?;
    Ok(problem.map_or(Exit::Done, |problem| problem.exit))
}

/// What a run did, as people read it.
pub(super) fn done_text(done: &Compacted) -> String {
    let Compacted { compacted, before_bytes, after_bytes, paused_ms, .. } = done;
    if !compacted {
        return format!(
            "left as it is: a compaction would give back too little of the {} of the database file",
            size(*before_bytes)
        );
    }
    format!(
        "the database file had {} and has {}; changes waited {paused_ms} ms",
        size(*before_bytes),
        size(*after_bytes)
    )
}

/// What is wrong with a run that has ended.
fn problem(job: &Job) -> Option<Failure> {
    (job.state != JobState::Done).then(|| {
        let what = format!("the compaction ended early: {}; nothing is lost", job.state);
        let failure = Failure::new(Exit::Failed, "COMPACT_NOT_DONE", what).fix("stowage compact --wait");
        job.error.iter().fold(failure, Failure::because)
    })
}

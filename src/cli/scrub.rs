//! `stowage scrub`: everything stored is read again, and what is damaged.

use serde_json::json;

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::following::Starting;
use super::fsck::report;
use super::output::{self, size};
use super::prompt;
use super::repo::partly;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{counted, when};
use crate::wire::{
    Absent, Damaged, Dropped, Finding, Job, JobResult, JobState, NewScrub, Progress, ScrubCycle, ScrubStatus,
    Scrubbed,
};

/// Images that a line names at most.
const NAMED: usize = 3;

/// Read everything stored again, and find what has changed on the disk
#[derive(clap::Args)]
#[command(
    after_help = "A scrub compares every manifest and blob with its digest while the server works. What is damaged is hidden at \
                  once, so that the next push of an image that needs it repairs it.\n\n\
                  Examples:\n  stowage scrub status\n  stowage scrub run --wait\n  stowage scrub quarantine list"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Show how far the cycle is, and what the last run has found
    #[command(after_help = "Examples:\n  stowage scrub status\n  stowage scrub status --json")]
    Status,
    /// Start a run
    #[command(
        after_help = "A run of everything continues the cycle that was begun. A run of a repository or a digest leaves the cycle \
                      where it is.\n\n\
                      Exit codes with --wait: 0 it is done, 7 it is done and found damage, 1 it failed or was ended\n\n\
                      Examples:\n  stowage scrub run --wait\n  stowage scrub run --repo team/app --wait"
    )]
    Run {
        /// Begin a new cycle
        #[arg(long, conflicts_with_all = ["repo", "digest"])]
        full: bool,
        /// Only the manifests and blobs of this repository
        #[arg(long, value_name = "NAME", conflicts_with = "digest")]
        repo: Option<String>,
        /// Only the manifest and the blob with this digest
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        /// Wait for its end
        #[arg(long)]
        wait: bool,
    },
    /// Ask the run that works to end; the next one continues where it was
    #[command(after_help = "Examples:\n  stowage scrub stop\n  stowage scrub stop --json")]
    Stop,
    /// List what is hidden because it is damaged, and remove its bytes
    #[command(
        after_help = "Examples:\n  stowage scrub quarantine list\n  stowage scrub quarantine drop --all --yes"
    )]
    Quarantine {
        #[command(subcommand)]
        verb: Quarantine,
    },
}

#[derive(clap::Subcommand)]
enum Quarantine {
    /// List what is hidden because it is damaged, and the images that need it
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage scrub quarantine list\n  stowage scrub quarantine list -o wide"
    )]
    List,
    /// Remove damaged bytes for good
    #[command(
        after_help = "What is dropped stays hidden: a push of an image that needs it stores it again. Bytes that are damaged only \
                      in the memory or on the way from the disk are lost, too.\n\n\
                      Examples:\n  stowage scrub quarantine drop sha256:0a1b...\n  stowage scrub quarantine drop --all --yes"
    )]
    Drop {
        /// The digests
        #[arg(value_name = "DIGEST", required_unless_present = "all", conflicts_with = "all")]
        digests: Vec<String>,
        /// Everything in quarantine
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match &self.verb {
            Verb::Status => "scrub status",
            Verb::Run { .. } => "scrub run",
            Verb::Stop => "scrub stop",
            Verb::Quarantine { verb: Quarantine::List } => "scrub quarantine list",
            Verb::Quarantine { verb: Quarantine::Drop { .. } } => "scrub quarantine drop",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        match &self.verb {
            Verb::Status => status(&api, context),
            Verb::Run { full, repo, digest, wait } => {
                let new = NewScrub {
                    full: *full,
                    repository: Absent(repo.clone()),
                    digest: Absent(digest.clone()),
                };
                // Without a server the run ends with this command.
                run(&api, &new, *wait || api.server().is_none(), context)
            }
            Verb::Stop => stop(&api, context),
            Verb::Quarantine { verb: Quarantine::List } => list(&api, context),
            Verb::Quarantine { verb: Quarantine::Drop { digests, all, yes } } => {
                drop_damaged(&api, (digests, *all), *yes, context)
            }
        }
    }
}

fn status(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let status: Received<ScrubStatus> = api.get("/api/v1/scrub")?;
    let mut fields = vec![("cycle", cycle(&status))];
    let ended = status.cycle_ended_at.as_deref().map(when);
    fields.push(("complete", ended.unwrap_or_else(|| "no cycle yet: stowage scrub run".to_owned())));
    let next = status.next_at.as_deref().map(when);
    fields.push(("next run", next.unwrap_or_else(|| "none is scheduled: stowage scrub run".to_owned())));
    fields.extend(status.running.iter().map(|job| {
        let Progress { stage, done, total, bytes } = &job.progress;
        let of = if *total > 0 { format!(" of {total}") } else { String::new() };
        let started = when(&job.started_at);
        ("running", format!("since {started}: {done}{of} {stage}, {} so far", size(*bytes)))
    }));
    fields.extend(status.last.iter().map(|job| ("last run", ended_run(job))));
    let jobs = [&status.running, &status.last];
    let results = jobs.into_iter().flatten().filter_map(result_of);
    // A run that works has found nothing in the beginning.
    let findings = results.map(|result| &result.findings).find(|findings| !findings.is_empty());
    let mut lines = vec![output::card(&fields)];
    if let Some(findings) = findings {
        lines.extend(damage(findings, context));
        lines.push("what is still hidden: stowage scrub quarantine list".to_owned());
    }
    context.say(&json!(status), &lines.join("\n"))?;
    Ok(Exit::Done)
}

fn cycle(status: &ScrubStatus) -> String {
    let Some(cycle) = &status.cycle else {
        let (manifests, blobs) =
            (counted(status.manifests, "manifest", "manifests"), counted(status.blobs, "blob", "blobs"));
        return format!("the next run reads {manifests} and {blobs} ({})", size(status.bytes));
    };
    let ScrubCycle { began_at, manifests, blobs, bytes, damaged, .. } = cycle;
    let all = (status.manifests + status.blobs).max(1);
    let percent = ((manifests + blobs).saturating_mul(100) / all).min(100);
    let of = format!(
        "{manifests} of {} manifests, {blobs} of {} blobs, {}",
        status.manifests,
        status.blobs,
        size(*bytes)
    );
    let damaged = counted(*damaged, "problem", "problems");
    format!("{percent} % ({of}), {damaged}, begun {}", when(began_at))
}

fn ended_run(job: &Job) -> String {
    let ended = when(job.ended_at.as_deref().unwrap_or(&job.started_at));
    let found = result_of(job).map(|result| format!(": {}", one_line(&summary(result))));
    format!("{ended}, {}{}", job.state, found.unwrap_or_default())
}

fn result_of(job: &Job) -> Option<&Scrubbed> {
    match &job.result {
        Some(JobResult::Scrub(result)) => Some(result),
        _ => None,
    }
}

fn summary(done: &Scrubbed) -> String {
    let Scrubbed { manifests, blobs, bytes, damaged, .. } = done;
    let (manifests, blobs) = (counted(*manifests, "manifest", "manifests"), counted(*blobs, "blob", "blobs"));
    let damaged =
        if *damaged == 0 { "no problem".to_owned() } else { counted(*damaged, "problem", "problems") };
    format!("{manifests} and {blobs} ({}) hashed, {damaged} found", size(*bytes))
}

/// The damage as a table, and the images to push again.
fn damage(findings: &[Finding], context: &Context) -> Vec<String> {
    let view = report::View { width: context.width(), in_full: context.is_wide() };
    report::damage(findings.to_vec(), view, &|command| context.typed.complete(command))
}

fn run(api: &Api, new: &NewScrub, wait: bool, context: &Context) -> Result<Exit, Failure> {
    let starting = Starting {
        path: "/api/v1/scrub/runs",
        body: new,
        name: "the scrub",
        ending: "ending the scrub; once more to leave it to the server",
    };
    if !wait {
        return starting.begin(api, context);
    }
    let job = starting.wait(api, context)?;
    let problem = problem(&job);
    context.result(problem.as_ref(), &json!(job), || match result_of(&job) {
        Some(done) => done_text(done, context),
        None => format!("the scrub is {}", job.state),
    })?;
    Ok(problem.map_or(Exit::Done, |problem| problem.exit))
}

/// What a run found, as people read it.
pub(super) fn done_text(done: &Scrubbed, context: &Context) -> String {
    let mut lines = vec![summary(done)];
    if done.shown > 0 {
        let shown = counted(done.shown, "thing that was hidden is", "things that were hidden are");
        lines.push(format!("{shown} whole, and served again"));
    }
    if !done.findings.is_empty() {
        lines.extend(damage(&done.findings, context));
    }
    if !done.complete {
        lines.push("partly done: a later run reads the rest".to_owned());
    }
    lines.join("\n")
}

/// What is wrong with a run that has ended.
fn problem(job: &Job) -> Option<Failure> {
    if job.state != JobState::Done {
        let what = format!("the scrub ended early: {}; a later run reads the rest", job.state);
        let failure = Failure::new(Exit::Failed, "SCRUB_NOT_DONE", what).fix("stowage scrub run --wait");
        return Some(job.error.iter().fold(failure, Failure::because));
    }
    (job.problems > 0).then(|| {
        let what = format!("the scrub found {}", counted(job.problems, "problem", "problems"));
        let fix = "push the images again that need what is damaged: stowage scrub quarantine list";
        Failure::new(Exit::Integrity, "PROBLEMS_FOUND", what).fix(fix)
    })
}

fn stop(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let status: Received<ScrubStatus> = api.get("/api/v1/scrub")?;
    let Some(running) = &status.running else {
        return Err(Failure::new(Exit::NotFound, "SCRUB_NOT_RUNNING", "no scrub is running")
            .fix("what the last one found: stowage scrub status"));
    };
    let job: Received<Job> = api.post(&format!("/api/v1/jobs/{}/cancel", running.id), &())?;
    context.say(&json!(job), "the scrub ends soon; the next run continues where it was")?;
    Ok(Exit::Done)
}

fn quarantined(api: &Api) -> Result<Vec<Received<Damaged>>, Failure> {
    api.list("/api/v1/scrub/quarantine", "")
}

fn list(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let damaged = quarantined(api)?;
    let row = |damaged: &Received<Damaged>| {
        let Damaged { kind, digest, size_bytes, kept_bytes, images } = &**damaged;
        let images = if context.is_wide() { images.join(", ") } else { named(images) };
        let digest = output::digest(digest, context.width().is_none() || context.is_wide());
        [kind.to_string(), digest, size(*size_bytes), size(*kept_bytes), images]
    };
    let headings = ["KIND", "DIGEST", "SIZE", "KEPT", "IMAGES"];
    let none = "nothing is hidden as damaged";
    let mut text = output::list(&damaged, headings, context.width(), row, none);
    if !damaged.is_empty() {
        text.push_str("\npush an image again to repair what it needs");
    }
    context.say(&json!({"quarantine": damaged}), &text)?;
    Ok(Exit::Done)
}

fn named(images: &[String]) -> String {
    let more = images.len().saturating_sub(NAMED);
    let first = images.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

fn drop_damaged(
    api: &Api,
    (digests, all): (&[String], bool),
    yes: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let digests: Vec<String> = if all {
        // What has no bytes any more was dropped before.
        let kept = quarantined(api)?.into_iter().filter(|damaged| damaged.kept_bytes > 0);
        kept.map(|damaged| damaged.digest.clone()).collect()
    } else {
        digests.to_vec()
    };
    if digests.is_empty() {
        context.say(&json!({"dropped": []}), "nothing is hidden that still has bytes")?;
        return Ok(Exit::Done);
    }
    let what = match &digests[..] {
        [digest] => digest.clone(),
        digests => counted(digests.len() as u64, "damaged blob or manifest", "damaged blobs and manifests"),
    };
    prompt::confirm(yes, &format!("Remove the damaged bytes of {what} for good?"))?;
    let mut dropped: Vec<Received<Dropped>> = Vec::new();
    for digest in &digests {
        let path = format!("/api/v1/scrub/quarantine/{}", segment(digest));
        match api.end(&path) {
            Ok(gone) => dropped.push(gone),
            // It was pushed again since it was listed, or has come back whole.
            Err(failure) if all && failure.exit == Exit::NotFound => {}
            Err(failure) => return Err(partly(failure, "digest", &digests, dropped.len())),
        }
    }
    let bytes = dropped.iter().map(|gone| gone.bytes).sum();
    let what = counted(dropped.len() as u64, "damaged blob or manifest", "damaged blobs and manifests");
    context.say(&json!({"dropped": dropped}), &format!("dropped {what}: {} removed", size(bytes)))?;
    Ok(Exit::Done)
}

//! `stowage gc`: garbage collection.

use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::client::{self, Api, Received};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::following::Starting;
use super::output::{self, size};
use super::pins;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{ago, counted, when};
use crate::model::units::HumanDuration;
use crate::wire::{
    Absent, Collected, GarbagePart, GarbageReason, GcPlan, GcStatus, Job, JobResult, JobState, List,
    NewGcRun, OpenEnum, Progress,
};

/// Runs that the history shows.
const SHOWN: usize = 20;

/// Free the disk space of what nothing uses any more
#[derive(clap::Args)]
#[command(
    after_help = "Deleting an image removes its names at once. Its blobs are removed by garbage collection when no image \
                  needs them any more and every client that was told that they exist has had time to use them.\n\n\
                  Examples:\n  stowage gc status\n  stowage gc plan --now\n  stowage gc run --now --wait"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Show what nothing uses, why it is still on the disk, and until when
    #[command(after_help = "Examples:\n  stowage gc status\n  stowage gc status --json")]
    Status,
    /// Show what a run would remove, and change nothing
    #[command(after_help = "Examples:\n  stowage gc plan\n  stowage gc plan --now")]
    Plan {
        /// What a run with --now would remove
        #[arg(long)]
        now: bool,
        /// What a run with --empty-trash would remove
        #[arg(long)]
        empty_trash: bool,
        /// What a run with --untagged would remove
        #[arg(long, value_name = "DURATION")]
        untagged: Option<HumanDuration>,
    },
    /// Start a run
    #[command(
        after_help = "A run takes what is due, and keeps the files in quarantine for a day. With --now it also takes what is not \
                      due but was promised to no client, and removes the files at once, also those in quarantine. With \
                      --empty-trash it also removes everything in the trash, which cannot be restored then.\n\n\
                      Exit codes with --wait: 0 it is done, 7 it is done and left damaged rows alone, 1 it failed or was ended\n\n\
                      Examples:\n  stowage gc run --wait\n  stowage gc run --now --wait\n  stowage gc run --empty-trash --wait"
    )]
    Run {
        /// Free the space now
        #[arg(long)]
        now: bool,
        /// Empty the trash first, and free its space now, too
        #[arg(long)]
        empty_trash: bool,
        /// Delete manifests that no tag leads to for this long, such as 0s, instead of storage.gc.untagged
        #[arg(long, value_name = "DURATION")]
        untagged: Option<HumanDuration>,
        /// Wait for its end
        #[arg(long)]
        wait: bool,
    },
    /// Keep garbage collection from removing anything for a while, for a backup
    #[command(
        after_help = "Set it before the backup begins, and remove it when it is complete. Setting it again sets its end. Blobs \
                      that nothing needs any more keep their files meanwhile. Scheduled runs skip their work, and gc run \
                      is refused; also when the disk runs full.\n\n\
                      Examples:\n  stowage gc pin backup --for 6h\n  stowage gc unpin backup"
    )]
    Pin {
        /// Its name: lower-case letters, digits, `.`, `_` and `-`; a script has its own
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Its length, 1s to 7d; only time while the server runs counts
        #[arg(long = "for", value_name = "DURATION")]
        duration: HumanDuration,
    },
    /// Remove a pin before its end
    #[command(after_help = "Examples:\n  stowage gc unpin backup\n  stowage gc unpin backup --json")]
    Unpin {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// List the pins, which keep garbage collection from removing anything
    #[command(after_help = "Examples:\n  stowage gc pins\n  stowage gc pins -o wide")]
    Pins,
    /// End the run that is under way; what it has done stays done
    #[command(after_help = "Examples:\n  stowage gc stop\n  stowage gc stop --json")]
    Stop,
    /// List the latest runs, the newest first
    #[command(after_help = "Examples:\n  stowage gc history\n  stowage gc history --json")]
    History,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Status => "gc status",
            Verb::Plan { .. } => "gc plan",
            Verb::Run { .. } => "gc run",
            Verb::Pin { .. } => "gc pin",
            Verb::Unpin { .. } => "gc unpin",
            Verb::Pins => "gc pins",
            Verb::Stop => "gc stop",
            Verb::History => "gc history",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        match &self.verb {
            Verb::Status => status(&api, context),
            &Verb::Plan { now, empty_trash, untagged } => plan(&api, (now, empty_trash), untagged, context),
            // Without a server the run ends with this command.
            &Verb::Run { now, empty_trash, untagged, wait } => {
                let untagged = Absent(untagged.map(|duration| duration.to_string()));
                let new = NewGcRun { now, empty_trash, untagged };
                run(&api, &new, wait || api.server().is_none(), context)
            }
            Verb::Pin { name, duration } => pins::set(&api, name, *duration, context),
            Verb::Unpin { name } => pins::remove(&api, name, context),
            Verb::Pins => pins::list(&api, context),
            Verb::Stop => stop(&api, context),
            Verb::History => history(&api, context),
        }
    }
}

fn status(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let status: Received<GcStatus> = api.get("/api/v1/gc")?;
    let mut fields = vec![("live", size(status.live_bytes))];
    let next = status.next_at.as_deref();
    fields.extend(status.garbage.iter().map(|part| garbage(part, next)));
    if status.garbage.is_empty() {
        fields.push(("unused", "nothing".to_owned()));
    }
    fields.extend(status.pins.iter().map(pins::field));
    if let Some(until) = &status.promises_unknown_until {
        let text =
            "the server was killed, so what it promised is not known: --now takes only what is due until";
        fields.push(("promises", format!("{text} {}", when(until))));
    }
    let (due, later) = (status.untagged_due, status.untagged_later);
    if due + later > 0 {
        let all = counted(due + later, "manifest", "manifests");
        let text = format!("{all} that no tag leads to: {due} for the next run, {later} later");
        fields.push(("untagged", format!("{text}; stowage gc plan")));
    }
    if status.untagged_waits {
        let text = "scheduled runs leave them until an admin has seen what would go and started a run";
        fields.push(("untagged", format!("{text}: stowage gc plan, then stowage gc run")));
    }
    fields.extend(status.running.iter().map(|job| {
        let Progress { done, bytes, .. } = job.progress;
        ("running", format!("since {}: {done} blobs, {} freed", when(&job.started_at), size(bytes)))
    }));
    let last = status.last.as_ref().map(|job| {
        let freed = size(job.progress.bytes);
        format!("{}, {freed} freed", when(job.ended_at.as_deref().unwrap_or(&job.started_at)))
    });
    fields.push(("last run", last.unwrap_or_else(|| "none yet: stowage gc run".to_owned())));
    context.say(&json!(status), &output::card(&fields))?;
    Ok(Exit::Done)
}

fn garbage(part: &GarbagePart, next: Option<&str>) -> (&'static str, String) {
    let GarbagePart { reason, blobs, bytes, first_at, last_at } = part;
    let what = format!("{} in {}", size(*bytes), counted(*blobs, "blob", "blobs"));
    let range = match (first_at.as_deref(), last_at.as_deref()) {
        (Some(first), Some(last)) if first != last => format!("until {} to {}", when(first), when(last)),
        (Some(first), _) => format!("until {}", when(first)),
        (None, _) => "until it is repaired".to_owned(),
    };
    match reason {
        OpenEnum::Known(GarbageReason::Due) => {
            let run = next.map_or_else(
                || "no run is scheduled: stowage gc run".to_owned(),
                |next| format!("the run at {} takes it", when(next)),
            );
            ("due", format!("{what}: {run}"))
        }
        OpenEnum::Known(GarbageReason::Grace) => {
            ("grace", format!("{what}: {range}, or with stowage gc run --now"))
        }
        OpenEnum::Known(GarbageReason::Promised) => {
            ("promised", format!("{what}: a client may count on it, {range}"))
        }
        OpenEnum::Known(GarbageReason::Pinned) => ("pinned", format!("{what}: a pin holds it, {range}")),
        OpenEnum::Known(GarbageReason::Trash) => {
            ("trash", format!("{what}: {range}, or with stowage gc run --empty-trash"))
        }
        OpenEnum::Known(GarbageReason::Quarantine) => {
            ("quarantine", format!("{what}: {range}, or with stowage gc run --now"))
        }
        OpenEnum::Known(GarbageReason::Damaged) => ("damaged", format!("{what}: {range}: stowage fsck")),
        OpenEnum::Unknown(word) => ("other", format!("{what}: {}, {range}", one_line(word))),
    }
}

fn plan(
    api: &Api,
    (now, empty_trash): (bool, bool),
    untagged: Option<HumanDuration>,
    context: &Context,
) -> Result<Exit, Failure> {
    let untagged = untagged.map(|duration| format!("&untagged={}", client::segment(&duration.to_string())));
    let path = format!("/api/v1/gc/plan?now={now}&empty_trash={empty_trash}{}", untagged.unwrap_or_default());
    let plan: Received<GcPlan> = api.get(&path)?;
    let GcPlan { trash, manifests, manifests_later, blobs, bytes, freed_bytes, promised, .. } = &*plan;
    let (now, mut lines) = (now || empty_trash, Vec::new());
    if *trash > 0 {
        let deletions = counted(*trash, "deletion", "deletions");
        lines.push(format!("would remove {deletions} from the trash: stowage trash list"));
    }
    if *manifests > 0 {
        let manifests = counted(*manifests, "manifest", "manifests");
        lines.push(format!(
            "would delete {manifests} that no tag leads to: stowage manifest list R --untagged"
        ));
    }
    lines.extend(later(*manifests_later));
    let blobs = counted(*blobs, "blob", "blobs");
    let in_quarantine = freed_bytes.saturating_sub(if now { *bytes } else { 0 });
    if now {
        lines.push(format!("would remove {blobs} ({}), and free {}", size(*bytes), size(*freed_bytes)));
    } else {
        lines.push(format!(
            "would move {blobs} ({}) to quarantine, and remove them a day later",
            size(*bytes)
        ));
    }
    if in_quarantine > 0 {
        lines.push(format!("would free {} that is in quarantine", size(in_quarantine)));
    }
    if !now && *bytes > 0 {
        lines.push("to free the space at once: stowage gc run --now".into());
    }
    if let Some(until) = plan.promised_until.as_deref() {
        let waiting = counted(
            *promised,
            "blob was promised to a client and stays",
            "blobs were promised to clients and stay",
        );
        lines.push(format!("{waiting} until {} at the latest", when(until)));
    }
    context.say(&json!(plan), &lines.join("\n"))?;
    Ok(Exit::Done)
}

fn run(api: &Api, new: &NewGcRun, wait: bool, context: &Context) -> Result<Exit, Failure> {
    let starting = Starting {
        path: "/api/v1/gc/runs",
        body: new,
        name: "garbage collection",
        ending: "ending the run; once more to leave it to the server",
    };
    if !wait {
        return starting.begin(api, context);
    }
    let job = starting.wait(api, context)?;
    let problem = problem(&job);
    context.result(problem.as_ref(), &json!(job), || match &job.result {
        Some(JobResult::Gc(done)) => done_text(done, new.now || new.empty_trash),
        _ => format!("garbage collection is {}", job.state),
    })?;
    Ok(problem.map_or(Exit::Done, |problem| problem.exit))
}

/// Untagged manifests that stay for now.
fn later(manifests: u64) -> Option<String> {
    let stay =
        counted(manifests, "manifest that no tag leads to stays", "manifests that no tag leads to stay");
    let why = "it is younger than storage.gc.untagged, or was pushed, pulled or asked for within storage.gc.promise";
    (manifests > 0).then(|| format!("{stay} for now: {why}"))
}

/// What a run did, as people read it.
pub(super) fn done_text(done: &Collected, now: bool) -> String {
    let Collected { manifests, blobs, bytes, freed_bytes, promised, spared, spared_names, complete, .. } =
        done;
    let mut lines = vec![format!(
        "took {} ({}), freed {}",
        counted(*blobs, "blob", "blobs"),
        size(*bytes),
        size(*freed_bytes)
    )];
    if *manifests > 0 {
        let manifests = counted(*manifests, "manifest", "manifests");
        lines.insert(0, format!("deleted {manifests} that no tag leads to"));
    }
    if done.trash > 0 {
        lines.insert(0, format!("removed {} from the trash", counted(done.trash, "deletion", "deletions")));
    }
    lines.extend(later(done.manifests_later));
    if *bytes > 0 && *freed_bytes == 0 && !now {
        lines.push("the files are in quarantine for a day; to remove them now: stowage gc run --now".into());
    }
    if *promised > 0 {
        let waiting = counted(*promised, "blob stays", "blobs stay");
        lines.push(format!("{waiting} for now, because a client was told to count on it: stowage gc status"));
    }
    if *spared > 0 {
        lines.push(format!(
            "{} left alone, because rows are damaged: stowage fsck",
            counted(*spared, "thing", "things")
        ));
        lines.extend(spared_names.iter().map(|name| format!("  {}", one_line(name))));
    }
    if let Some(pin) = &done.pinned {
        let pin = one_line(pin);
        lines.push(format!("the pin {pin} holds everything until its end: stowage gc pins"));
    } else if !complete {
        lines.push("partly done: storage.gc.max_duration is over; the next run continues".into());
    }
    lines.join("\n")
}

/// What is wrong with a run that has ended.
fn problem(job: &Job) -> Option<Failure> {
    if job.state != JobState::Done {
        let what = format!("garbage collection ended early: {}; what it has done stays done", job.state);
        let failure = Failure::new(Exit::Failed, "GC_NOT_DONE", what).fix("stowage gc run --wait");
        return Some(job.error.iter().fold(failure, Failure::because));
    }
    (job.problems > 0).then(|| {
        let what = format!("{} left alone", counted(job.problems, "damaged row was", "damaged rows were"));
        Failure::new(Exit::Integrity, "GC_SPARED", what).fix("stowage fsck")
    })
}

fn stop(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let status: Received<GcStatus> = api.get("/api/v1/gc")?;
    let Some(running) = &status.running else {
        return Err(Failure::new(Exit::NotFound, "GC_NOT_RUNNING", "garbage collection is not running")
            .fix("what it did last: stowage gc history"));
    };
    let job: Received<Job> = api.post(&format!("/api/v1/jobs/{}/cancel", running.id), &())?;
    context.say(&json!(job), "the run ends soon; what it has done stays done")?;
    Ok(Exit::Done)
}

fn history(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let runs: List<Received<Job>> = api.get(&format!("/api/v1/jobs?kind=gc&limit={SHOWN}"))?;
    let row = |job: &Received<Job>| {
        let started = if context.is_wide() { when(&job.started_at) } else { ago(&job.started_at) };
        let mode =
            job.parameters.mode.as_ref().map(ToString::to_string).unwrap_or_default().replace('_', " ");
        let Progress { done, bytes, .. } = job.progress;
        [started, mode, job.by.clone(), job.state.to_string(), done.to_string(), size(bytes)]
    };
    let headings = ["STARTED", "MODE", "BY", "STATE", "BLOBS", "FREED"];
    let text = output::list(&runs.items, headings, context.width(), row, "no run yet: stowage gc run");
    context.say(&json!({"runs": runs.items}), &text)?;
    Ok(Exit::Done)
}

//! `stowage trash`: what was deleted and can be restored.

use serde_json::json;

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;
use super::prompt::confirm;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{ago, counted, distance, when};
use crate::wire::{Absent, OpenEnum, Restore, TrashEntry, TrashKind};

/// What a command says after a deletion.
pub(super) const HINT: &str = "what can be restored, and until when: stowage trash list";

/// Restore what was deleted, or remove it for good
#[derive(clap::Args)]
#[command(
    after_help = "Deleted tags, manifests and repositories stay in the trash for storage.trash, and keep their space. Restoring brings \
                  them back as they were: digests, tags, who pushed them and when, signatures.\n\n\
                  Examples:\n  stowage trash list\n  stowage trash restore 4711\n  stowage trash empty 4711"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List what was deleted and can be restored, the oldest first
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage trash list\n  stowage trash list --repo team/app -o wide"
    )]
    List {
        /// Only deletions in this repository
        #[arg(long, value_name = "REPOSITORY")]
        repo: Option<String>,
    },
    /// Restore a deletion
    #[command(
        after_help = "Examples:\n  stowage trash restore 4711\n  stowage trash restore 4711 --as team/app-old"
    )]
    Restore {
        /// The number of the deletion
        id: u64,
        /// Another name, where the one that it had is taken: a tag or a repository
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove a deletion for good, or all of them
    #[command(
        after_help = "Garbage collection frees the space later. To empty the trash and free the space now:\n  \
                      stowage gc run --empty-trash --wait\n\n\
                      Examples:\n  stowage trash empty 4711\n  stowage trash empty --yes"
    )]
    Empty {
        /// The number of the deletion; without it, all of them
        id: Option<u64>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List { .. } => "trash list",
            Verb::Restore { .. } => "trash restore",
            Verb::Empty { .. } => "trash empty",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        match &self.verb {
            Verb::List { repo } => list(&api, repo.as_deref(), context),
            Verb::Restore { id, name } => restore(&api, *id, name.as_deref(), context),
            Verb::Empty { id, yes } => empty(&api, *id, *yes, context),
        }
    }
}

fn path(id: u64) -> String {
    format!("/api/v1/trash/{id}")
}

fn entries(api: &Api, repository: Option<&str>) -> Result<Vec<Received<TrashEntry>>, Failure> {
    let query = repository.map(|name| format!("&repository={}", segment(name))).unwrap_or_default();
    api.list("/api/v1/trash", &query)
}

fn list(api: &Api, repository: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let found = entries(api, repository)?;
    let in_full = context.is_wide();
    let row = |entry: &Received<TrashEntry>| {
        [
            entry.id.to_string(),
            entry.kind.to_string(),
            named(entry),
            output::size(entry.size_bytes),
            entry.deleted_by.clone(),
            if in_full { when(&entry.deleted_at) } else { ago(&entry.deleted_at) },
            if in_full { when(&entry.kept_until) } else { distance(&entry.kept_until) },
        ]
    };
    let headings = ["ID", "KIND", "DELETED", "SIZE", "BY", "WHEN", "KEPT UNTIL"];
    let none = match repository {
        Some(name) => format!("nothing of {} is in the trash", one_line(name)),
        None => "the trash is empty".to_owned(),
    };
    let text = output::list(&found, headings, context.width(), row, &none);
    context.say(&json!({"trash": found}), &text)?;
    Ok(Exit::Done)
}

/// What was deleted, as an image is named.
fn named(entry: &TrashEntry) -> String {
    let name = &entry.repository;
    match (&entry.kind, entry.tags.first(), &entry.digest) {
        (OpenEnum::Known(TrashKind::Tag), Some(tag), _) => format!("{name}:{tag}"),
        (OpenEnum::Known(TrashKind::Manifest), first, Some(digest)) => {
            let tags = first.map(|_| format!(" ({})", entry.tags.join(", ")));
            format!("{name}@{}{}", output::digest(digest, false), tags.unwrap_or_default())
        }
        _ => name.clone(),
    }
}

/// Restores a deletion.
fn restore(api: &Api, id: u64, name: Option<&str>, context: &Context) -> Result<Exit, Failure> {
    let body = Restore { name: Absent(name.map(str::to_owned)) };
    let restored: Received<TrashEntry> = api.post(&format!("{}/restore", path(id)), &body)?;
    let what = match (&restored.kind, name) {
        (OpenEnum::Known(TrashKind::Tag), Some(tag)) => format!("{}:{tag}", restored.repository),
        (OpenEnum::Known(TrashKind::Repository), Some(name)) => name.to_owned(),
        _ => named(&restored),
    };
    context.say(&json!(restored), &format!("restored {}", one_line(&what)))?;
    Ok(Exit::Done)
}

/// Restores the latest deletion of a tag.
pub(super) fn restore_tag(
    api: &Api,
    (repository, tag): (&str, &str),
    name: Option<&str>,
    context: &Context,
) -> Result<Exit, Failure> {
    // It may have gone with its manifest.
    let is_it = |entry: &TrashEntry| {
        entry.kind != OpenEnum::Known(TrashKind::Repository) && entry.tags.iter().any(|other| other == tag)
    };
    let id = latest(api, repository, is_it, &format!("the tag {repository}:{tag}"))?;
    restore(api, id, name, context)
}

/// Restores the latest deletion of a repository.
pub(super) fn restore_repository(
    api: &Api,
    repository: &str,
    name: Option<&str>,
    context: &Context,
) -> Result<Exit, Failure> {
    let is_it = |entry: &TrashEntry| entry.kind == OpenEnum::Known(TrashKind::Repository);
    let id = latest(api, repository, is_it, &format!("the repository {repository}"))?;
    restore(api, id, name, context)
}

fn latest(
    api: &Api,
    repository: &str,
    is_it: impl Fn(&TrashEntry) -> bool,
    what: &str,
) -> Result<u64, Failure> {
    let found = entries(api, Some(repository))?;
    found.iter().rev().find(|entry| is_it(entry)).map(|entry| entry.id).ok_or_else(|| {
        let what = format!("{} is not in the trash", one_line(what));
        Failure::new(Exit::NotFound, "TRASH_UNKNOWN", what).fix("stowage trash list")
    })
}

fn empty(api: &Api, id: Option<u64>, yes: bool, context: &Context) -> Result<Exit, Failure> {
    let found: Vec<Received<TrashEntry>> = match id {
        Some(id) => vec![api.get(&path(id))?],
        None => entries(api, None)?,
    };
    let what = match &found[..] {
        [] => {
            context.say(&json!({"removed": []}), "the trash is empty")?;
            return Ok(Exit::Done);
        }
        [one] => named(one),
        all => counted(all.len() as u64, "deletion", "deletions"),
    };
    confirm(yes, &format!("Remove {what} from the trash for good?"))?;
    let ids: Vec<u64> = found.iter().map(|entry| entry.id).collect();
    for (done, id) in ids.iter().enumerate() {
        match api.delete(&path(*id)) {
            // It was emptied or restored meanwhile, or went with its repository.
            Err(failure) if failure.exit == Exit::NotFound && ids.len() > 1 => {}
            Err(failure) => {
                let removed = counted(done as u64, "deletion was", "deletions were");
                return Err(failure.context("done", format!("{removed} removed before")));
            }
            Ok(()) => {}
        }
    }
    let text = format!("removed {} from the trash; to free the space: stowage gc run --now", one_line(&what));
    context.say(&json!({"removed": ids}), &text)?;
    Ok(Exit::Done)
}

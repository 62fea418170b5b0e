//! `stowage repo`: lists, shows, measures and deletes repositories.

use std::cmp::Reverse;

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::image_name::ImageName;
use super::prompt::Deletion;
use super::server_args::ServerArgs;
use super::sizes::{self, By, SizeArgs};
use super::words::{counted, natural, when};
use super::{deletion_plan, output, trash};
use crate::wire::{DeletionPlan, Repository, TagSize};

/// List, show, measure and delete repositories
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage repo list\n  stowage repo show team/app\n  stowage repo delete team/app"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List all repositories
    #[command(alias = "ls", after_help = "Examples:\n  stowage repo list\n  stowage repo list --json")]
    List,
    /// Show one repository
    #[command(after_help = "Examples:\n  stowage repo show team/app\n  stowage repo show team/app --json")]
    Show {
        /// Its name
        name: String,
    },
    /// Show what the space is used for: of one repository, each of its tags, or the biggest repositories
    #[command(
        after_help = "Examples:\n  stowage repo size\n  stowage repo size team/app\n  stowage repo size team/app --by-tag"
    )]
    Size(SizeArgs),
    /// Delete a repository with all tags and manifests: it goes to the trash
    #[command(
        alias = "rm",
        after_help = "Examples:\n  stowage repo delete team/app --dry-run\n  stowage repo delete team/app --yes"
    )]
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        deletion: Deletion,
    },
    /// Restore a deleted repository from the trash, with all tags and manifests
    #[command(
        after_help = "Where repositories of this name were deleted several times, the latest one is restored; stowage trash list shows \
                      the others.\n\n\
                      Examples:\n  stowage repo restore team/app\n  stowage repo restore team/app --as team/app-old"
    )]
    Restore {
        /// Its name
        name: String,
        /// Another name for it, where its name is taken
        #[arg(long = "as", value_name = "NAME")]
        new: Option<String>,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List => "repo list",
            Verb::Show { .. } => "repo show",
            Verb::Size(_) => "repo size",
            Verb::Delete { .. } => "repo delete",
            Verb::Restore { .. } => "repo restore",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        let (data, text) = match &self.verb {
            Verb::List => list(&api, context)?,
            Verb::Show { name } => {
                let image = ImageName::of(name);
                let repository = get(&api, &image)?;
                let text = card(&repository);
                (json!(repository), text)
            }
            Verb::Size(args) => measure(args, &api, context)?,
            Verb::Delete { name, deletion } => {
                let image = whole(name)?;
                let name = image.repository;
                let repository = get(&api, &image)?;
                let tags = counted(repository.tags, "tag", "tags");
                let manifests = counted(repository.manifests, "manifest", "manifests");
                let [.., unique] = row(&repository);
                let what = format!("{name}: {tags}, {manifests}, {unique} that no other repository has");
                if let Some(exit) = deletion.ask(&what)? {
                    let plan = deletion_plan::plan(&api, &[name.to_owned()])?;
                    let plan_text = deletion_plan::text(&plan, context.is_wide());
                    let data = Spared { repository: &repository, dry_run: true, plan };
                    context.say(&data, &format!("would delete the repository {what}\n{plan_text}"))?;
                    return Ok(exit);
                }
                api.delete(&path(name))?;
                let text = format!("deleted the repository {name}: {tags}, {manifests}\n{}", trash::HINT);
                (json!(repository), text)
            }
            Verb::Restore { name, new } => {
                return trash::restore_repository(&api, name, new.as_deref(), context);
            }
        };
        context.say(&data, &text)?;
        Ok(Exit::Done)
    }
}

/// What the space is used for.
fn measure(args: &SizeArgs, api: &Api, context: &Context) -> Result<(Value, String), Failure> {
    let by = args.by.unwrap_or(By::Unique);
    let Some(name) = &args.name else {
        let biggest = sizes::biggest(api, by, args.limit)?;
        let text = table(&biggest, context);
        return Ok((json!({"repositories": biggest}), text));
    };
    let image = ImageName::of(name);
    if !args.by_tag {
        if args.by.is_some() {
            let what = "--by is the order of a list, and one repository is none";
            return Err(
                Failure::new(Exit::Usage, "ORDER_UNUSED", what).fix("add --by-tag, or leave out --by")
            );
        }
        let repository = get(api, &image)?;
        let text = sizes::card(&repository);
        return Ok((json!(repository), text));
    }
    let all = api.list(&format!("{}/-/sizes", path(image.repository)), "");
    let mut tags: Vec<Received<TagSize>> = all.map_err(|failure| explain(failure, api, &image))?;
    tags.sort_by(|one, other| natural(&one.name, &other.name));
    tags.sort_by_key(|tag| Reverse(if by == By::Size { tag.size_bytes } else { tag.unique_bytes }));
    let text = sizes::table(&tags, context);
    Ok((json!({"tags": tags}), text))
}

/// A repository that a deletion without `--dry-run` would delete.
#[derive(Serialize)]
struct Spared<'a> {
    #[serde(flatten)]
    repository: &'a Received<Repository>,
    dry_run: bool,
    plan: DeletionPlan,
}

fn get(api: &Api, image: &ImageName<'_>) -> Result<Received<Repository>, Failure> {
    api.get(&path(image.repository)).map_err(|failure| explain(failure, api, image))
}

/// A whole repository. A name with a tag or a digest is refused, because it means less than that.
fn whole(name: &str) -> Result<ImageName<'_>, Failure> {
    let image = ImageName::of(name);
    let less = match (image.tag, image.digest) {
        (None, None) => return Ok(image),
        (Some(tag), None) => format!("stowage tag delete {}:{tag}", image.repository),
        (_, Some(digest)) => format!("stowage manifest delete {}@{digest}", image.repository),
    };
    let what = format!("{name} is not a whole repository; nothing was deleted");
    Err(Failure::new(Exit::Usage, "REPOSITORY_NAME_INVALID", what)
        .fix(less)
        .fix(format!("or all of it: stowage repo delete {}", image.repository)))
}

/// The most names in the explanation of a failure.
const NAMED: usize = 5;

/// Adds suggestions to a failure about an unknown repository.
pub(super) fn explain(failure: Failure, api: &Api, image: &ImageName<'_>) -> Failure {
    if failure.code != "REPOSITORY_UNKNOWN" {
        return failure;
    }
    let prefix = format!("{}/", image.repository);
    // The failure is reported, whether or not suggestions can be read.
    let all: Vec<Repository> = api.list("/api/v1/repositories", "").unwrap_or_default();
    let names = all.iter().map(|repository| repository.name.as_str());
    let below: Vec<&str> = names.filter(|name| name.starts_with(&prefix)).collect();
    if let Some(first) = below.first() {
        let more = if below.len() > NAMED { ", ..." } else { "" };
        let listed = below.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let fix = format!("name a repository in full, such as {first}");
        return with_fix(failure.context("below", format!("{listed}{more}")), "REPOSITORY_UNKNOWN", &fix);
    }
    match image.without_host() {
        Some(name) => with_fix(failure, "REPOSITORY_UNKNOWN", &format!("without the server's name: {name}")),
        None => failure,
    }
}

/// The same failure with another fix, if it has this code.
pub(super) fn with_fix(mut failure: Failure, code: &str, fix: &str) -> Failure {
    if failure.code != code {
        return failure;
    }
    failure.lines.retain(|(label, _)| label != "fix");
    failure.fix(fix)
}

/// A failure after `done` of several things were already deleted.
pub(super) fn partly(failure: Failure, label: &str, all: &[String], done: usize) -> Failure {
    let failure = failure.context(label, &all[done]);
    if done == 0 {
        return failure.context("done", "nothing was deleted");
    }
    let failure = Failure { exit: Exit::Partly, ..failure };
    failure.context("done", all[..done].join(", ")).context("left", all[done..].join(", "))
}

/// The path of a repository in the API.
pub(super) fn path(name: &str) -> String {
    format!("/api/v1/repositories/{}", segment(name))
}

fn list(api: &Api, context: &Context) -> Result<(Value, String), Failure> {
    let repositories: Vec<Received<Repository>> = api.list("/api/v1/repositories", "")?;
    let text = table(&repositories, context);
    Ok((json!({"repositories": repositories}), text))
}

fn table(repositories: &[Received<Repository>], context: &Context) -> String {
    let headings = ["REPOSITORY", "TAGS", "MANIFESTS", "SIZE", "UNIQUE"];
    let none = "no repository yet; a push creates one";
    output::list(repositories, headings, context.width(), |repository| row(repository), none)
}

fn row(repository: &Repository) -> [String; 5] {
    [
        repository.name.clone(),
        repository.tags.to_string(),
        repository.manifests.to_string(),
        output::size(repository.size_bytes),
        output::size(repository.unique_bytes),
    ]
}

fn card(repository: &Repository) -> String {
    let [name, tags, manifests, size, unique] = row(repository);
    let created = when(&repository.created_at);
    let size = format!("{size}, of it {unique} that no other repository has");
    output::card(&[
        ("name", name),
        ("created", created),
        ("tags", tags),
        ("manifests", manifests),
        ("size", size),
    ])
}

//! `stowage tag`: lists and deletes tags.

use std::cmp::Reverse;
use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::json;

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::deletion_plan::{in_short, plan, text};
use super::errors::{Exit, Failure};
use super::image_name::{ImageName, matches};
use super::prompt::Deletion;
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{ago, natural, when};
use super::{output, repo, trash};
use crate::wire::Tag;

/// List, delete and restore tags
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage tag list team/app\n  stowage tag delete team/app:1.0 team/app:1.1"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the tags of a repository, the newest first
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage tag list team/app\n  stowage tag list 'team/app:v1.*' --sort name\n  stowage tag list team/app -o wide"
    )]
    List {
        /// The repository; with a tag or a pattern such as 'team/app:v1.*' only those tags
        repository: String,
        /// The order of the list: time (the newest first) or name
        #[arg(long, value_name = "ORDER", default_value = "time", hide_possible_values = true)]
        sort: Sort,
    },
    /// Delete tags, with manifests that nothing else holds: they go to the trash
    #[command(
        alias = "rm",
        after_help = "Examples:\n  stowage tag delete team/app:1.0 team/app:1.1 --yes\n  stowage tag delete 'team/app:v1.*' --dry-run"
    )]
    Delete {
        /// Repository and tag, such as team/app:1.0, or a pattern such as 'team/app:v1.*'
        #[arg(required = true)]
        tags: Vec<String>,
        #[command(flatten)]
        deletion: Deletion,
    },
    /// Restore a deleted tag from the trash, with its manifest
    #[command(
        after_help = "Where the tag was deleted several times, the latest deletion is restored; stowage trash list shows the others.\n\n\
                      Examples:\n  stowage tag restore team/app:1.0\n  stowage tag restore team/app:1.0 --as 1.0-old"
    )]
    Restore {
        /// Repository and tag, such as team/app:1.0
        tag: String,
        /// Another name for the tag, where its name is taken
        #[arg(long = "as", value_name = "TAG")]
        name: Option<String>,
    },
}

/// The order of a list of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// By name; numbers in names count as numbers
    Name,
    /// The newest first
    Time,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List { .. } => "tag list",
            Verb::Delete { .. } => "tag delete",
            Verb::Restore { .. } => "tag restore",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::List { repository, sort } => {
                let image = ImageName::of(repository);
                let api = client::open(&self.server, context)?;
                let mut tags = list(&api, &image)?;
                tags.sort_by(|one, other| natural(&one.name, &other.name));
                if *sort == Sort::Time {
                    tags.sort_by_key(|tag| Reverse(tag.pushed_at.parse::<Timestamp>().unwrap_or_default()));
                }
                let text = table(&tags, context);
                context.say(&json!({"tags": tags}), &text)?;
                Ok(Exit::Done)
            }
            Verb::Delete { tags, deletion } => {
                tags.iter().try_for_each(|tag| path(tag).map(drop))?;
                let api = client::open(&self.server, context)?;
                let tags = named(&api, tags)?;
                let names = one_line(&tags.join(", ")).into_owned();
                let question = || Ok(format!("{names}, which {}", in_short(&plan(&api, &tags)?)));
                if let Some(exit) = deletion.ask_with(&names, question)? {
                    let plan = plan(&api, &tags)?;
                    let text = format!("would delete {names}\n{}", text(&plan, context.is_wide()));
                    let data = json!({"deleted": [], "would_delete": tags, "dry_run": true, "plan": plan});
                    context.say(&data, &text)?;
                    return Ok(exit);
                }
                delete(&api, &tags)?;
                let text = format!("deleted {names}\n{}", trash::HINT);
                context.say(&json!({"deleted": tags}), &text)?;
                Ok(Exit::Done)
            }
            Verb::Restore { tag: text, name } => {
                let image = ImageName::of(text);
                if image.digest.is_some() {
                    let what = format!("{text:?} names a manifest, not a tag");
                    return Err(Failure::new(Exit::Usage, "TAG_NAME_INVALID", what).fix("stowage trash list"));
                }
                path(text)?;
                let api = client::open(&self.server, context)?;
                let tag = (image.repository, image.tag.unwrap_or_default());
                trash::restore_tag(&api, tag, name.as_deref(), context)
            }
        }
    }
}

/// The tags of a repository, or those that the name selects.
fn list(api: &Api, image: &ImageName<'_>) -> Result<Vec<Received<Tag>>, Failure> {
    let all = api.list(&format!("{}/-/tags", repo::path(image.repository)), "");
    let mut tags: Vec<Received<Tag>> = all.map_err(|failure| repo::explain(failure, api, image))?;
    if let Some(pattern) = image.tag {
        tags.retain(|tag| matches(pattern, &tag.name));
    }
    Ok(tags)
}

/// Every tag that the arguments name, each once. All names are checked before anything is deleted.
fn named(api: &Api, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for text in wanted {
        let image = ImageName::of(text);
        let pattern = image.tag.filter(|tag| tag.contains(['*', '?']));
        let Some(pattern) = pattern else {
            api.get::<Tag>(&path(text)?).map_err(|failure| missing(api, failure, &image, text))?;
            found.push(format!("{}:{}", image.repository, image.tag.unwrap_or_default()));
            continue;
        };
        let tags = list(api, &image)?;
        if tags.is_empty() {
            let what = format!("no tag of {} matches {pattern}; nothing was deleted", image.repository);
            return Err(Failure::new(Exit::NotFound, "TAG_UNKNOWN", what)
                .fix(format!("stowage tag list {}", image.repository)));
        }
        found.extend(tags.iter().map(|tag| format!("{}:{}", image.repository, tag.name)));
    }
    let mut seen = HashSet::new();
    found.retain(|tag| seen.insert(tag.clone()));
    Ok(found)
}

fn missing(api: &Api, failure: Failure, image: &ImageName<'_>, text: &str) -> Failure {
    let fix = format!("stowage tag list {}", image.repository);
    let lines = failure.context("tag", text).context("done", "nothing was deleted");
    repo::explain(repo::with_fix(lines, "TAG_UNKNOWN", &fix), api, image)
}

fn delete(api: &Api, tags: &[String]) -> Result<(), Failure> {
    for (done, tag) in tags.iter().enumerate() {
        if let Err(failure) = api.delete(&path(tag)?) {
            return Err(repo::partly(failure, "tag", tags, done));
        }
    }
    Ok(())
}

/// The path of `repository:tag` in the API.
fn path(text: &str) -> Result<String, Failure> {
    let image = ImageName::of(text);
    if let Some(digest) = image.digest {
        let what = format!("{text:?} names a manifest, not a tag");
        return Err(Failure::new(Exit::Usage, "TAG_NAME_INVALID", what)
            .fix(format!("stowage manifest delete {}@{digest}", image.repository)));
    }
    let Some(tag) = image.tag else {
        return Err(Failure::new(Exit::Usage, "TAG_NAME_INVALID", format!("{text:?} names no tag"))
            .fix("write repository and tag: team/app:1.0"));
    };
    Ok(format!("{}/-/tags/{}", repo::path(image.repository), segment(tag)))
}

fn table(tags: &[Received<Tag>], context: &Context) -> String {
    let is_wide = context.is_wide();
    let row = |tag: &Received<Tag>| {
        [
            tag.name.clone(),
            output::digest(&tag.digest, is_wide),
            output::size(tag.size_bytes),
            tag.platform.clone().unwrap_or_default(),
            if is_wide { when(&tag.pushed_at) } else { ago(&tag.pushed_at) },
            tag.pushed_by.clone(),
        ]
    };
    output::list(tags, ["TAG", "DIGEST", "SIZE", "PLATFORM", "PUSHED", "BY"], context.width(), row, "no tag")
}

//! `stowage manifest`: images by their digests, those without a tag too.

use serde_json::json;

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::deletion_plan::{in_short, plan, text};
use super::errors::{Exit, Failure};
use super::image_name::ImageName;
use super::prompt::Deletion;
use super::server_args::ServerArgs;
use super::words::{ago, when};
use super::{output, repo, trash};
use crate::wire::Manifest;

/// List and delete manifests, including those without a tag
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage manifest list team/app --untagged\n  stowage manifest delete team/app@sha256:0a1b..."
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the manifests of a repository
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage manifest list team/app\n  stowage manifest list team/app --untagged -o wide"
    )]
    List {
        /// The repository
        repository: String,
        /// Only manifests that no tag, no index and no manifest they refer to leads to
        #[arg(long)]
        untagged: bool,
    },
    /// Delete manifests by digest, with every tag that points to them
    #[command(
        alias = "rm",
        after_help = "Examples:\n  stowage manifest delete team/app@sha256:0a1b... --dry-run\n  stowage manifest delete team/app@sha256:0a1b... --yes"
    )]
    Delete {
        /// Repository and digest, such as team/app@sha256:0a1b...
        #[arg(required = true)]
        manifests: Vec<String>,
        #[command(flatten)]
        deletion: Deletion,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List { .. } => "manifest list",
            Verb::Delete { .. } => "manifest delete",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::List { repository, untagged } => {
                let image = ImageName::of(repository);
                let api = client::open(&self.server, context)?;
                let query = if *untagged { "&untagged=true" } else { "" };
                let path = format!("{}/-/manifests", repo::path(image.repository));
                let manifests: Vec<Received<Manifest>> =
                    api.list(&path, query).map_err(|failure| repo::explain(failure, &api, &image))?;
                let text = table(&manifests, context);
                context.say(&json!({"manifests": manifests}), &text)?;
                Ok(Exit::Done)
            }
            Verb::Delete { manifests, deletion } => {
                let paths = manifests.iter().map(|manifest| path(manifest)).collect::<Result<Vec<_>, _>>()?;
                let api = client::open(&self.server, context)?;
                let mut tags = 0;
                // All digests are checked before anything is deleted.
                for (manifest, path) in manifests.iter().zip(&paths) {
                    let found: Manifest =
                        api.get(path).map_err(|failure| missing(failure, &api, manifest))?;
                    tags += found.tags.len();
                }
                let names = manifests.join(", ");
                let with = if tags > 0 { " with every tag that points there" } else { "" };
                let what = format!("{names}{with}");
                let selected: Vec<String> = manifests.iter().map(|manifest| named(manifest)).collect();
                let question = || Ok(format!("{what}, which {}", in_short(&plan(&api, &selected)?)));
                if let Some(exit) = deletion.ask_with(&what, question)? {
                    let plan = plan(&api, &selected)?;
                    let text = format!("would delete {what}\n{}", text(&plan, context.is_wide()));
                    let data =
                        json!({"deleted": [], "would_delete": manifests, "dry_run": true, "plan": plan});
                    context.say(&data, &text)?;
                    return Ok(exit);
                }
                delete(&api, manifests, &paths)?;
                let data = json!({"deleted": manifests});
                context.say(&data, &format!("deleted {names}\n{}", trash::HINT))?;
                Ok(Exit::Done)
            }
        }
    }
}

fn delete(api: &Api, manifests: &[String], paths: &[String]) -> Result<(), Failure> {
    for (done, path) in paths.iter().enumerate() {
        if let Err(failure) = api.delete(path) {
            return Err(repo::partly(failure, "digest", manifests, done));
        }
    }
    Ok(())
}

/// The path of `repository@digest` in the API.
fn path(text: &str) -> Result<String, Failure> {
    let image = ImageName::of(text);
    let Some(digest) = image.digest else {
        let what = format!("{text:?} names no digest");
        return Err(Failure::new(Exit::Usage, "DIGEST_INVALID", what)
            .fix("write repository and digest: team/app@sha256:0a1b...")
            .fix(format!("to see the digests: stowage manifest list {} -o wide", image.repository)));
    };
    Ok(format!("{}/-/manifests/{}", repo::path(image.repository), segment(digest)))
}

/// The name of a manifest without the server before it.
fn named(text: &str) -> String {
    let image = ImageName::of(text);
    format!("{}@{}", image.repository, image.digest.unwrap_or_default())
}

fn missing(failure: Failure, api: &Api, manifest: &str) -> Failure {
    let image = ImageName::of(manifest);
    let fix = format!("stowage manifest list {}", image.repository);
    repo::with_fix(repo::explain(failure, api, &image), "MANIFEST_UNKNOWN", &fix)
}

fn table(manifests: &[Received<Manifest>], context: &Context) -> String {
    let is_wide = context.is_wide();
    let row = |manifest: &Received<Manifest>| {
        let media_type = manifest.media_type.as_str();
        let kind = media_type.rsplit_once("vnd.").map_or(media_type, |(_, kind)| kind);
        [
            output::digest(&manifest.digest, is_wide),
            output::size(manifest.size_bytes),
            manifest.platform.clone().unwrap_or_default(),
            if is_wide { when(&manifest.pushed_at) } else { ago(&manifest.pushed_at) },
            if manifest.tags.is_empty() && manifest.in_index {
                "(in an index)".to_owned()
            } else {
                manifest.tags.join(",")
            },
            if is_wide { media_type.to_owned() } else { kind.to_owned() },
        ]
    };
    let headings = ["DIGEST", "SIZE", "PLATFORM", "PUSHED", "TAGS", "TYPE"];
    output::list(manifests, headings, context.width(), row, "no manifest")
}

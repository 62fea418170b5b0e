//! `stowage tag`: what tags a repository has.

use serde_json::{Value, json};

use super::client::{Api, Reach, segment};
use super::errors::{Exit, Failure};
use super::output;
use super::program::Global;
use super::prompt::Deletion;
use super::repo;
use crate::config::Environment;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage tag list team/app\n  stowage tag delete team/app:1.0 team/app:1.1"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List the tags of a repository
    #[command(after_help = "Examples:\n  stowage tag list team/app\n  stowage tag list team/app --json")]
    List {
        /// The repository
        repository: String,
    },
    /// Delete tags; their manifests stay
    #[command(
        after_help = "Examples:\n  stowage tag delete team/app:1.0 --dry-run\n  stowage tag delete team/app:1.0 team/app:1.1 --yes"
    )]
    Delete {
        /// Repository and tag, such as team/app:1.0
        #[arg(required = true)]
        tags: Vec<String>,
        #[command(flatten)]
        deletion: Deletion,
    },
}

impl Options {
    /// The name for the JSON document.
    pub(super) const fn name(&self) -> &'static str {
        match self.verb {
            Verb::List { .. } => "tag list",
            Verb::Delete { .. } => "tag delete",
        }
    }
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    match &options.verb {
        Verb::List { repository } => {
            let api = options.reach.open(global, environment)?;
            let tags = api.list(&format!("{}/-/tags", repo::path(repository)), "")?;
            let text = table(&tags);
            options.reach.say(options.name(), &json!({"tags": tags}), &text)?;
            Ok(Exit::Done)
        }
        Verb::Delete { tags, deletion } => {
            let paths = tags.iter().map(|tag| path(tag)).collect::<Result<Vec<_>, _>>()?;
            let api = options.reach.open(global, environment)?;
            // A name that is wrong is found before anything is deleted.
            for (tag, path) in tags.iter().zip(&paths) {
                api.get(path).map_err(|failure| failure.line("tag", tag))?;
            }
            let names = tags.join(", ");
            if let Some(exit) = deletion.ask(&names)? {
                let data = json!({"deleted": [], "would_delete": tags, "dry_run": true});
                options.reach.say(options.name(), &data, &format!("would delete {names}"))?;
                return Ok(exit);
            }
            delete(&api, tags, &paths)?;
            options.reach.say(options.name(), &json!({"deleted": tags}), &format!("deleted {names}"))?;
            Ok(Exit::Done)
        }
    }
}

fn delete(api: &Api, tags: &[String], paths: &[String]) -> Result<(), Failure> {
    for (done, path) in paths.iter().enumerate() {
        if let Err(failure) = api.delete(path) {
            let failure = failure.line("tag", &tags[done]);
            if done == 0 {
                return Err(failure);
            }
            let failure = Failure { exit: Exit::Partly, ..failure };
            return Err(failure.line("done", tags[..done].join(", ")).line("left", tags[done..].join(", ")));
        }
    }
    Ok(())
}

/// The path of `repository:tag` in the API.
fn path(text: &str) -> Result<String, Failure> {
    let Some((repository, tag)) = text.rsplit_once(':') else {
        return Err(Failure::new(Exit::Usage, "TAG_NAME_INVALID", format!("{text:?} names no tag"))
            .fix("write repository and tag: team/app:1.0"));
    };
    Ok(format!("{}/-/tags/{}", repo::path(repository), segment(tag)))
}

fn table(tags: &Value) -> String {
    let row = |tag: &Value| {
        ["name", "digest", "pushed_at", "pushed_by"]
            .map(|key| tag[key].as_str().unwrap_or_default().to_owned())
    };
    output::list(tags, ["TAG", "DIGEST", "PUSHED", "BY"], row, "no tag")
}

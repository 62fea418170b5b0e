//! `stowage tag`: what tags a repository has.

use serde_json::{Value, json};

use super::client::{Reach, segment};
use super::errors::{Exit, Failure};
use super::output;
use super::program::Global;
use super::prompt;
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
    /// Delete tags; the manifests stay
    #[command(
        after_help = "Examples:\n  stowage tag delete team/app:1.0\n  stowage tag delete team/app:1.0 team/app:1.1 --yes"
    )]
    Delete {
        /// Repository and tag, such as team/app:1.0
        #[arg(required = true)]
        tags: Vec<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
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
    let (data, text) = match &options.verb {
        Verb::List { repository } => {
            let api = options.reach.open(global, environment)?;
            let tags = api.get(&format!("{}/-/tags", repo::path(repository)))?["items"].take();
            let text = table(&tags);
            (json!({"tags": tags}), text)
        }
        Verb::Delete { tags, yes } => {
            let paths = tags.iter().map(|tag| path(tag)).collect::<Result<Vec<_>, _>>()?;
            prompt::confirm(*yes, &format!("Delete {}?", tags.join(", ")))?;
            let api = options.reach.open(global, environment)?;
            for (done, path) in paths.iter().enumerate() {
                api.delete(path).map_err(|failure| {
                    let failure = failure.line("tag", &tags[done]);
                    if done == 0 { failure } else { failure.line("done", tags[..done].join(", ")) }
                })?;
            }
            (json!({"deleted": tags}), format!("deleted {}", tags.join(", ")))
        }
    };
    if options.reach.json {
        output::json(options.name(), true, &data)?;
    } else {
        output::print(&text)?;
    }
    Ok(Exit::Done)
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
    let rows: Vec<Vec<String>> = tags
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| {
            ["name", "digest", "pushed_at", "pushed_by"]
                .map(|key| tag[key].as_str().unwrap_or_default().to_owned())
                .to_vec()
        })
        .collect();
    if rows.is_empty() {
        "no tag".to_owned()
    } else {
        output::table(&["TAG", "DIGEST", "PUSHED", "BY"], &rows)
    }
}

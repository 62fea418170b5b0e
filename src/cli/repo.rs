//! `stowage repo`: what repositories there are.

use serde_json::{Value, json};

use super::client::{Api, Reach, segment};
use super::errors::{Exit, Failure};
use super::output;
use super::program::Global;
use super::prompt::Deletion;
use crate::config::Environment;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage repo list\n  stowage repo show team/app\n  stowage repo delete team/app"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List all repositories
    #[command(after_help = "Examples:\n  stowage repo list\n  stowage repo list --json")]
    List,
    /// Show one repository
    #[command(after_help = "Examples:\n  stowage repo show team/app\n  stowage repo show team/app --json")]
    Show {
        /// Its name
        name: String,
    },
    /// Delete a repository with all tags and manifests
    #[command(
        after_help = "Examples:\n  stowage repo delete team/app --dry-run\n  stowage repo delete team/app --yes"
    )]
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        deletion: Deletion,
    },
}

impl Options {
    /// The name for the JSON document.
    pub(super) const fn name(&self) -> &'static str {
        match self.verb {
            Verb::List => "repo list",
            Verb::Show { .. } => "repo show",
            Verb::Delete { .. } => "repo delete",
        }
    }
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    let api = options.reach.open(global, environment)?;
    let (data, text) = match &options.verb {
        Verb::List => list(&api)?,
        Verb::Show { name } => {
            let repository = api.get(&path(name))?;
            let text = card(&repository);
            (repository, text)
        }
        Verb::Delete { name, deletion } => {
            let mut repository = api.get(&path(name))?;
            let [_, tags, manifests, _, unique] = row(&repository);
            let what =
                format!("{name}: {tags} tags, {manifests} manifests, {unique} that no other repository has");
            if let Some(exit) = deletion.ask(&what)? {
                repository["dry_run"] = Value::from(true);
                options.reach.say(
                    options.name(),
                    &repository,
                    &format!("would delete the repository {what}"),
                )?;
                return Ok(exit);
            }
            api.delete(&path(name))?;
            (repository, format!("deleted the repository {name}: {tags} tags, {manifests} manifests"))
        }
    };
    options.reach.say(options.name(), &data, &text)?;
    Ok(Exit::Done)
}

/// The path of a repository in the API.
pub(super) fn path(name: &str) -> String {
    format!("/api/v1/repositories/{}", segment(name))
}

fn list(api: &Api) -> Result<(Value, String), Failure> {
    let repositories = api.list("/api/v1/repositories", "")?;
    let headings = ["REPOSITORY", "TAGS", "MANIFESTS", "SIZE", "OWN"];
    let text = output::list(&repositories, headings, row, "no repository yet; a push makes one");
    Ok((json!({"repositories": repositories}), text))
}

fn row(repository: &Value) -> [String; 5] {
    let number = |key: &str| repository[key].as_u64().unwrap_or_default();
    [
        repository["name"].as_str().unwrap_or_default().to_owned(),
        number("tags").to_string(),
        number("manifests").to_string(),
        output::size(number("size_bytes")),
        output::size(number("unique_bytes")),
    ]
}

fn card(repository: &Value) -> String {
    let [name, tags, manifests, size, unique] = row(repository);
    let created = repository["created_at"].as_str().unwrap_or_default();
    format!(
        "name       {name}\ncreated    {created}\ntags       {tags}\nmanifests  {manifests}\n\
         size       {size}, of it {unique} that no other repository has"
    )
}

//! `stowage token`: what users sign in with instead of a password.

use serde_json::{Value, json};

use super::client::{Api, Reach, segment};
use super::errors::{Exit, Failure};
use super::output::{self, Format};
use super::program::Global;
use crate::config::Environment;
use crate::model::units::HumanDuration;
use crate::model::units::UnitError;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage token create hanna --name laptop --scopes read_registry,write_registry --expires 90d\n  \
                  stowage token list hanna\n  stowage token revoke 7"
)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Make a token and print its secret, once
    #[command(
        after_help = "Scopes: read_registry, write_registry, delete_registry, read_api, api. A token never does more than its \
                      user may.\n\nExamples:\n  stowage token create hanna --name laptop --scopes read_registry --expires 90d\n  \
                      stowage token create ci --name build --scopes read_registry,write_registry --expires never"
    )]
    Create {
        /// Whose it will be
        user: String,
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may be used for, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// How long it is valid, such as 12h or 90d, or `never`
        #[arg(long, value_name = "TIME", default_value = "never")]
        expires: Lifetime,
    },
    /// List the tokens of a user, or of everybody
    #[command(after_help = "Examples:\n  stowage token list\n  stowage token list hanna --json")]
    List {
        /// Whose
        user: Option<String>,
    },
    /// Show one token; never its secret
    #[command(after_help = "Examples:\n  stowage token show 7\n  stowage token show 7 --json")]
    Show {
        /// Its number
        id: u64,
    },
    /// End a token, from the next request on
    #[command(after_help = "Examples:\n  stowage token revoke 7\n  stowage token revoke 7 --json")]
    Revoke {
        /// Its number
        id: u64,
    },
}

/// How long a token is valid.
#[derive(Clone, Copy)]
struct Lifetime(Option<HumanDuration>);

impl std::str::FromStr for Lifetime {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "never" { Ok(Self(None)) } else { text.parse().map(|duration| Self(Some(duration))) }
    }
}

impl Options {
    /// The name for the JSON document.
    pub(super) const fn name(&self) -> &'static str {
        match self.verb {
            Verb::Create { .. } => "token create",
            Verb::List { .. } => "token list",
            Verb::Show { .. } => "token show",
            Verb::Revoke { .. } => "token revoke",
        }
    }
}

pub(super) fn run(options: &Options, global: &Global, environment: &Environment) -> Result<Exit, Failure> {
    let api = options.reach.open(global, environment)?;
    let (data, text) = match &options.verb {
        Verb::Create { user, name, scopes, expires } => {
            let token = create(&api, user, name, scopes, *expires)?;
            let secret = text(&token, "secret");
            if options.reach.format() == Format::Human {
                output::note(&format!("{}\nthe secret is shown once:", card(&token)));
            }
            (token, secret)
        }
        Verb::List { user } => list(&api, user.as_deref())?,
        Verb::Show { id } => {
            let token = api.get(&path(*id))?;
            let text = card(&token);
            (token, text)
        }
        Verb::Revoke { id } => {
            let token = api.delete(&path(*id))?;
            let (name, user) = (text(&token, "name"), text(&token, "user"));
            (token, format!("revoked the token {id} ({name}) of {user}"))
        }
    };
    options.reach.say(options.name(), &data, &text)?;
    Ok(Exit::Done)
}

fn path(id: u64) -> String {
    format!("/api/v1/tokens/{id}")
}

fn create(api: &Api, user: &str, name: &str, scopes: &[String], expires: Lifetime) -> Result<Value, Failure> {
    let mut body = json!({"user": user, "name": name, "scopes": scopes});
    if let Some(duration) = expires.0 {
        body["lifetime_s"] = Value::from(duration.as_secs());
    }
    api.post("/api/v1/tokens", &body)
}

fn list(api: &Api, user: Option<&str>) -> Result<(Value, String), Failure> {
    let query = user.map(|user| format!("&user={}", segment(user))).unwrap_or_default();
    let tokens = api.list("/api/v1/tokens", &query)?;
    let headings = ["ID", "USER", "NAME", "SCOPES", "EXPIRES", "LAST USED"];
    let none = "no token yet; make one: stowage token create USER --name NAME --scopes read_registry";
    let text = output::list(&tokens, headings, fields, none);
    Ok((json!({"tokens": tokens}), text))
}

fn text(token: &Value, key: &str) -> String {
    token[key].as_str().unwrap_or_default().to_owned()
}

fn fields(token: &Value) -> [String; 6] {
    let or = |key: &str, other: &str| token[key].as_str().unwrap_or(other).to_owned();
    let scopes: Vec<&str> =
        token["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let used = match (token["last_used_at"].as_str(), token["last_used_from"].as_str()) {
        (Some(at), Some(from)) => format!("{at} from {from}"),
        (Some(at), None) => at.to_owned(),
        (None, _) => "never".to_owned(),
    };
    let id = token["id"].to_string();
    [id, or("user", ""), or("name", ""), scopes.join(","), or("expires_at", "never"), used]
}

fn card(token: &Value) -> String {
    let labels = ["id", "user", "name", "scopes", "expires", "last used"];
    let lines: Vec<String> =
        labels.iter().zip(fields(token)).map(|(label, value)| format!("{label:<9}  {value}")).collect();
    lines.join("\n")
}

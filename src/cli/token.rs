//! `stowage token`: creates, lists and revokes tokens.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::expiry::Expiry;
use super::offered::Offered;
use super::output::{self, Format};
use super::server_args::ServerArgs;
use super::visible::one_line;
use super::words::{ago, distance, when};
use crate::access::Scopes;
use crate::wire::{Absent, CreatedToken, NewToken, Token};

/// Create and revoke tokens, which users sign in with instead of a password
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage token create hanna --name pc --scopes read_registry,write_registry\n  \
                  stowage token list hanna\n  stowage token revoke hanna/laptop"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a token and print its secret, once
    #[command(
        after_help = "A token never has more permissions than its user.\n\nExamples:\n  stowage token create hanna --name pc --scopes read_registry --expires 90d\n  \
                      stowage token create ci --name build --scopes write_registry --expires never"
    )]
    Create {
        /// Owner of the token
        user: String,
        /// Name of the token
        #[arg(long)]
        name: String,
        /// Scopes of the token, separated by commas
        #[arg(long, value_delimiter = ',', required = true, value_parser = Offered(|| Scopes::known().collect()))]
        scopes: Vec<String>,
        /// How long it is valid, such as 12h or 90d, or until which day, such as 2027-01-31, or `never`
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: Expiry,
    },
    /// List the tokens of a user, or of all users
    #[command(
        alias = "ls",
        after_help = "Examples:\n  stowage token list\n  stowage token list hanna --json"
    )]
    List {
        /// Owner of the tokens
        user: Option<String>,
    },
    /// Show one token; never its secret
    #[command(after_help = "Examples:\n  stowage token show 7\n  stowage token show hanna/laptop --json")]
    Show {
        /// Its number, its name, or USER/NAME
        token: String,
    },
    /// End a token, from the next request on
    #[command(
        aliases = ["delete", "rm"],
        after_help = "Examples:\n  stowage token revoke 7\n  stowage token revoke hanna/laptop --json")]
    Revoke {
        /// Its number, its name, or USER/NAME
        token: String,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Create { .. } => "token create",
            Verb::List { .. } => "token list",
            Verb::Show { .. } => "token show",
            Verb::Revoke { .. } => "token revoke",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let api = client::open(&self.server, context)?;
        let (data, text) = match &self.verb {
            Verb::Create { user, name, scopes, expires } => {
                let token = create(&api, user, name, scopes, *expires)?;
                if context.format() == Format::Human {
                    for warning in &token.warnings {
                        output::note(&format!("warning: {}", one_line(warning)));
                    }
                    output::note(&format!("{}\nthe secret is shown once:", card(&token.token)));
                }
                (json!(token), one_line(&token.secret).into_owned())
            }
            Verb::List { user } => list(&api, user.as_deref(), context)?,
            Verb::Show { token } => {
                let token: Received<Token> = api.get(&path(number(&api, token)?))?;
                (json!(token), card(&token))
            }
            Verb::Revoke { token } => {
                let id = number(&api, token)?;
                let token: Received<Token> = api.end(&path(id))?;
                let (name, user) = (one_line(&token.name), one_line(&token.user));
                (json!(token), format!("revoked the token {id} ({name}) of {user}"))
            }
        };
        context.say(&data, &text)?;
        Ok(Exit::Done)
    }
}

fn path(id: u64) -> String {
    format!("/api/v1/tokens/{id}")
}

fn create(
    api: &Api,
    user: &str,
    name: &str,
    scopes: &[String],
    expires: Expiry,
) -> Result<Received<CreatedToken>, Failure> {
    // Users may write a space after the comma.
    let scopes = scopes.iter().flat_map(|scope| scope.split_whitespace()).map(str::to_owned).collect();
    #[expect(clippy::disallowed_methods, reason = "a day means a lifetime from now on")]
    let now = SystemTime::now();
    let lifetime_s = Absent(expires.lifetime_s(now)?);
    let new = NewToken { user: user.to_owned(), name: name.to_owned(), scopes, lifetime_s };
    api.post("/api/v1/tokens", &new)
}

/// The number of a token that is given by its number, by a unique name, or by `USER/NAME`.
fn number(api: &Api, named: &str) -> Result<u64, Failure> {
    if let Ok(number) = named.parse() {
        return Ok(number);
    }
    if named.starts_with("stw_") {
        let what = "a token is named by its number or its name, not by its secret";
        return Err(Failure::new(Exit::Usage, "TOKEN_UNKNOWN", what).fix("stowage token list"));
    }
    let (user, name) = match named.split_once('/') {
        Some((user, name)) => (Some(user), name),
        None => (None, named),
    };
    let query = user.map(|user| format!("&user={}", segment(user))).unwrap_or_default();
    let tokens: Vec<Token> = api.list("/api/v1/tokens", &query)?;
    let named: Vec<&Token> = tokens.iter().filter(|token| token.name == name).collect();
    match named[..] {
        [token] => Ok(token.id.0),
        [] => Err(Failure::new(Exit::NotFound, "TOKEN_UNKNOWN", format!("there is no token {name:?}"))
            .fix("stowage token list")),
        [first, ..] => {
            let what = format!("{} tokens have the name {name:?}", named.len());
            let found = named.iter().map(|token| format!("{}/{name} (number {})", token.user, token.id));
            let all: Vec<String> = found.collect();
            Err(Failure::new(Exit::Usage, "TOKEN_AMBIGUOUS", what)
                .line("found", all.join(", "))
                .fix(format!("say whose it is: {}/{name}", first.user)))
        }
    }
}

fn list(api: &Api, user: Option<&str>, context: &Context) -> Result<(Value, String), Failure> {
    let query = user.map(|user| format!("&user={}", segment(user))).unwrap_or_default();
    let tokens: Vec<Received<Token>> = api.list("/api/v1/tokens", &query)?;
    let headings = ["ID", "USER", "NAME", "STATE", "SCOPES", "EXPIRES", "LAST USED"];
    let none = "no token yet; make one: stowage token create USER --name NAME --scopes read_registry";
    let text =
        output::list(&tokens, headings, context.width(), |token| fields(token, context.is_wide()), none);
    Ok((json!({"tokens": tokens}), text))
}

/// `in_full`: times with their date, not only their distance.
fn fields(token: &Token, in_full: bool) -> [String; 7] {
    let past = if in_full { when } else { ago };
    let due = if in_full { when } else { distance };
    let used = match (&token.last_used_at, &token.last_used_from) {
        (Some(at), Some(from)) => format!("{} from {from}", past(at)),
        (Some(at), None) => past(at),
        (None, _) => "never".to_owned(),
    };
    let expires = token.expires_at.as_deref().map_or_else(|| "never".to_owned(), due);
    let state = token.state.replace('_', " ");
    let id = token.id.to_string();
    [id, token.user.clone(), token.name.clone(), state, token.scopes.join(","), expires, used]
}

fn card(token: &Token) -> String {
    let labels = ["id", "user", "name", "state", "scopes", "expires", "last used"];
    let fields: Vec<(&str, String)> = labels.into_iter().zip(fields(token, true)).collect();
    output::card(&fields)
}

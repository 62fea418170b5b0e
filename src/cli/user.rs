//! `stowage user`: creates, changes and removes users.

use serde_json::{Value, json};

use super::client::{self, Api, Received, segment};
use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;
use super::prompt::{self, PasswordSource};
use super::server_args::ServerArgs;
use super::words::{ago, when};
use crate::wire::{Absent, NewUser, User, UserChange};

/// Create, change and delete users
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stowage user add hanna --admin\n  stowage user passwd hanna --password-stdin < password\n  \
                  stowage user list"
)]
pub(super) struct Options {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List all users
    #[command(alias = "ls", after_help = "Examples:\n  stowage user list\n  stowage user list --json")]
    List,
    /// Show one user
    #[command(after_help = "Examples:\n  stowage user show hanna\n  stowage user show hanna --json")]
    Show {
        /// The user's name
        name: String,
    },
    /// Create a user, who may pull and push
    #[command(
        alias = "create",
        after_help = "Examples:\n  stowage user add hanna --admin\n  stowage user add ci --password-file /run/secrets/ci"
    )]
    Add {
        /// User name
        name: String,
        /// Grant permission to delete and to manage everything
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Give a user another password; tokens stay
    #[command(
        after_help = "Examples:\n  stowage user passwd hanna\n  stowage user passwd hanna --password-stdin < password"
    )]
    Passwd {
        /// The user's name
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Keep a user from signing in, from the next request on
    #[command(after_help = "Examples:\n  stowage user disable hanna\n  stowage user disable hanna --json")]
    Disable {
        /// The user's name
        name: String,
    },
    /// Let a user sign in again
    #[command(after_help = "Examples:\n  stowage user enable hanna\n  stowage user enable hanna --json")]
    Enable {
        /// The user's name
        name: String,
    },
    /// Remove a user with all tokens; what the user pushed stays
    #[command(
        alias = "rm",
        after_help = "Examples:\n  stowage user delete hanna\n  stowage user delete hanna --yes"
    )]
    Delete {
        /// The user's name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

impl Command for Options {
    fn name(&self) -> &'static str {
        match self.verb {
            Verb::List => "user list",
            Verb::Show { .. } => "user show",
            Verb::Add { .. } => "user add",
            Verb::Passwd { .. } => "user passwd",
            Verb::Disable { .. } => "user disable",
            Verb::Enable { .. } => "user enable",
            Verb::Delete { .. } => "user delete",
        }
    }

    fn server(&self) -> Option<&ServerArgs> {
        Some(&self.server)
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let open = || client::open(&self.server, context);
        let (data, text) = match &self.verb {
            Verb::List => list(&open()?, context)?,
            Verb::Show { name } => {
                let user: Received<User> = open()?.get(&path(name))?;
                let text = card(&user);
                (json!(user), text)
            }
            // Questions come first, because nothing may be held open while the user answers.
            Verb::Add { name, admin, password } => {
                let password = password.read(name, &context.environment)?;
                let new = NewUser { name: name.clone(), password: password.into_inner(), admin: *admin };
                let kind = if *admin { "admin" } else { "user" };
                (open()?.post("/api/v1/users", &new)?, format!("created the {kind} {name}"))
            }
            Verb::Passwd { name, password } => {
                let password = password.read(name, &context.environment)?;
                let change = UserChange { password: password.into_inner().into(), ..UserChange::default() };
                (
                    open()?.patch(&path(name), &change)?,
                    format!("{name} has a new password; tokens stay as they are"),
                )
            }
            Verb::Disable { name } => {
                (open()?.patch(&path(name), &disabled(true))?, format!("{name} cannot sign in any more"))
            }
            Verb::Enable { name } => {
                (open()?.patch(&path(name), &disabled(false))?, format!("{name} can sign in again"))
            }
            Verb::Delete { name, yes } => {
                let api = open()?;
                let user: Received<User> = api.get(&path(name))?;
                prompt::confirm(*yes, &format!("Remove the user {name} with all tokens?"))?;
                api.delete(&path(name))?;
                (json!(user), format!("removed the user {name} with all tokens"))
            }
        };
        context.say(&data, &text)?;
        Ok(Exit::Done)
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/users/{}", segment(name))
}

fn list(api: &Api, context: &Context) -> Result<(Value, String), Failure> {
    let users: Vec<Received<User>> = api.list("/api/v1/users", "")?;
    let headings = ["NAME", "ROLE", "STATE", "CREATED"];
    let time: fn(&str) -> String = if context.is_wide() { when } else { ago };
    let text = output::list(
        &users,
        headings,
        context.width(),
        |user| row(user, time),
        "no user yet; make one: stowage user add NAME --admin",
    );
    Ok((json!({"users": users}), text))
}

fn disabled(disabled: bool) -> UserChange {
    UserChange { disabled: Absent::from(disabled), ..UserChange::default() }
}

fn row(user: &User, time: fn(&str) -> String) -> [String; 4] {
    let role = if user.admin { "admin" } else { "user" };
    let state = if user.disabled { "disabled" } else { "active" };
    [user.name.clone(), role.to_owned(), state.to_owned(), time(&user.created_at)]
}

fn card(user: &User) -> String {
    let [name, role, state, created] = row(user, when);
    output::card(&[("name", name), ("role", role), ("state", state), ("created", created)])
}

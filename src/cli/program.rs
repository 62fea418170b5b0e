//! `stowage` as a program: its commands, and what its exit code says.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::errors::{Exit, Failure};
use super::{
    check_config, completions, fsck, init, man, output, probe, repo, serve, status, tag, token, user, version,
};
use crate::config::Environment;

#[derive(Parser)]
#[command(
    name = "stowage",
    version,
    about = "A complete OCI/Docker container registry in one binary",
    after_help = "Examples:\n  stowage serve\n  stowage fsck --deep"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone)]
pub(super) struct Global {
    /// Read the settings from FILE, and from conf.d/*.toml beside it
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Write no colours (also: `NO_COLOR=1`)
    #[arg(long, global = true)]
    pub(super) no_color: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the registry
    Serve(serve::Options),
    /// Say whether the server runs and what it holds
    Status(status::Options),
    /// Write a configuration file to start from
    Init(init::Options),
    /// Check the configuration; nothing is started
    CheckConfig(check_config::Options),
    /// Make, change and remove users
    User(user::Options),
    /// Make and revoke the tokens that users sign in with instead of a password
    Token(token::Options),
    /// List, show and delete repositories
    Repo(repo::Options),
    /// List and delete tags
    Tag(tag::Options),
    /// Check that everything stored is there and whole; the server must not run
    Fsck(fsck::Options),
    /// Write what completes commands in a shell
    Completions(completions::Options),
    /// Write the manual pages
    Man(man::Options),
    /// Say which version this is
    Version(version::Options),
    #[command(hide = true)]
    FsckChild(fsck::ChildOptions),
    #[command(hide = true)]
    Probe(probe::ChildOptions),
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to be said if even this cannot be written.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let json = cli.command.json();
    let exit = cli.run().unwrap_or_else(|failure| {
        match json {
            Some(command) => output::json_failure(command, &failure),
            None => output::note(&failure.to_string()),
        }
        failure.exit
    });
    ExitCode::from(exit.code())
}

impl Cli {
    fn run(self) -> Result<Exit, Failure> {
        let environment = Environment::of_process();
        match self.command {
            Command::Serve(options) => serve::run(&options, &self.global, &environment),
            Command::Status(options) => status::run(&options, &self.global, &environment),
            Command::Init(options) => init::run(&options),
            Command::CheckConfig(options) => check_config::run(&options, &self.global, &environment),
            Command::Repo(options) => repo::run(&options, &self.global, &environment),
            Command::Tag(options) => tag::run(&options, &self.global, &environment),
            Command::Completions(options) => completions::run(&options, &Self::command()),
            Command::Man(options) => man::run(&options, Self::command()),
            Command::User(options) => user::run(&options, &self.global, &environment),
            Command::Token(options) => token::run(&options, &self.global, &environment),
            Command::Fsck(options) => fsck::run(&options, &self.global, &environment),
            Command::Version(options) => version::run(&options),
            Command::FsckChild(options) => Ok(fsck::run_child(&options)),
            Command::Probe(options) => Ok(probe::run_child(&options)),
        }
    }
}

impl Command {
    /// The name for the JSON document, when one was asked for.
    fn json(&self) -> Option<&'static str> {
        match self {
            Self::Status(options) if options.reach.json => Some(status::NAME),
            Self::CheckConfig(options) if options.json => Some(check_config::NAME),
            Self::Repo(options) if options.reach.json => Some(options.name()),
            Self::Tag(options) if options.reach.json => Some(options.name()),
            Self::User(options) if options.reach.json => Some(options.name()),
            Self::Token(options) if options.reach.json => Some(options.name()),
            Self::Fsck(options) if options.json => Some(fsck::NAME),
            Self::Version(options) if options.json => Some(version::NAME),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shown_command_has_a_description_and_two_examples() {
        let mut commands: Vec<clap::Command> = Cli::command().get_subcommands().cloned().collect();
        while let Some(command) = commands.pop() {
            if command.is_hide_set() {
                continue;
            }
            commands.extend(command.get_subcommands().cloned());
            let help = command.clone().render_long_help().to_string();
            let examples = help.split("Examples:").nth(1).unwrap_or_default();
            assert!(examples.matches("\n  stowage ").count() >= 2, "{help}");
            assert!(command.get_about().is_some(), "{help}");
        }
    }

    #[test]
    fn wrong_usage_is_exit_code_2() {
        for arguments in [
            vec!["stowage"],
            vec!["stowage", "sevre"],
            vec!["stowage", "serve", "--listen", "localhost:5000"],
            vec!["stowage", "serve", "--log-level", "loud"],
            vec!["stowage", "serve", "--ephemeral", "--data-dir", "/x"],
        ] {
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{arguments:?}");
        }
        for arguments in [["stowage", "--help"], ["stowage", "--version"]] {
            assert_eq!(Cli::try_parse_from(arguments).err().unwrap().exit_code(), 0);
        }
    }
}

//! `stowage` as a program: its commands, and what its exit code says.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::errors::{Exit, Failure, Typed};
use super::global::Global;
use super::output::Format;
use super::{
    absent, check_config, completions, fsck, init, man, manifest, openapi, output, probe, rebuild, repo,
    serve, status, tag, token, usage, user, version,
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

#[derive(Subcommand)]
enum Command {
    /// Run the registry
    Serve(serve::Options),
    /// Show whether the server runs, how it is, and what it holds
    Status(status::Options),
    /// Print a configuration file to start from
    Init(init::Options),
    /// Check the configuration without starting anything
    CheckConfig(check_config::Options),
    /// Create, change and delete users
    User(user::Options),
    /// Create and revoke tokens, which users sign in with instead of a password
    Token(token::Options),
    /// List, show and delete repositories
    Repo(repo::Options),
    /// List and delete tags
    Tag(tag::Options),
    /// List and delete manifests, including those without a tag
    Manifest(manifest::Options),
    /// Check that everything stored is present and intact
    Fsck(fsck::Options),
    /// Recover a lost or corrupt database from a dump
    Rebuild(rebuild::Options),
    /// Generate shell completions
    Completions(completions::Options),
    /// Generate manual pages
    Man(man::Options),
    /// Print the `OpenAPI` document of the admin API
    Openapi(openapi::Options),
    /// Print the version
    Version(version::Options),
    #[command(hide = true)]
    FsckChild(fsck::ChildOptions),
    #[command(hide = true)]
    Probe(probe::ChildOptions),
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let parsed = usage::described(Cli::command())
        .try_get_matches()
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let format = output::format_of(std::env::args());
            let command = usage::command_of(Cli::command(), std::env::args());
            if let Some(failure) = absent::explained(&error) {
                output::failure(format, &command, &failure);
                return ExitCode::from(failure.exit.code());
            }
            let error = absent::without_far_suggestions(error);
            if error.use_stderr() && format != Format::Human {
                output::failure(format, &command, &usage::failure(&error, &command));
            } else {
                // Nothing is left to be said if even this cannot be written.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let (format, name) = cli.command.form();
    let typed = cli.command.typed(&cli.global);
    let exit = cli.run().unwrap_or_else(|failure| {
        let failure = failure.completed(&typed);
        if failure.exit == Exit::Done && format == Format::Human {
            output::note(&failure.what);
        } else {
            output::failure(format, name, &failure);
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
            Command::Manifest(options) => manifest::run(&options, &self.global, &environment),
            Command::Completions(options) => completions::run(&options, &usage::described(Self::command())),
            Command::Man(options) => man::run(&options, usage::described(Self::command())),
            Command::User(options) => user::run(&options, &self.global, &environment),
            Command::Token(options) => token::run(&options, &self.global, &environment),
            Command::Fsck(options) => fsck::run(&options, &self.global, &environment),
            Command::Rebuild(options) => rebuild::run(&options, &self.global, &environment),
            Command::Openapi(options) => openapi::run(&options),
            Command::Version(options) => version::run(&options),
            Command::FsckChild(options) => Ok(fsck::run_child(&options)),
            Command::Probe(options) => Ok(probe::run_child(&options)),
        }
    }
}

impl Command {
    /// The flags that name a server or its data.
    fn typed(&self, global: &Global) -> Typed {
        match self {
            Self::Status(options) => options.reach.typed(global),
            Self::Repo(options) => options.reach.typed(global),
            Self::Tag(options) => options.reach.typed(global),
            Self::Manifest(options) => options.reach.typed(global),
            Self::User(options) => options.reach.typed(global),
            Self::Token(options) => options.reach.typed(global),
            Self::Fsck(options) => options.reach.typed(global),
            Self::Serve(options) => options.typed(global),
            Self::Rebuild(options) => options.typed(global),
            _ => global.typed(),
        }
    }

    /// How it writes, and its name for programs.
    fn form(&self) -> (Format, &'static str) {
        match self {
            Self::Status(options) => (options.reach.format(), status::NAME),
            Self::CheckConfig(options) => (options.form.format(), check_config::NAME),
            Self::Repo(options) => (options.reach.format(), options.name()),
            Self::Tag(options) => (options.reach.format(), options.name()),
            Self::Manifest(options) => (options.reach.format(), options.name()),
            Self::User(options) => (options.reach.format(), options.name()),
            Self::Token(options) => (options.reach.format(), options.name()),
            Self::Fsck(options) => (options.reach.format(), fsck::NAME),
            Self::Rebuild(options) => (options.form.format(), rebuild::NAME),
            Self::Version(options) => (options.form.format(), version::NAME),
            _ => (Format::Human, ""),
        }
    }
}

/// Whether a command line is one.
#[cfg(test)]
pub(super) fn known<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), clap::Error> {
    Cli::try_parse_from(words).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shown_command_has_a_description_and_two_examples_that_fit_a_terminal() {
        let mut commands = vec![usage::described(Cli::command()).term_width(80)];
        commands[0].build();
        while let Some(command) = commands.pop() {
            if command.is_hide_set() || command.get_name() == "help" {
                continue;
            }
            commands.extend(command.get_subcommands().cloned().map(|command| command.term_width(80)));
            let help = command.clone().render_help().to_string();
            let examples = help.split("Examples:").nth(1).unwrap_or_default();
            assert!(examples.matches("\n  stowage ").count() >= 2, "{help}");
            assert!(examples.lines().all(|line| line.is_empty() || line.starts_with("  ")), "{help}");
            assert!(command.get_about().is_some(), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
            assert!(!help.contains('`'), "{help}");
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

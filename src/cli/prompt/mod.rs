//! Questions on a terminal: for a password, which is not shown, or whether to continue.

mod unseen;

use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use self::unseen::Unseen;
use super::errors::{Exit, Failure};
use super::output;
use super::visible::one_line;
use crate::auth::{PASSWORD_LENGTH, password_length_problem};
use crate::config::{Environment, SecretFile};
use crate::telemetry::Secret;

/// The most bytes of a password on stdin; the server checks its length.
const MAX_PASSWORD: u64 = 64 << 10;

/// The source of a new password. It is never an argument, because every user of the computer can read those.
#[derive(clap::Args)]
pub(super) struct PasswordSource {
    /// Read the password from stdin
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// Read the password from FILE, which only its owner and group may read, or from `credential:NAME`
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordSource {
    /// The new password of `user`.
    pub(super) fn read(&self, user: &str, environment: &Environment) -> Result<Secret<String>, Failure> {
        if let Some(file) = &self.password_file {
            return Ok(Secret::new(SecretFile::new(file.to_string_lossy()).read(environment)?));
        }
        if self.password_stdin {
            return from_stdin();
        }
        if !is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "PASSWORD_MISSING",
                "there is no terminal to ask for the password",
            )
            .fix("add --password-stdin or --password-file FILE"));
        }
        let (least, most) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
        let first = ask_unseen(&format!("New password for {user} ({least} to {most} characters): "))?;
        // A password that the server would refuse is not asked for a second time.
        check_length(first.expose())?;
        let second = ask_unseen("Repeat password: ")?;
        if first.expose() != second.expose() {
            return Err(Failure::new(Exit::Usage, "PASSWORDS_DIFFER", "the two passwords are not the same"));
        }
        Ok(first)
    }
}

/// The flags of a command that deletes content.
#[derive(clap::Args)]
pub(super) struct Deletion {
    /// Do not ask
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit with 10 when something would be deleted
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
}

impl Deletion {
    /// Asks about `what`. For a dry run it returns the exit code.
    pub(super) fn ask(&self, what: &str) -> Result<Option<Exit>, Failure> {
        match (self.dry_run, self.exit_code) {
            (true, true) => Ok(Some(Exit::SomethingToDo)),
            (true, false) => Ok(Some(Exit::Done)),
            (false, _) => confirm(self.yes, &format!("Delete {what}?")).map(|()| None),
        }
    }

    /// The same. When the user is asked, `more` describes it; when that fails, `what` does.
    pub(super) fn ask_with(
        &self,
        what: &str,
        more: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<Option<Exit>, Failure> {
        let is_asked = !self.yes && !self.dry_run && is_terminal();
        match is_asked.then(more) {
            Some(Ok(more)) => self.ask(&more),
            _ => self.ask(what),
        }
    }
}

/// Asks whether to continue, unless `yes` was given.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "NOT_CONFIRMED",
            "there is no terminal to ask whether to go on",
        )
        .fix("add --yes"));
    }
    output::write_note(&format!("{} [y/N] ", one_line(question)));
    let answer = line()?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    // The user's "no" is not an error.
    Err(Failure::new(Exit::Done, "NOT_CONFIRMED", "nothing was changed"))
}

fn check_length(password: &str) -> Result<(), Failure> {
    let length = password.chars().count();
    if PASSWORD_LENGTH.contains(&length) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "PASSWORD_INVALID", password_length_problem(length)))
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn unreadable(error: impl Display) -> Failure {
    Failure::new(Exit::Failed, "STDIN", "cannot read from stdin").because(error.to_string())
}

fn from_stdin() -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Secret::new(without_newline(text)))
}

fn ask_unseen(question: &str) -> Result<Secret<String>, Failure> {
    // The echo is off before the question, because the user may type as soon as it is shown.
    let unseen = Unseen::begin().map_err(unreadable)?;
    output::write_note(&one_line(question));
    let answer = line();
    drop(unseen);
    // The terminal did not show the typed newline either.
    output::write_note("\n");
    answer.map(Secret::new)
}

fn line() -> Result<String, Failure> {
    let mut text = String::new();
    match io::stdin().lock().read_line(&mut text) {
        Ok(0) => Err(unreadable("it has ended")),
        Ok(_) => Ok(without_newline(text)),
        Err(error) => Err(unreadable(error)),
    }
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

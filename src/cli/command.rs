//! The interface of every command.

use super::context::Context;
use super::errors::{Exit, Failure, Typed};
use super::output::Form;
use super::server_args::ServerArgs;

/// A command with its flags and arguments, as clap has parsed them.
pub(super) trait Command {
    /// Its name in JSON output: `user add`.
    fn name(&self) -> &'static str;

    /// The flags that select a server or its store, if the command works on one.
    fn server(&self) -> Option<&ServerArgs> {
        None
    }

    /// The flags for its output; a command without them writes text.
    fn form(&self) -> Form {
        self.server().map(ServerArgs::form).unwrap_or_default()
    }

    /// The flags of this run that commands in error messages must repeat, apart from the global ones.
    fn typed(&self) -> Typed {
        self.server().map(ServerArgs::typed).unwrap_or_default()
    }

    /// Does the work, and writes its result.
    ///
    /// # Errors
    /// What failed, with the exit code and the fix.
    fn run(&self, context: &Context) -> Result<Exit, Failure>;
}

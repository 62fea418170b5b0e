//! What every command of the program implements.

use super::context::Context;
use super::errors::{Exit, Failure, Typed};
use super::output::Form;
use super::server_args::ServerArgs;

/// A command with its flags and arguments, as clap has read them.
pub(super) trait Command {
    /// Its name in the JSON document: `user add`.
    fn name(&self) -> &'static str;

    /// The flags that name a server or its store, when it works on one.
    fn server(&self) -> Option<&ServerArgs> {
        None
    }

    /// The flags that say how it writes; a command without them writes for people.
    fn form(&self) -> Form {
        self.server().map(ServerArgs::form).unwrap_or_default()
    }

    /// The flags of this run that a command in a remedy repeats, apart from the global ones.
    fn typed(&self) -> Typed {
        self.server().map(ServerArgs::typed).unwrap_or_default()
    }

    /// Does the work, and writes its result.
    ///
    /// # Errors
    /// What failed, with the exit code and the remedy.
    fn run(&self, context: &Context) -> Result<Exit, Failure>;
}

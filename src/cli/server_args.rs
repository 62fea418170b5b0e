//! The flags of commands that work on a server or its store.

use std::path::PathBuf;

use super::errors::{Failure, Typed};
use super::output::Form;

/// Flags of every command that works on a server or its store.
#[derive(clap::Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    form: Form,
    /// Talk to this server: `https://registry.lan`, or a socket such as `unix:/run/stowage/admin.sock` (also:
    /// `STOWAGE_SERVER`)
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    pub(super) server: Option<String>,
    /// Sign in to that server with the token in FILE, which only its owner and group may read, or in
    /// `credential:NAME` (also: the token itself in `STOWAGE_TOKEN`)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(super) token_file: Option<PathBuf>,
    /// Trust the CA certificates in FILE (PEM) instead of the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = "Server")]
    pub(super) ca_file: Option<PathBuf>,
    /// Open the store directly; no server may be running
    #[arg(long, global = true, conflicts_with = "server", help_heading = "Server")]
    pub(super) offline: bool,
    /// The data directory
    #[arg(long, global = true, value_name = "DIR", help_heading = "Server")]
    pub(super) data_dir: Option<PathBuf>,
}

impl ServerArgs {
    /// The flags for the output.
    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// Explains in the terms of this command line why the store could not be opened.
    pub(super) fn explained(&self, failure: Failure) -> Failure {
        match failure.code.as_str() {
            "STORE_IN_USE" if self.offline => failure.first_fix("go through the server: drop --offline"),
            "STORE_IN_USE" => failure
                .context("why", "it answers at no admin socket")
                .fix("or give a server that holds it a socket: auth.admin_socket.enabled and auth.admin_socket.path"),
            _ => failure,
        }
    }

    /// The flags that select the server or its data.
    pub(super) fn typed(&self) -> Typed {
        let server = self.server.as_ref().map(|server| {
            let files = [("--token-file", &self.token_file), ("--ca-file", &self.ca_file)];
            let files = files.into_iter().filter_map(|(name, file)| Typed::flag(name, file.as_deref()));
            std::iter::once(format!("--server {server}")).chain(files).collect::<Vec<_>>().join(" ")
        });
        Typed { server, data_dir: Typed::flag("--data-dir", self.data_dir.as_deref()), ..Typed::default() }
    }
}

//! The admin socket of a server that starts.

use std::path::Path;

use crate::cli::errors::{Exit, Failure};
use crate::config::{self, Environment, Loaded};
use crate::server::{AdminSocket, SocketError};

/// Listens at the path of the settings. If no setting names the path and listening fails, the server starts
/// without a socket.
pub(super) fn bind(
    loaded: &Loaded,
    environment: &Environment,
    data_dir: &Path,
) -> Result<Option<AdminSocket>, Failure> {
    let Some(path) = config::admin_socket(loaded, environment, data_dir) else { return Ok(None) };
    let settings = &loaded.config.auth.admin_socket;
    match AdminSocket::bind(&path, settings.mode.bits()) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if settings.path.as_os_str().is_empty() => {
            // Commands find this path, too, because the LOCK file names it.
            let own = config::own_socket(data_dir);
            match AdminSocket::bind(&own, settings.mode.bits()) {
                Ok(socket) => {
                    tracing::warn!(%error, socket = %own.display(), "the admin socket is in the data directory instead");
                    Ok(Some(socket))
                }
                Err(own) => {
                    tracing::warn!(%error, %own, "no admin socket: commands cannot reach this server; set auth.admin_socket.path");
                    Ok(None)
                }
            }
        }
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &SocketError) -> Failure {
    let failure = Failure::new(Exit::Failed, "ADMIN_SOCKET_FAILED", "cannot make the admin socket");
    let failure = failure.because(error.to_string());
    match error {
        SocketError::InUse { .. } => {
            failure.fix("stop that server, or set auth.admin_socket.path to another place")
        }
        SocketError::Io { .. } => {
            failure.fix("set auth.admin_socket.path to a place where this user may write")
        }
    }
}

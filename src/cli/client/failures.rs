//! Failures to reach a server, and responses that are not those of a Stowage server.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::{fmt, fs, io};

use serde::Deserialize;

use super::target::{Remote, Target};
use crate::cli::errors::{Exit, Failure};
use crate::config::{group_name, user_name};

pub(super) fn nobody_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The error of a refused request: a problem of the admin API, or a response of another part of the server in
/// the form of the registry's errors.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    code: String,
    detail: String,
    fix: String,
    errors: Vec<RegistryError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RegistryError {
    code: String,
    message: String,
}

impl Refusal {
    /// A refusal with this detail.
    pub(super) fn of(detail: String) -> Self {
        Self { detail, ..Self::default() }
    }
}

/// The failure for a refusal of the admin API, with its exit code.
pub(super) fn refused(target: &Target, status: u16, refusal: &Refusal) -> Failure {
    let exit = match status {
        400 | 413 | 415 => Exit::Usage,
        401 => Exit::Unreachable,
        403 | 409 | 412 => Exit::Refused,
        404 => Exit::NotFound,
        _ => Exit::Failed,
    };
    let (code, detail, fix) = match refusal.errors.first() {
        Some(first) => (first.code.as_str(), first.message.as_str(), ""),
        None => (refusal.code.as_str(), refusal.detail.as_str(), refusal.fix.as_str()),
    };
    let what = match target {
        Target::Remote(Remote { token: None, .. }) if status == 401 => "the server does not know who you are",
        _ if detail.is_empty() => "the server failed",
        _ => detail,
    };
    let code = if code.is_empty() { "UNKNOWN" } else { code };
    let failure = Failure::new(exit, code, what);
    let failure = match target {
        Target::Socket(_) => failure,
        Target::Remote(remote) => failure.line("tried", &remote.url),
    };
    match target {
        Target::Remote(remote) if status == 401 => failure.fix(match remote.token {
            None => "add --token-file FILE or set STOWAGE_TOKEN",
            Some(_) => "make another token on the server: stowage token create USER --name NAME --scopes api",
        }),
        _ if fix.is_empty() => failure,
        _ => failure.fix(fix),
    }
}

pub(super) fn no_answer(target: &Target, error: &impl fmt::Display) -> Failure {
    Failure::new(Exit::Unreachable, "SERVER_ANSWER", "the response is not from a Stowage server")
        .line("tried", target.to_string())
        .because(error.to_string())
}

pub(super) fn unreachable(target: &Target, error: &io::Error) -> Failure {
    let failure = |code| Failure::new(Exit::Unreachable, code, "cannot reach the Stowage server");
    let tried = format!("{target}: {error}");
    let socket = match target {
        Target::Socket(socket) => socket,
        Target::Remote(remote) => {
            let failure = failure("SERVER_UNREACHABLE").line("tried", tried);
            return match &remote.tls {
                Some(_) if is_about_certificate(error) => failure.fix(
                    "name the CA that signed the server's certificate, or that certificate itself: --ca-file FILE, and the server by a name that is in it",
                ),
                Some(_) => failure.fix("is it running, and does it speak TLS there?"),
                None => failure.fix("is it running there?  With TLS it is https://"),
            };
        }
    };
    if error.kind() != io::ErrorKind::PermissionDenied {
        return failure("SERVER_UNREACHABLE").line("tried", tried).fix("is it running?  stowage serve");
    }
    denied(socket, failure("ADMIN_SOCKET_DENIED").line("tried", tried))
}

fn is_about_certificate(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some_and(|error| {
        matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    })
}

fn denied(socket: &Path, failure: Failure) -> Failure {
    let found = fs::metadata(socket).ok();
    let group = found.as_ref().and_then(|found| group_name(found.gid()));
    let user = user_name(rustix::process::geteuid().as_raw());
    let why = match (&found, &group) {
        (Some(found), Some(group)) => {
            let owner = user_name(found.uid());
            format!("the socket is {owner}:{group} {:04o}, you are {user}", found.mode() & 0o777)
        }
        _ => format!("you are {user}"),
    };
    let failure = failure.because(why).fix("run the same command with sudo");
    match group {
        Some(group) if group != "root" => {
            failure.fix(format!("or: sudo usermod -aG {group} {user}   and sign in again"))
        }
        _ => failure,
    }
}

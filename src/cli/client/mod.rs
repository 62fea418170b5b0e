//! Connects a command with its data: the running server's admin API over its Unix socket or over the network,
//! or the same API on the store itself if no server runs.

mod failures;
mod received;
pub(super) mod running;
mod target;
mod transport;
mod trust;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

pub(super) use self::received::Received;

use self::failures::{Refusal, no_answer, refused, unreachable};
use self::target::Target;
use self::transport::exchange;
use super::context::Context;
use super::data_dir;
use super::errors::{Exit, Failure};
use super::offline::Offline;
use super::output::{self, Format};
use super::server_args::ServerArgs;
use crate::config::{self, Environment, Flags, Loaded, Source};
use crate::model::percent_encoded;
use crate::server::connect_socket;
use crate::wire::List;

/// Entries per page: the most that the API permits.
const PART: usize = 500;
/// The most pages of a list: five million entries, or twenty million manifests of which a filter skips most.
const MAX_PARTS: usize = 10_000;

/// Where the data was found.
pub(super) enum Found {
    /// A running server has it.
    Server(Api),
    /// No server has the store open.
    Store(Box<Store>),
}

/// A store that no server has open.
pub(super) struct Store {
    pub(super) loaded: Loaded,
    pub(super) data_dir: PathBuf,
    pub(super) blob_dir: PathBuf,
}

/// The admin API of a server, or of a store in this process.
pub(super) struct Api {
    target: Target,
    /// The store, if this process has opened it.
    offline: Option<Offline>,
}

/// Finds the server, or opens the store if there is none.
pub(super) fn open(args: &ServerArgs, context: &Context) -> Result<Api, Failure> {
    match find(args, context)? {
        Found::Server(api) => Ok(api),
        Found::Store(store) => {
            let Store { loaded, data_dir, .. } = *store;
            let opened = Offline::open(loaded.config, &data_dir);
            let offline = opened.map_err(|failure| args.explained(failure))?;
            Ok(Api { target: Target::Socket(offline.socket().to_owned()), offline: Some(offline) })
        }
    }
}

/// Finds the server, or the store if there is none.
pub(super) fn find(args: &ServerArgs, context: &Context) -> Result<Found, Failure> {
    let environment = &context.environment;
    let named = match &args.server {
        Some(server) => Some(server.clone()),
        None if args.offline => None,
        None => environment.get("STOWAGE_SERVER").map(|server| server.to_string_lossy().into_owned()),
    };
    if let Some(server) = named {
        let target =
            Target::named(&server, args.token_file.as_deref(), args.ca_file.as_deref(), environment)?;
        return Ok(Found::Server(Api { target, offline: None }));
    }
    let flags = Flags { data_dir: args.data_dir.clone(), ..Flags::default() };
    let loaded = context.load(flags)?;
    let (data_dir, blob_dir) = context.directories(&loaded)?;
    if !args.offline {
        let socket = match reachable(&loaded, environment, &data_dir)? {
            None if names_nothing(&loaded, context) => elsewhere(&data_dir, context.format())?,
            socket => socket,
        };
        if let Some(socket) = socket {
            return Ok(Found::Server(Api { target: Target::Socket(socket), offline: None }));
        }
    }
    Ok(Found::Store(Box::new(Store { loaded, data_dir, blob_dir })))
}

/// The only running server of this user, if the command names no data and there is none in the default place.
fn elsewhere(data_dir: &Path, format: Format) -> Result<Option<PathBuf>, Failure> {
    if data_dir::has_store(data_dir) {
        return Ok(None);
    }
    match running::own().as_slice() {
        [] => Ok(None),
        [running] => {
            if format == Format::Human {
                output::note(&format!("using the server that runs with {}", running.shown()));
            }
            Ok(Some(running.socket().to_owned()))
        }
        several => {
            let failure =
                Failure::new(Exit::Usage, "SERVER_AMBIGUOUS", "several servers run: name one of them");
            Err(several.iter().fold(failure, |failure, running| failure.fix(running.flag())))
        }
    }
}

/// The socket of the server that has the data, which its LOCK file names; else the socket of the settings.
fn reachable(
    loaded: &Loaded,
    environment: &Environment,
    data_dir: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let cannot = |(socket, error)| unreachable(&Target::Socket(socket), &error);
    if let Some(socket) = running::holding(data_dir).map_err(cannot)? {
        return Ok(Some(socket));
    }
    let Some(socket) = config::admin_socket(loaded, environment, data_dir) else { return Ok(None) };
    match connect_socket(&socket) {
        Ok(_) => Ok(Some(socket)),
        Err(error) if failures::nobody_there(&error) => Ok(None),
        Err(error) => Err(cannot((socket, error))),
    }
}

/// Whether flags, environment and files say nothing about where the data is.
fn names_nothing(loaded: &Loaded, context: &Context) -> bool {
    let is_set = |name| context.environment.get(name).is_some();
    loaded.source("storage.data_dir") == Source::Default
        && context.global.config.is_none()
        && !is_set("STOWAGE_CONFIG")
        && !is_set("STATE_DIRECTORY")
}

impl Api {
    /// The address of the running server; `None` if this process has the store.
    pub(super) fn server(&self) -> Option<String> {
        self.offline.is_none().then(|| self.target.to_string())
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call("GET", path, "")
    }

    /// All entries of a list. `query` has the list's own parameters, each preceded by `&`.
    pub(super) fn list<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<Vec<T>, Failure> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        let mut cursor = String::new();
        loop {
            let part: List<T> = self.get(&format!("{path}?limit={PART}{cursor}{query}"))?;
            all.extend(part.items);
            let Some(next) = part.next_cursor else { return Ok(all) };
            cursor = format!("&cursor={}", segment(&next));
            // A server that is broken or hostile would hold the command for ever.
            if !seen.insert(next) || seen.len() >= MAX_PARTS {
                return Err(no_answer(&self.target, &"its list does not end"));
            }
        }
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call("POST", path, &encoded(body)?)
    }

    pub(super) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call("PUT", path, &encoded(body)?)
    }

    pub(super) fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call("PATCH", path, &encoded(body)?)
    }

    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.end::<IgnoredAny>(path).map(drop)
    }

    /// Deletes something, and returns the server's description of it.
    pub(super) fn end<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call("DELETE", path, "")
    }

    /// Sends one request. A response without a body is `null`; a problem is a failure.
    fn call<T: DeserializeOwned>(&self, method: &str, path: &str, body: &str) -> Result<T, Failure> {
        let answer =
            exchange(&self.target, method, path, body).map_err(|error| unreachable(&self.target, &error))?;
        if !(200..300).contains(&answer.status) {
            // A proxy in between may answer with a page of its own.
            let refusal = serde_json::from_slice(&answer.body).unwrap_or_else(|_| {
                Refusal::of(format!("the server answered with status {}", answer.status))
            });
            return Err(refused(&self.target, answer.status, &refusal));
        }
        let body = if answer.body.is_empty() { b"null" } else { answer.body.as_slice() };
        serde_json::from_slice(body).map_err(|error| no_answer(&self.target, &error))
    }
}

fn encoded(body: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(body).map_err(|error| Failure::new(Exit::Failed, "REQUEST", error.to_string()))
}

/// A part of a path, or the value of a parameter, percent-encoded.
pub(super) fn segment(text: &str) -> String {
    let escaped = percent_encoded(text, b"-._~@:");
    // Dots alone would be a relative path, so they are encoded, too.
    if escaped.bytes().all(|byte| byte == b'.') { escaped.replace('.', "%2E") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        for (name, escaped) in [("a@b.c", "a@b.c"), ("a/b", "a%2Fb"), ("..", "%2E%2E"), ("ä?", "%C3%A4%3F")]
        {
            assert_eq!(segment(name), escaped);
        }
    }
}

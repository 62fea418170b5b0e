//! Tokens at the admin socket: their owner, and requests about them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::exchange::{Answer, PATIENCE, exchange, exchange_on};

/// The owner of all tokens.
const OWNER: &str = "keeper";
/// More tokens than one file system ever gets, and not more than one response may list.
const MOST: usize = 500;

/// Sends a request to the admin socket.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange_on(stream, method, path, &[("Content-Type", "application/json")], body.as_bytes())
}

/// Creates the owner of the tokens.
pub(crate) fn make_owner(socket: &Path) {
    let user = json!({"name": OWNER, "password": "canary-Quay-Violin-77"});
    let made = ask(socket, "POST", "/api/v1/users", &user.to_string()).expect("an answer");
    assert_eq!(made.status, 201, "{made:?}");
}

/// The body of a request for a token.
pub(crate) fn wanted(name: &str) -> String {
    json!({"user": OWNER, "name": name, "scopes": ["read_registry"]}).to_string()
}

/// The number and the secret in the response.
pub(crate) fn made(answer: &Answer) -> (u64, Option<String>) {
    let token: Value = serde_json::from_slice(&answer.body).expect("a token");
    (token["id"].as_u64().expect("a number"), token["secret"].as_str().map(str::to_owned))
}

/// The tokens that the server lists, with their numbers, or what is wrong with the list.
pub(crate) fn listed(socket: &Path) -> Result<BTreeMap<String, u64>, String> {
    let answer = ask(socket, "GET", &format!("/api/v1/tokens?user={OWNER}&limit={MOST}"), "");
    let answer = answer.map_err(|error| format!("the list of tokens: {error}"))?;
    let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(items) = list["items"].as_array().filter(|_| list["next_cursor"].is_null()) else {
        return Err(format!("the list of tokens: {answer:?}"));
    };
    let tokens: BTreeMap<String, u64> = items
        .iter()
        .filter_map(|token| Some((token["name"].as_str()?.to_owned(), token["id"].as_u64()?)))
        .collect();
    if tokens.len() == items.len() { Ok(tokens) } else { Err(format!("tokens are there twice: {list}")) }
}

/// Whether a secret signs its owner in. In an open registry only the token endpoint checks credentials.
pub(crate) fn opens(address: SocketAddr, secret: &str) -> Result<bool, String> {
    let credentials = STANDARD.encode(format!("{OWNER}:{secret}"));
    let headers = [("Authorization", &*format!("Basic {credentials}"))];
    match exchange(address, "GET", "/token?service=stowage", &headers, b"") {
        Ok(answer) if answer.status == 200 => Ok(true),
        Ok(answer) if answer.status == 401 => Ok(false),
        other => Err(format!("signing in with a token: {other:?}")),
    }
}

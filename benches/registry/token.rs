//! Bearer tokens: parses a registry's challenge and requests tokens from its token service.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::target::{resolve, split_url};

/// The lifetime of a token whose service names none.
const DEFAULT_LIFETIME: u64 = 60;

/// `WWW-Authenticate: Bearer realm="…",service="…"`
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    realm: String,
    service: Option<String>,
}

impl FromStr for Challenge {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, parameters) = text.split_once(' ').ok_or(())?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(());
        }
        let realm = parameter(parameters, "realm").ok_or(())?;
        Ok(Self { realm, service: parameter(parameters, "service") })
    }
}

/// A token and its lifetime.
pub(crate) struct Granted {
    pub(crate) token: String,
    pub(crate) lifetime: Duration,
}

/// Requests a token for all of these scopes.
pub(crate) async fn fetch(
    challenge: &Challenge,
    scopes: &[&str],
    credentials: Option<&str>,
) -> Result<Granted, Failure> {
    let (host, path) = split_url(&challenge.realm)?;
    let mut query = String::new();
    for (name, value) in
        challenge.service.iter().map(|service| ("service", service.as_str())).chain(scoped(scopes))
    {
        query += if query.is_empty() && !path.contains('?') { "?" } else { "&" };
        query += name;
        query += "=";
        query += &escape(value);
    }
    let authorization = credentials.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("GET {path}{query} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
    let mut body = Vec::new();
    let mut connection = Connection::open(resolve(&host)?).await?;
    connection.exchange(request.as_bytes(), 200, &mut |piece| body.extend_from_slice(piece)).await?;
    let answer: Value =
        serde_json::from_slice(&body).map_err(|error| Failure(format!("a token: {error}")))?;
    let token = ["token", "access_token"].iter().find_map(|key| answer[*key].as_str());
    let token = token.ok_or_else(|| Failure("the token service sent no token".into()))?.to_owned();
    let lifetime = Duration::from_secs(answer["expires_in"].as_u64().unwrap_or(DEFAULT_LIFETIME));
    Ok(Granted { token, lifetime })
}

fn scoped<'a>(scopes: &'a [&'a str]) -> impl Iterator<Item = (&'static str, &'a str)> {
    scopes.iter().map(|scope| ("scope", *scope))
}

fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
    None
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

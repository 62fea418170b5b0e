//! The URL under which clients know the server: a scheme and a host, without a path.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `https://registry.lan` or `http://10.0.0.7:5000`; empty: taken from each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicUrl(Option<(Scheme, String)>);

/// The scheme with which clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// With TLS, terminated here or in a proxy.
    Https,
}

/// Why a text is not a public URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It does not begin with `http://` or `https://`.
    #[error("`{0}` does not begin with https:// or http://; write for example `https://registry.lan`")]
    Scheme(String),
    /// It has no host, or characters that a host cannot have.
    #[error(
        "`{0}` does not name a host; write for example `https://registry.lan` or `https://10.0.0.7:5000`"
    )]
    Host(String),
    /// It has a path, a query or a fragment.
    #[error("`{0}` has something behind the host, where clients expect /v2/; write `{1}`")]
    Path(String, String),
}

impl PublicUrl {
    /// The scheme and the host, with a port where one was given.
    pub fn get(&self) -> Option<(Scheme, &str)> {
        self.0.as_ref().map(|(scheme, host)| (*scheme, host.as_str()))
    }

    /// Whether a request whose `Host` is `host` is for this URL. Case and the default port of the scheme do
    /// not matter.
    pub fn is_for(&self, host: &str) -> bool {
        self.get().is_some_and(|(scheme, ours)| {
            scheme.without_port(host).eq_ignore_ascii_case(scheme.without_port(ours))
        })
    }
}

impl Scheme {
    /// As in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }

    /// The host without its port, if that is the scheme's default.
    pub fn without_port(self, host: &str) -> &str {
        let port = match self {
            Self::Http => ":80",
            Self::Https => ":443",
        };
        host.strip_suffix(port).unwrap_or(host)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether `text` is a host, or a host and a port, that is valid in a URL.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if port.is_some_and(|port| {
        port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err()
    }) {
        return false;
    }
    if text.starts_with('[') {
        return host.parse::<Ipv6Addr>().is_ok();
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(is_part)
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let parts = text.split_once("://").and_then(|(scheme, rest)| Some((Scheme::named(scheme)?, rest)));
        let Some((scheme, rest)) = parts else { return Err(PublicUrlError::Scheme(text.to_owned())) };
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !is_authority(host) {
            return Err(PublicUrlError::Host(text.to_owned()));
        }
        let url = Self(Some((scheme, host.to_ascii_lowercase())));
        match path {
            "" | "/" => Ok(url),
            _ => Err(PublicUrlError::Path(text.to_owned(), url.to_string())),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((scheme, host)) => write!(f, "{scheme}://{host}"),
            None => Ok(()),
        }
    }
}

impl Serialize for PublicUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        for (text, shown) in [
            ("", ""),
            ("https://registry.lan", "https://registry.lan"),
            ("HTTPS://Registry.LAN/", "https://registry.lan"),
            ("http://10.0.0.7:5000", "http://10.0.0.7:5000"),
            ("https://[fd00::7]:8443", "https://[fd00::7]:8443"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_host_is_known_in_any_case_and_without_the_port_of_the_scheme() {
        let url = |text: &str| text.parse::<PublicUrl>().unwrap();
        for (text, host, known) in [
            ("https://Registry.lan", "registry.LAN", true),
            ("https://registry.lan", "registry.lan:443", true),
            ("https://registry.lan:443", "registry.lan", true),
            ("http://registry.lan:80", "registry.lan", true),
            ("http://registry.lan:5000", "registry.lan:5000", true),
            ("https://[fd00::443]", "[fd00::443]:443", true),
            ("https://registry.lan", "registry.lan:80", false),
            ("http://registry.lan", "registry.lan:443", false),
            ("https://registry.lan", "registry.lan:8443", false),
            ("https://registry.lan", "evil.example", false),
            ("", "", false),
        ] {
            assert_eq!(url(text).is_for(host), known, "{host} at {text}");
        }
    }

    #[test]
    fn anything_else_is_answered_with_what_to_write() {
        let error = |text: &str| text.parse::<PublicUrl>().unwrap_err().to_string();
        assert!(error("registry.lan").starts_with("`registry.lan` does not begin with https://"));
        assert!(error("ftp://registry.lan").starts_with("`ftp://registry.lan` does not begin"));
        for text in [
            "https://",
            "https:///v2",
            "https://a b",
            "https://me@host",
            "https://host:",
            "https://host:x",
            "https://::1",
            "https://host:70000",
            "https://[x]",
        ] {
            assert!(error(text).contains("does not name a host"), "{text}");
        }
        assert_eq!(
            error("https://registry.lan/registry/"),
            "`https://registry.lan/registry/` has something behind the host, where clients expect /v2/; write `https://registry.lan`"
        );
    }
}

//! Addresses to listen on: an IP address and a port; host names are not resolved.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Deserializer};

/// Parses `127.0.0.1:5000` or `[::]:5000`.
///
/// # Errors
/// A sentence that says what is missing and what to write instead.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    Err(match hint(text) {
        Some(hint) => format!("`{text}` is not an address and a port; write {hint}"),
        None => format!("`{text}` is not an address and a port like `127.0.0.1:5000` or `[::]:5000`"),
    })
}

fn hint(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(format!("`{ip}:5000`"));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
        return Some(format!("`[{ip}]:5000`"));
    }
    let bare = text.strip_prefix("*:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = bare.parse::<u16>() {
        return Some(format!("`127.0.0.1:{port}` for this computer alone, or `0.0.0.0:{port}`"));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    match host {
        "localhost" => Some(format!("`127.0.0.1:{port}`")),
        "::" => Some(format!("`[::]:{port}`")),
        _ if host.parse::<Ipv4Addr>().is_err() => Some(format!("the IP address of `{host}`, then `:{port}`")),
        _ => None,
    }
}

struct Address(SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_listen(&text).map(Address).map_err(serde::de::Error::custom)
    }
}

pub(super) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    Ok(Vec::<Address>::deserialize(deserializer)?.into_iter().map(|address| address.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_an_ip_and_a_port() {
        assert_eq!(parse_listen("127.0.0.1:5000").unwrap().port(), 5000);
        assert!(parse_listen("[::]:0").unwrap().is_ipv6());
        for (text, hint) in [
            ("localhost:5001", "write `127.0.0.1:5001`"),
            ("5001", "write `127.0.0.1:5001` for this computer alone, or `0.0.0.0:5001`"),
            (":5001", "write `127.0.0.1:5001` for this computer alone, or `0.0.0.0:5001`"),
            ("*:5001", "write `127.0.0.1:5001` for this computer alone, or `0.0.0.0:5001`"),
            ("10.0.0.7", "write `10.0.0.7:5000`"),
            ("::1", "write `[::1]:5000`"),
            (":::5000", "write `[::]:5000`"),
            ("registry.lan:443", "write the IP address of `registry.lan`, then `:443`"),
            ("registry.lan", "like `127.0.0.1:5000` or `[::]:5000`"),
            ("", "like `127.0.0.1:5000` or `[::]:5000`"),
        ] {
            let error = parse_listen(text).unwrap_err();
            assert!(error.ends_with(hint), "{text:?}: {error}");
        }
    }
}

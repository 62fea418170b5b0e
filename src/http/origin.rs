//! The address of a client, and the URL under which the client knows the server: from the socket, unless the
//! settings or a trusted proxy say otherwise.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HOST, HeaderMap, HeaderName};
use actix_web::web::Data;
use arc_swap::ArcSwap;

use crate::config::{Network, PublicUrl, Scheme, ServerConfig, is_authority};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The settings about proxies in front of the server and about its public URL. A reload changes them.
pub struct ProxySettings {
    settings: ArcSwap<Settings>,
    /// Which warnings about untrusted proxies were logged since the last change of settings.
    told: [AtomicBool; 3],
}

struct Settings {
    public_url: PublicUrl,
    trusted_proxies: Vec<Network>,
}

/// The listener's view of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Whether it uses TLS.
    pub is_secure: bool,
    /// The local address.
    pub local: Option<SocketAddr>,
}

/// The URL under which the client of a request knows the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The scheme that the client uses, to the server or to the proxy in front.
    pub(crate) scheme: Scheme,
    /// The host, with a port if there is one. It contains only characters that are valid in a host.
    pub(crate) host: String,
}

impl Origin {
    /// An absolute URL of this server: `https://registry.lan/token`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.host)
    }
}

impl ProxySettings {
    /// From the settings.
    pub fn new(config: &ServerConfig) -> Self {
        Self { settings: ArcSwap::from_pointee(Settings::of(config)), told: Default::default() }
    }

    /// Whether this is the address of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.settings.load().trusts(address.to_canonical())
    }

    /// Applies other settings.
    pub fn set(&self, config: &ServerConfig) {
        self.settings.store(Settings::of(config).into());
        for told in &self.told {
            told.store(false, Ordering::Relaxed);
        }
    }

    /// Warns once about the effects of a proxy that is not trusted: clients are redirected to a wrong scheme,
    /// and all of them count as one address. Any client can send these headers, so those from a distant
    /// address get a separate warning.
    fn note_proxy(&self, headers: &HeaderMap, peer: IpAddr, is_secure: bool) {
        let settings = self.settings.load();
        if settings.trusts(peer) {
            return;
        }
        let first_time = |flag: usize| !self.told[flag].swap(true, Ordering::Relaxed);
        let (peer, near) = (peer.to_canonical(), is_near(peer.to_canonical()));
        let spoken = if is_secure { Scheme::Https } else { Scheme::Http };
        let forwarded = first(headers, &FORWARDED_PROTO).and_then(Scheme::named);
        if settings.public_url.get().is_none()
            && forwarded.is_some_and(|forwarded| forwarded != spoken)
            && first_time(usize::from(near))
        {
            tracing::warn!(
                %peer,
                "a proxy sends X-Forwarded-Proto but is not trusted, so clients are told to use {spoken}://: add its \
                 address to server.trusted_proxies, or set server.public_url"
            );
        }
        if near && headers.contains_key(&FORWARDED_FOR) && first_time(2) {
            tracing::warn!(
                %peer,
                "a proxy sends X-Forwarded-For but is not trusted, so all its clients count as one address: add it to \
                 server.trusted_proxies"
            );
        }
    }
}

impl Settings {
    fn of(config: &ServerConfig) -> Self {
        Self { public_url: config.public_url.clone(), trusted_proxies: config.trusted_proxies.clone() }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The origin of a request with these headers from `peer`.
    fn origin(&self, headers: &HeaderMap, peer: Option<IpAddr>, connection: Option<Connection>) -> Origin {
        if let Some((scheme, host)) = self.public_url.get() {
            return Origin { scheme, host: host.to_owned() };
        }
        let is_trusted = peer.is_some_and(|peer| self.trusts(peer));
        let forwarded = |name: &HeaderName, parameter: &str| {
            is_trusted.then(|| first(headers, name).or_else(|| forwarded(headers, parameter))).flatten()
        };
        let is_secure = connection.is_some_and(|connection| connection.is_secure);
        let spoken = if is_secure { Scheme::Https } else { Scheme::Http };
        let scheme = forwarded(&FORWARDED_PROTO, "proto").and_then(Scheme::named).unwrap_or(spoken);
        let named = forwarded(&FORWARDED_HOST, "host").filter(|host| is_authority(host));
        let host = named.or_else(|| headers.get(HOST)?.to_str().ok().filter(|host| is_authority(host)));
        let local = || connection.and_then(|connection| connection.local);
        let host = host.map(str::to_owned).or_else(|| local().map(|local| local.to_string()));
        Origin { scheme, host: host.unwrap_or_else(|| "localhost".to_owned()) }
    }

    /// The client's address: the last address in `X-Forwarded-For` that is not a trusted proxy. Hops are
    /// parsed one by one from the last one on, so that a client that sends invalid bytes in the header cannot
    /// hide what the proxy has appended.
    fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        let mut hops: Vec<&[u8]> = headers
            .get_all(FORWARDED_FOR)
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|hop| !hop.is_empty())
            .collect();
        while self.trusts(client) {
            let Some(hop) = hops.pop().and_then(|hop| address(str::from_utf8(hop).ok()?)) else { break };
            client = hop;
        }
        client
    }
}

/// The URL under which the client of a request knows the server.
pub(crate) fn origin(request: &HttpRequest) -> Origin {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let connection = request.conn_data::<Connection>().copied();
    with_settings(request, |settings| settings.origin(request.headers(), peer, connection))
}

/// The address of the client, if it is known reliably.
pub(crate) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    if !request.headers().contains_key(&FORWARDED_FOR) {
        return Some(peer.to_canonical());
    }
    Some(with_settings(request, |settings| settings.client(request.headers(), peer)))
}

/// Whether `host` is the host of `server.public_url`.
pub(crate) fn is_public_host(request: &HttpRequest, host: &str) -> bool {
    with_settings(request, |settings| settings.public_url.is_for(host))
}

/// Checks the headers of a proxy that is not trusted: see [`ProxySettings::note_proxy`].
pub(crate) fn note_proxy(request: &HttpRequest) {
    let headers = request.headers();
    if !headers.contains_key(&FORWARDED_PROTO) && !headers.contains_key(&FORWARDED_FOR) {
        return;
    }
    let is_secure = request.conn_data::<Connection>().is_some_and(|connection| connection.is_secure);
    if let (Some(proxies), Some(peer)) = (request.app_data::<Data<ProxySettings>>(), request.peer_addr()) {
        proxies.note_proxy(headers, peer.ip(), is_secure);
    }
}

/// Whether an address is of this computer or of a private network, where the operator's own proxy would be.
const fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn with_settings<T>(request: &HttpRequest, work: impl FnOnce(&Settings) -> T) -> T {
    match request.app_data::<Data<ProxySettings>>() {
        Some(proxies) => work(&proxies.settings.load()),
        None => work(&Settings { public_url: PublicUrl::default(), trusted_proxies: Vec::new() }),
    }
}

/// The first element of a list in a header, which the proxy next to the client added.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.as_bytes().split(|byte| *byte == b',').next()?;
    str::from_utf8(value.trim_ascii()).ok().filter(|value| !value.is_empty())
}

/// A parameter of the first element of `Forwarded` (RFC 7239).
fn forwarded<'a>(headers: &'a HeaderMap, parameter: &str) -> Option<&'a str> {
    let pairs = first(headers, &FORWARDED)?.split(';').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(parameter));
    values.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7` or `[2001:db8::7]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let address: IpAddr = bare.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn settings(public_url: &str, trusted: &[&str]) -> Settings {
        Settings {
            public_url: public_url.parse().unwrap(),
            trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn url(settings: &Settings, lines: &[(&'static str, &str)], peer: &str, is_secure: bool) -> String {
        let connection = Connection { is_secure, local: Some("127.0.0.1:5000".parse().unwrap()) };
        settings.origin(&headers(lines), Some(peer.parse().unwrap()), Some(connection)).url("/token")
    }

    #[test]
    fn a_public_url_decides_whatever_a_request_says() {
        let settings = settings("https://registry.lan", &["10.0.0.0/8"]);
        let lines = [("host", "other:5000"), ("x-forwarded-host", "evil"), ("x-forwarded-proto", "http")];
        assert_eq!(url(&settings, &lines, "10.0.0.1", false), "https://registry.lan/token");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        let settings = settings("", &["10.0.0.0/8"]);
        let lines = [
            ("host", "backend:5000"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "registry.lan, inner"),
        ];
        assert_eq!(url(&settings, &lines, "10.0.0.1", false), "https://registry.lan/token");
        assert_eq!(url(&settings, &lines, "::ffff:10.0.0.1", false), "https://registry.lan/token");
        assert_eq!(url(&settings, &lines, "11.0.0.1", false), "http://backend:5000/token");
        let lines = [
            ("host", "b"),
            ("forwarded", "for=1.2.3.4;Proto=https;host=\"registry.lan:8443\", for=10.0.0.9;host=x"),
        ];
        assert_eq!(url(&settings, &lines, "10.0.0.1", false), "https://registry.lan:8443/token");
        assert_eq!(url(&settings, &lines, "11.0.0.1", true), "https://b/token");
    }

    #[test]
    fn what_no_host_may_hold_is_ignored() {
        let settings = settings("", &["10.0.0.1"]);
        let evil = "registry.lan\",scope=\"x";
        assert_eq!(url(&settings, &[("host", evil)], "10.0.0.1", true), "https://127.0.0.1:5000/token");
        let lines = [("host", "registry.lan"), ("x-forwarded-host", "a/b"), ("x-forwarded-proto", "gopher")];
        assert_eq!(url(&settings, &lines, "10.0.0.1", false), "http://registry.lan/token");
        assert_eq!(url(&settings, &[], "10.0.0.1", false), "http://127.0.0.1:5000/token");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let settings = settings("", &["10.0.0.0/8", "fd00::/8"]);
        for (peer, lines, client) in [
            ("192.0.2.1", vec!["198.51.100.1"], "192.0.2.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", vec!["1.1.1.1", "198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", vec!["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", vec!["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", vec!["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["ä, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1", "ä, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", vec![", 198.51.100.1,"], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
        ] {
            let lines: Vec<_> = lines.into_iter().map(|line| ("x-forwarded-for", line)).collect();
            let found = settings.client(&headers(&lines), peer.parse().unwrap());
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }
}

//! Refuses requests that a browser sends on behalf of a page of another site (cross-site request forgery, DNS
//! rebinding), before a handler sees them.
//!
//! A browser sends plain forms to any address, with the credentials that it has stored; and a page whose name
//! suddenly resolves to this computer (DNS rebinding) can read the responses as well. Clients of a registry
//! are not browsers, and send none of the headers that are checked here except `Host`.

use std::net::IpAddr;

use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::fault::{Code, Fault};
use super::origin::{self, Origin};
use super::{admin, distribution, route};
use crate::access::Policy;
use crate::app::App;
use crate::config::{Scheme, is_authority};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The refusal of a request from a page of another site, if it must be refused.
pub(super) fn refusal(request: &HttpRequest) -> Option<HttpResponse> {
    why(request).map(|why| refused(request, why))
}

/// The refusal of a browser on the admin socket, whatever it asks for. A user who may open the socket is an
/// admin, but a web page that this user visits is not. Requests of browsers without `Origin` have
/// `Sec-Fetch-Site`.
pub(super) fn refusal_on_socket(request: &HttpRequest) -> Option<HttpResponse> {
    let headers = request.headers();
    let is_browser = headers.contains_key(ORIGIN) || headers.contains_key(&FETCH_SITE);
    let fault = || Fault::new(Code::BrowserRefused, "the admin socket is not for browsers");
    is_browser.then(|| admin::refusal(fault()))
}

/// Removes the challenge, so that a browser does not ask for a password: it would send the password with
/// every later request, also with forms of other sites.
pub(super) fn withhold_challenge<B>(response: &mut ServiceResponse<B>) {
    if response.request().headers().contains_key(&FETCH_MODE) && asks_for_password(response.headers()) {
        response.headers_mut().remove(WWW_AUTHENTICATE);
    }
}

fn asks_for_password(headers: &HeaderMap) -> bool {
    let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    challenge.is_some_and(|challenge| challenge.starts_with("Basic"))
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// A page of another site wants to change something.
    OtherSite,
    /// The request names a host that is not a local name of the open registry.
    OtherName(String),
}

fn refused(request: &HttpRequest, why: Why) -> HttpResponse {
    let message = match why {
        Why::OtherSite => "a page of another site may not change anything here".to_owned(),
        Why::OtherName(host) => format!(
            "this open registry is not known as {host}: use localhost or an IP address, or set server.public_url"
        ),
    };
    let fault = Fault::new(Code::BrowserRefused, message);
    if route::path(request).starts_with("/api/") {
        admin::refusal(fault)
    } else {
        distribution::refusal(fault)
    }
}

fn why(request: &HttpRequest) -> Option<Why> {
    let headers = request.headers();
    if changes(request) && is_from_elsewhere(headers, &origin::origin(request)) {
        return Some(Why::OtherSite);
    }
    let is_open = request.app_data::<Data<App>>().is_some_and(|app| app.access.policy() == Policy::Open);
    let host = headers.get(HOST).filter(|_| is_open)?;
    let is_ours =
        host.to_str().is_ok_and(|host| is_local_name(host) || origin::is_public_host(request, host));
    (!is_ours).then(|| Why::OtherName(String::from_utf8_lossy(host.as_bytes()).chars().take(128).collect()))
}

/// Whether a request may change something. The token endpoint does so also with a GET, because it stores
/// refresh tokens.
fn changes(request: &HttpRequest) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !reads || matches!(route::path(request), "/token" | "/jwt/auth")
}

/// Whether a browser sent this for a page of another site than `ours`. Browsers without `Sec-Fetch-Site` send
/// `Origin` with every request that changes something.
fn is_from_elsewhere(headers: &HeaderMap, ours: &Origin) -> bool {
    if let Some(site) = headers.get(&FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        !page.is_some_and(|(scheme, host)| {
            let host = Scheme::named(scheme).map_or(host, |scheme| scheme.without_port(host));
            host.eq_ignore_ascii_case(ours.scheme.without_port(&ours.host))
        })
    })
}

/// Whether only the owner of this computer or network can make a page of this name: addresses, `localhost`,
/// names without a dot, and names below the top-level domains that are reserved for local use (RFC 6761,
/// 6762, 8375, `.internal`).
fn is_local_name(host: &str) -> bool {
    // Other readers may parse other texts differently: `[::1].evil.example`, `localhost@evil.example`.
    if !is_authority(host) {
        return false;
    }
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.');
    let is_below = |suffix: &str| {
        name.len()
            .checked_sub(suffix.len())
            .and_then(|start| name.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    name.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && !name.contains(['.', ':']))
        || [".localhost", ".internal", ".local", ".home.arpa"].into_iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn names_that_nobody_can_register_are_local() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
            "[::1]",
            "10.0.0.7:5000",
            "registry:5000",
            "host.docker.internal:5000",
            "app.localhost",
            "nas.local:5000",
            "registry.default.svc.cluster.local:5000",
            "registry.home.arpa",
            "LOCALHOST.",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":5000",
            "a:b:c",
            "localhost:",
            "localhost:x",
            "[::1].evil.example",
            "[::1]evil:5000",
            "[localhost]",
            "localhost@evil",
            "evil@localhost",
            "localhost/evil",
        ] {
            assert!(!is_local_name(host), "{host}");
        }
    }

    #[test]
    fn a_browser_says_for_which_page_it_sends() {
        for (name, value, elsewhere) in [
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "none", false),
            ("sec-fetch-site", "same-site", true),
            ("sec-fetch-site", "cross-site", true),
            ("origin", "https://reg.lan:8443", false),
            ("origin", "http://reg.lan:8443", false),
            ("origin", "https://REG.lan:8443", false),
            ("origin", "https://reg.lan", true),
            ("origin", "https://evil.example", true),
            ("origin", "null", true),
            ("accept", "*/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            let ours = Origin { scheme: Scheme::Http, host: "reg.lan:8443".to_owned() };
            assert_eq!(is_from_elsewhere(&headers, &ours), elsewhere, "{name}: {value}");
        }
    }

    #[test]
    fn the_port_of_a_scheme_may_be_left_out() {
        for (scheme, host, page, elsewhere) in [
            (Scheme::Https, "reg.lan:443", "https://reg.lan", false),
            (Scheme::Https, "reg.lan", "https://reg.lan:443", false),
            (Scheme::Http, "reg.lan", "http://reg.lan:80", false),
            // Behind a proxy that is not trusted, the page has the other scheme.
            (Scheme::Http, "reg.lan", "https://reg.lan", false),
            (Scheme::Https, "reg.lan", "https://reg.lan:80", true),
            (Scheme::Https, "reg.lan", "reg.lan", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(page));
            let ours = Origin { scheme, host: host.to_owned() };
            assert_eq!(is_from_elsewhere(&headers, &ours), elsewhere, "{page} at {scheme}://{host}");
        }
    }
}

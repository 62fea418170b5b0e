//! What a browser sends on behalf of a page of another site is refused before a handler sees it.
//!
//! A browser sends plain forms to any address, with the credentials that it knows, and a page whose name suddenly resolves
//! to this computer (DNS rebinding) reads the answers as well. Clients of a registry are no browsers and send none of
//! the headers that are looked at here but `Host`.

use std::net::IpAddr;

use actix_web::Error;
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::ResponseError as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::admin;
use super::error::{ApiError, Code};
use super::origin;
use crate::app::App;
use crate::auth::Policy;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// On the public listener: refuses what comes from pages of other sites, and asks no browser for a password.
pub async fn refuse_other_sites(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    origin::note_proxy(request.request());
    if let Some(why) = refusal(request.request()) {
        let response = refused(request.request(), why);
        return Ok(request.into_response(response).map_into_right_body());
    }
    let is_browser = request.headers().contains_key(&FETCH_MODE);
    let mut response = next.call(request).await?;
    // A browser that was asked once sends the password with everything from then on, also with forms of other sites.
    if is_browser && asks_for_password(response.headers()) {
        response.headers_mut().remove(WWW_AUTHENTICATE);
    }
    Ok(response.map_into_left_body())
}

fn asks_for_password(headers: &HeaderMap) -> bool {
    let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    challenge.is_some_and(|challenge| challenge.starts_with("Basic"))
}

/// Why a request is not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    /// A page of another site would change something.
    OtherSite,
    /// The open registry has no such name.
    OtherName(String),
}

fn refused(request: &HttpRequest, why: Why) -> HttpResponse {
    let message = match why {
        Why::OtherSite => "a page of another site may not change anything here".to_owned(),
        Why::OtherName(host) => format!(
            "this open registry is not known as {host}: use localhost or an IP address, or set server.public_url"
        ),
    };
    if request.path().starts_with("/api/") {
        return admin::browser_refused(message);
    }
    ApiError::new(Code::Denied, message).error_response()
}

fn refusal(request: &HttpRequest) -> Option<Why> {
    let headers = request.headers();
    if changes(request) && is_from_elsewhere(headers, &origin::origin(request).host) {
        return Some(Why::OtherSite);
    }
    let is_open = request.app_data::<Data<App>>().is_some_and(|app| app.auth.policy() == Policy::Open);
    let host = headers.get(HOST).filter(|_| is_open)?;
    let host = String::from_utf8_lossy(host.as_bytes());
    let is_ours = is_local_name(&host) || origin::public_host(request).is_some_and(|ours| *ours == *host);
    (!is_ours).then(|| Why::OtherName(host.chars().take(128).collect()))
}

/// Whether a request may change something. The token endpoint keeps refresh tokens, also of a GET.
fn changes(request: &HttpRequest) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !reads || matches!(request.path(), "/token" | "/jwt/auth")
}

/// Whether a browser sent this for a page of another site than `host`. Browsers that do not send `Sec-Fetch-Site` send
/// `Origin` with everything that changes something.
fn is_from_elsewhere(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get(&FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    headers.get(ORIGIN).is_some_and(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
        authority != Some(host)
    })
}

/// Whether nobody but the owner of this computer or network can make a page of this name: addresses, `localhost`, names
/// without a dot and those below the top level names that are reserved for local use (RFC 6761, 6762, 8375, `.internal`).
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').filter(|(name, _)| !name.contains(':')).map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let reserved =
        [".localhost", ".internal", ".local", ".home.arpa"].iter().any(|suffix| name.ends_with(suffix));
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && !name.contains(['.', ':'])) || reserved
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
            ("origin", "https://reg.lan", true),
            ("origin", "https://evil.example", true),
            ("origin", "null", true),
            ("accept", "*/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(is_from_elsewhere(&headers, "reg.lan:8443"), elsewhere, "{name}: {value}");
        }
    }
}

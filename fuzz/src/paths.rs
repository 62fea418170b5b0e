//! Paths and queries. The input is a request target, as in the first line of a request.

use std::sync::LazyLock;

use actix_web::http::Uri;
use regex_lite::Regex;
use stowage::http::query::{Query, escape};
use stowage::http::route::{Route, Shape};

use super::names;

/// The most entries of a page.
const MAX_PAGE: usize = 10_000;

/// A path has the shape that the specification's table of endpoints gives it, or none; a repository's name in
/// it is valid or refused; a query has the same meaning when it is written again.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    names::check(text);
    let Ok(uri) = Uri::try_from(text) else { return };
    check_path(uri.path());
    check_query(uri.query().unwrap_or_default());
}

fn check_path(path: &str) {
    let route = Route::parse(path);
    names::check(&route.name);
    names::check(&route.tail);
    let endpoints = decoded(path).map(|path| endpoints(&path)).unwrap_or_default();
    assert!(endpoints.len() <= 1, "{path:?} is several things: {endpoints:?}");
    if let Some((shape, name, tail)) = endpoints.first() {
        let found = (route.shape, &route.name, &route.tail);
        assert_eq!(found, (*shape, name, tail), "{path:?}");
    } else {
        assert!(!is_served(&route), "{path:?} is no endpoint, but {route:?}");
    }
    if route.shape == Shape::Unknown {
        assert_eq!((route.name.as_str(), route.tail.as_str()), ("", ""));
        assert_eq!(route.shape.allow(), "");
        return;
    }
    assert!(!route.shape.allow().is_empty());
    if !route.name.chars().chain(route.tail.chars()).any(char::is_control) {
        let again = Route::parse(&written(&route));
        assert_eq!(
            (again.shape, &again.name, &again.tail),
            (route.shape, &route.name, &route.tail),
            "{path:?}"
        );
    }
}

/// Whether a handler would reach the store: the name and the tail are valid.
fn is_served(route: &Route) -> bool {
    let good_tail = match route.shape {
        Shape::Base | Shape::Catalog => return true,
        Shape::Uploads | Shape::Tags => true,
        Shape::Blob => names::is_known_digest(&route.tail),
        Shape::Referrers => names::is_digest(&route.tail),
        Shape::Manifest => names::is_reference(&route.tail),
        Shape::Upload => names::is_upload_id(&route.tail),
        Shape::Unknown => false,
    };
    good_tail && names::is_name(&route.name)
}

/// The table of endpoints of the distribution-spec, with names and tails that follow their grammar.
fn endpoints(path: &str) -> Vec<(Shape, String, String)> {
    static TABLE: LazyLock<Vec<(Shape, Regex)>> = LazyLock::new(|| {
        let row = |shape, expression: &str| (shape, Regex::new(expression).expect("a good expression"));
        vec![
            row(Shape::Base, r"^/v2/?()()$"),
            row(Shape::Catalog, r"^/v2/_catalog()()$"),
            row(Shape::Tags, r"^/v2/(.*)/tags/list()$"),
            row(Shape::Uploads, r"^/v2/(.*)/blobs/uploads/?()$"),
            row(Shape::Upload, r"^/v2/(.*)/blobs/uploads/([^/]*)$"),
            row(Shape::Blob, r"^/v2/(.*)/blobs/([^/]*)$"),
            row(Shape::Manifest, r"^/v2/(.*)/manifests/([^/]*)$"),
            row(Shape::Referrers, r"^/v2/(.*)/referrers/([^/]*)$"),
        ]
    });
    let rows = TABLE.iter().filter_map(|(shape, expression)| {
        let found = expression.captures(path)?;
        let part = |index| found.get(index).map_or("", |part| part.as_str()).to_owned();
        let route = Route { shape: *shape, name: part(1), tail: part(2) };
        is_served(&route).then_some((route.shape, route.name, route.tail))
    });
    rows.collect()
}

/// Percent escapes decoded once (RFC 3986 section 2.1).
fn decoded(path: &str) -> Option<String> {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The path of a route with every letter of its variable parts percent-encoded.
fn written(route: &Route) -> String {
    let escaped =
        |text: &str| text.bytes().fold(String::new(), |escaped, byte| format!("{escaped}%{byte:02x}"));
    let (name, tail) = (escaped(&route.name), escaped(&route.tail));
    match route.shape {
        Shape::Base => "/v2/".to_owned(),
        Shape::Catalog => "/v2/_catalog".to_owned(),
        Shape::Tags => format!("/v2/{name}/tags/list"),
        Shape::Uploads => format!("/v2/{name}/blobs/uploads/"),
        Shape::Upload => format!("/v2/{name}/blobs/uploads/{tail}"),
        Shape::Blob => format!("/v2/{name}/blobs/{tail}"),
        Shape::Manifest => format!("/v2/{name}/manifests/{tail}"),
        Shape::Referrers => format!("/v2/{name}/referrers/{tail}"),
        Shape::Unknown => String::new(),
    }
}

fn check_query(text: &str) {
    let query = Query::parse(text);
    let number = query.get("n").unwrap_or_default();
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    match query.page_size() {
        Ok(size) if number.is_empty() => assert_eq!(size, MAX_PAGE),
        Ok(size) => {
            let wanted = number.parse::<u128>().unwrap_or(u128::MAX);
            assert!(digits && size as u128 == wanted.min(MAX_PAGE as u128), "n={number:?} is {size}");
        }
        Err(_) => assert!(!digits, "n={number:?} is refused"),
    }
    assert_eq!(query.last().as_deref(), query.get("last").filter(|last| !last.is_empty()));
    let mut again = String::new();
    for name in query.names() {
        assert_eq!(query.get(name), query.all(name).next());
    }
    let mut names: Vec<&str> = query.names().collect();
    names.sort_unstable();
    names.dedup();
    for name in &names {
        for value in query.all(name) {
            again.extend(["&", &escape(name), "=", &escape(value)]);
        }
    }
    let link = Query::parse(again.trim_start_matches('&'));
    for name in names {
        assert!(query.all(name).eq(link.all(name)), "{name:?} of {text:?} is lost in {again:?}");
    }
    assert!(again.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte)), "{again:?}");
}

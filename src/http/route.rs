//! Parses the paths of the registry's API from the right, because the name of a repository may itself contain
//! `blobs`, `tags` or `manifests` (distribution-spec, "Endpoints").

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, http::header};

use crate::model::names::{NameError, RepoName};

/// The kinds of path below `/v2/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/blobs/<digest>`
    Blob,
    /// `/v2/<name>/blobs/uploads/`
    Uploads,
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload,
    /// `/v2/<name>/manifests/<reference>`
    Manifest,
    /// `/v2/<name>/tags/list`
    Tags,
    /// `/v2/<name>/referrers/<digest>`
    Referrers,
    /// Anything else.
    Unknown,
}

impl Shape {
    /// The methods of a path of this kind.
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Base | Self::Catalog | Self::Tags | Self::Referrers => "GET, HEAD, OPTIONS",
            Self::Blob => "GET, HEAD, DELETE, OPTIONS",
            Self::Uploads => "POST, OPTIONS",
            Self::Upload => "GET, HEAD, PATCH, PUT, DELETE, OPTIONS",
            Self::Manifest => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Unknown => "",
        }
    }
}

/// A path, decoded once and parsed.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its kind.
    pub shape: Shape,
    /// The text in the place of a repository's name.
    pub name: String,
    /// The digest, reference or upload id at the end.
    pub tail: String,
}

impl Route {
    /// Parses a raw path. Percent escapes are decoded once, before anything is matched.
    pub fn parse(path: &str) -> Self {
        let unknown = Self { shape: Shape::Unknown, name: String::new(), tail: String::new() };
        let Some(decoded) = decode(path) else { return unknown };
        let Some(rest) = decoded.strip_prefix("/v2") else { return unknown };
        let at = |shape, name: &str, tail: &str| Self { shape, name: name.to_owned(), tail: tail.to_owned() };
        let rest = match rest {
            "" | "/" => return at(Shape::Base, "", ""),
            "/_catalog" => return at(Shape::Catalog, "", ""),
            _ => match rest.strip_prefix('/') {
                Some(rest) => rest,
                None => return unknown,
            },
        };
        for suffix in ["/blobs/uploads/", "/blobs/uploads"] {
            if let Some(name) = rest.strip_suffix(suffix) {
                return at(Shape::Uploads, name, "");
            }
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return at(Shape::Tags, name, "");
        }
        let Some((head, tail)) = rest.rsplit_once('/') else { return unknown };
        for (suffix, shape) in [
            ("/blobs/uploads", Shape::Upload),
            ("/blobs", Shape::Blob),
            ("/manifests", Shape::Manifest),
            ("/referrers", Shape::Referrers),
        ] {
            if let Some(name) = head.strip_suffix(suffix) {
                return at(shape, name, tail);
            }
        }
        unknown
    }

    /// The repository's name, or why it is invalid.
    pub(crate) fn repository(&self) -> Result<RepoName, NameError> {
        self.name.parse()
    }
}

/// Decodes percent escapes; `None` when one is broken or the result is not UTF-8 or has control characters.
pub(super) fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(Cow::Owned(text))
}

impl FromRequest for Route {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| Self::parse(request.path()))))
    }
}

/// The decoded path by which the web framework finds the handler: `/%74oken` leads to `/token`. Code that
/// depends on the kind of a request must use this, not the raw path, which a client can write in many ways.
pub(crate) fn path(request: &HttpRequest) -> &str {
    request.match_info().as_str()
}

/// The value of a header, if it is present and is text.
pub(crate) fn header<'r>(request: &'r HttpRequest, name: &header::HeaderName) -> Option<&'r str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_from_the_right() {
        for (path, shape, name, tail) in [
            ("/v2", Shape::Base, "", ""),
            ("/v2/", Shape::Base, "", ""),
            ("/v2/_catalog", Shape::Catalog, "", ""),
            ("/v2/a/tags/list", Shape::Tags, "a", ""),
            ("/v2/a/tags/list/tags/list", Shape::Tags, "a/tags/list", ""),
            ("/v2/a/b/blobs/uploads", Shape::Uploads, "a/b", ""),
            ("/v2/a/b/blobs/uploads/", Shape::Uploads, "a/b", ""),
            ("/v2/a/blobs/uploads/x-1", Shape::Upload, "a", "x-1"),
            ("/v2/blobs/uploads/blobs/uploads/", Shape::Uploads, "blobs/uploads", ""),
            ("/v2/a/blobs/sha256:00", Shape::Blob, "a", "sha256:00"),
            ("/v2/a/blobs/sha256%3A00", Shape::Blob, "a", "sha256:00"),
            ("/v2/manifests/manifests/latest", Shape::Manifest, "manifests", "latest"),
            ("/v2/a/referrers/sha256:00", Shape::Referrers, "a", "sha256:00"),
            ("/v2/a%252Fb/tags/list", Shape::Tags, "a%2Fb", ""),
            ("/v2/a", Shape::Unknown, "", ""),
            ("/v2/a/manifests/x%00", Shape::Unknown, "", ""),
            ("/v2/a/manifests/x%zz", Shape::Unknown, "", ""),
            ("/v2x/a/tags/list", Shape::Unknown, "", ""),
            ("/v1/search", Shape::Unknown, "", ""),
        ] {
            let route = Route::parse(path);
            assert_eq!(
                (route.shape, route.name.as_str(), route.tail.as_str()),
                (shape, name, tail),
                "{path}"
            );
        }
    }
}

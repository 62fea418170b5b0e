//! Lists with pages: `?limit=50&cursor=...`; the next page is in `next_cursor` and in `Link`.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LINK};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::json;
use super::problem::Problem;
use crate::http::fault::Code;
use crate::http::query::{Query, escape};
use crate::http::route;
use crate::model::digest::{Algorithm, Digest};
use crate::wire::List;

/// The number of entries on a page if the client does not say one.
pub(super) const DEFAULT_LIMIT: usize = 50;
/// The most entries on a page.
pub(super) const MAX_LIMIT: usize = 500;
/// The version and the order of a cursor. So far each list has one order.
const CURSOR: &str = "2\0key\0";

/// The page that the client requests.
pub(super) struct PageQuery {
    query: Query,
    path: String,
    /// The parameters other than `limit` and `cursor`, as the query of a `Link` continues with them.
    filters: String,
    /// What every cursor of this list begins with.
    prefix: String,
    limit: usize,
    last: Option<String>,
}

impl PageQuery {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let query = Query::of(request);
        let limit = match query.get("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                let wrong =
                    || Problem::new(Code::LimitInvalid, format!("limit is a number from 1 to {MAX_LIMIT}"));
                limit.ok_or_else(wrong)?
            }
        };
        let filters = filters(&query);
        let path = request.path();
        // The same path can be written in several ways: the name of a repository has slashes or `%2F`.
        let prefix = prefix(&route::decode(path).unwrap_or(Cow::Borrowed(path)), &filters);
        let last = query.get("cursor").map(|cursor| read(&prefix, cursor)).transpose()?;
        Ok(Self { path: path.to_owned(), query, filters, prefix, limit, last })
    }

    /// One entry more than the page has, to know whether another page follows.
    pub(super) const fn wanted(&self) -> usize {
        self.limit + 1
    }

    /// The most entries on the page.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// The key after which the page begins.
    pub(super) fn last(&self) -> Option<String> {
        self.last.clone()
    }

    /// The key after which the page begins, if keys are numbers.
    pub(super) fn last_number(&self) -> Result<Option<u64>, Problem> {
        self.last.as_deref().map(|last| last.parse().map_err(|_| wrong_cursor())).transpose()
    }

    /// The key after which the page begins, if keys are digests.
    pub(super) fn last_digest(&self) -> Result<Option<Digest>, Problem> {
        self.last.as_deref().map(|last| last.parse().map_err(|_| wrong_cursor())).transpose()
    }

    /// A parameter that only this list has.
    pub(super) fn filter(&self, name: &str) -> Option<String> {
        self.query.get(name).map(str::to_owned)
    }

    /// The response with the first of up to [`PageQuery::wanted`] entries. `key` returns the key by which an
    /// entry is sorted.
    pub(super) fn answer<V, T: Serialize + From<V>>(
        &self,
        mut found: Vec<V>,
        key: impl Fn(&V) -> String,
    ) -> HttpResponse {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| more).map(key);
        self.part::<V, T>(found, next.as_deref())
    }

    /// The response with a page; `next` is the key after which the next page begins.
    pub(super) fn part<V, T: Serialize + From<V>>(&self, found: Vec<V>, next: Option<&str>) -> HttpResponse {
        let next_cursor = next.map(|key| write(&self.prefix, key));
        let link = next_cursor.as_ref().map(|cursor| self.link(cursor));
        let items: Vec<T> = found.into_iter().map(T::from).collect();
        let mut response = json(StatusCode::OK, &List { items, next_cursor });
        if let Some(Ok(link)) = link.map(|link| HeaderValue::from_str(&link)) {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    fn link(&self, cursor: &str) -> String {
        let Self { path, limit, filters, .. } = self;
        format!("<{path}?limit={limit}&cursor={cursor}{filters}>; rel=\"next\"")
    }
}

impl FromRequest for PageQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// The parameters that choose what a list has, in the order of their names.
fn filters(query: &Query) -> String {
    let mut filters: Vec<(&str, &str)> =
        query.pairs().filter(|(name, _)| !["limit", "cursor"].contains(name)).collect();
    // The first of several values counts, so that their order must stay.
    filters.sort_by_key(|(name, _)| *name);
    let pairs = filters.into_iter().map(|(name, value)| format!("&{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().concat()
}

/// What the cursors of a list begin with. A hash of the path and the filters binds them to this list: another
/// one would take the key for one of its own, and begin its page at a wrong place.
fn prefix(path: &str, filters: &str) -> String {
    let list = Digest::of(Algorithm::Sha256, format!("{path}?{filters}").as_bytes());
    format!("{CURSOR}{}\0", &list.hex()[..16])
}

fn write(prefix: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{prefix}{key}"))
}

fn read(prefix: &str, cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong_cursor())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong_cursor())?;
    text.strip_prefix(prefix).map(str::to_owned).ok_or_else(wrong_cursor)
}

/// The refusal of a cursor that leads nowhere.
pub(super) fn wrong_cursor() -> Problem {
    Problem::new(Code::CursorInvalid, "cursor is not one that this list has given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_key_and_anything_else_to_a_problem() {
        let (users, tokens) = (prefix("/api/v1/users", ""), prefix("/api/v1/tokens", ""));
        assert_eq!(read(&users, &write(&users, "team/äpp")).unwrap(), "team/äpp");
        let older = URL_SAFE_NO_PAD.encode("1\0key\0a");
        for wrong in ["", "x", "!!", &write(&tokens, "a"), &older, &URL_SAFE_NO_PAD.encode(b"\xff")] {
            assert!(read(&users, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_filters_are_what_is_not_about_the_page() {
        let of = |query: &str| filters(&Query::parse(query));
        assert_eq!(of("limit=2&cursor=x"), "");
        assert_eq!(of("user=b%26c&limit=2&kind=z&kind=a"), "&kind=z&kind=a&user=b%26c");
    }
}

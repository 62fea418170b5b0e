//! Lists with pages: `?limit=50&cursor=...`; the next page is in `next_cursor` and in `Link`.

use std::fmt::Write as _;
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
use crate::model::digest::Digest;
use crate::wire::List;

/// The number of entries on a page if the client does not say one.
pub(super) const DEFAULT_LIMIT: usize = 50;
/// The most entries on a page.
pub(super) const MAX_LIMIT: usize = 500;
/// The version and the order of a cursor. So far each list has one order.
const CURSOR: &str = "1\0key\0";

/// The page that the client requests.
pub(super) struct PageQuery {
    query: Query,
    path: String,
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
        let last = query.get("cursor").map(read).transpose()?;
        Ok(Self { path: request.path().to_owned(), query, limit, last })
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
        filters: &[&str],
        key: impl Fn(&V) -> String,
    ) -> HttpResponse {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| more).map(key);
        self.part::<V, T>(found, filters, next.as_deref())
    }

    /// The response with a page; `next` is the key after which the next page begins.
    pub(super) fn part<V, T: Serialize + From<V>>(
        &self,
        found: Vec<V>,
        filters: &[&str],
        next: Option<&str>,
    ) -> HttpResponse {
        let next_cursor = next.map(write);
        let link = next_cursor.as_ref().map(|cursor| self.link(filters, cursor));
        let items: Vec<T> = found.into_iter().map(T::from).collect();
        let mut response = json(StatusCode::OK, &List { items, next_cursor });
        if let Some(Ok(link)) = link.map(|link| HeaderValue::from_str(&link)) {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    fn link(&self, filters: &[&str], cursor: &str) -> String {
        let mut target = format!("{}?limit={}&cursor={cursor}", self.path, self.limit);
        for name in filters {
            if let Some(value) = self.query.get(name) {
                // Writing to a string cannot fail.
                let _ = write!(target, "&{name}={}", escape(value));
            }
        }
        format!("<{target}>; rel=\"next\"")
    }
}

impl FromRequest for PageQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

fn write(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{key}"))
}

fn read(cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong_cursor())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong_cursor())?;
    text.strip_prefix(CURSOR).map(str::to_owned).ok_or_else(wrong_cursor)
}

fn wrong_cursor() -> Problem {
    Problem::new(Code::CursorInvalid, "cursor is not one that this list has given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_key_and_anything_else_to_a_problem() {
        assert_eq!(read(&write("team/äpp")).unwrap(), "team/äpp");
        for wrong in ["", "x", "!!", &URL_SAFE_NO_PAD.encode("2\0key\0a"), &URL_SAFE_NO_PAD.encode(b"\xff")] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

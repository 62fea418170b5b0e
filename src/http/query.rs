//! The query of a request: form-encoded pairs in any order; unknown ones are ignored.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::fault::{Code, Fault};
use crate::model::percent_encoded;

/// The default and the most entries of a list.
const MAX_PAGE: usize = 10_000;

/// The pairs of a query.
#[derive(Clone, Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        Self::parse(request.query_string())
    }

    /// Parses form-encoded pairs. An invalid pair matches no known parameter.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self(Vec::new());
        }
        Self(web::Query::from_query(text).map(web::Query::into_inner).unwrap_or_default())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The name of every parameter.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Every parameter with its value, in the order of the query.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a parameter.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `n`: the most entries on a page.
    pub fn page_size(&self) -> Result<usize, Fault> {
        let Some(text) = self.get("n").filter(|text| !text.is_empty()) else { return Ok(MAX_PAGE) };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = "n must be a number of entries from 0 on, such as n=100";
            return Err(Fault::new(Code::PaginationNumberInvalid, message));
        }
        Ok(text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
    }

    /// `last`: the entry after which the page starts.
    pub fn last(&self) -> Option<String> {
        self.get("last").filter(|last| !last.is_empty()).map(str::to_owned)
    }
}

impl FromRequest for Query {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// Escapes a value for the query of a `Link`.
pub fn escape(value: &str) -> String {
    percent_encoded(value, b"-._~/:")
}

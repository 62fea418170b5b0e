//! Pages of lists: requested once and checked name by name, and expected to stay the same.

use std::sync::Arc;

use serde_json::Value;

use crate::connection::Connection;
use crate::content::Digest;
use crate::failure::Failure;
use crate::operation::Thing;
use crate::plan::{Bench, IMAGES, repository_name, tag_name};
use crate::request::Template;
use crate::target::{Common, Target};
use crate::workload::Workload;

/// The most pages that a workload requests in turn.
const PAGES: usize = 200;

/// A list that is read in pages.
pub(crate) struct List {
    path: String,
    scope: String,
    key: &'static str,
    name: fn(usize) -> String,
    /// The number of names.
    all: usize,
    /// The number of names on a page.
    page: usize,
}

/// The properties of the pages of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    pub(crate) things: Arc<[Thing]>,
    /// A deviation of the target from the request.
    pub(crate) note: Option<String>,
}

impl List {
    /// The list that a workload reads.
    pub(crate) fn of(bench: &Bench, workload: Workload) -> Option<Self> {
        let sizes = &bench.sizes;
        let tags = |page| Self {
            path: format!("/v2/{IMAGES}/tags/list?n={page}&last={{}}"),
            scope: format!("repository:{IMAGES}:pull"),
            key: "tags",
            name: tag_name,
            all: sizes.tags,
            page,
        };
        match workload {
            Workload::TagsList => Some(tags(sizes.list)),
            Workload::TagsPage => Some(tags(sizes.page)),
            Workload::Catalog => Some(Self {
                path: format!("/v2/_catalog?n={}&last={{}}", sizes.catalog),
                scope: "registry:catalog:*".into(),
                key: "repositories",
                name: repository_name,
                all: sizes.repositories,
                page: sizes.catalog,
            }),
            _ => None,
        }
    }

    /// The request for a page.
    pub(crate) async fn request(&self, target: &Target) -> Result<Template, Failure> {
        let common: Common = target.common(&[&self.scope]).await?;
        Ok(Template::new("GET", &self.path, &common, "", b""))
    }

    /// Reads all pages from the second on, and checks their names.
    pub(crate) async fn learn(&self, target: &Target) -> Result<Pages, Failure> {
        let mut request = self.request(target).await?;
        let mut connection = Connection::open(target.address).await?;
        let mut pages = Pages::default();
        let mut things = Vec::new();
        let mut body = Vec::new();
        for start in (self.page..self.all).step_by(self.page).take(PAGES) {
            let last = (self.name)(start - 1);
            body.clear();
            let length = connection
                .exchange(request.fill(&last), 200, &mut |piece| body.extend_from_slice(piece))
                .await?;
            let names = self.names(&body)?;
            let wanted = start..self.all.min(start + self.page);
            if !names.iter().cloned().eq(wanted.map(self.name)) {
                if names.len() < self.all {
                    let (count, first) = (names.len(), names.first());
                    return Err(Failure(format!(
                        "the page after {last} has {count} names from {first:?} on"
                    )));
                }
                pages.note =
                    Some(format!("answers all {} names where {} are asked for", names.len(), self.page));
            }
            things.push(Thing { name: last, length, digest: Digest::of(&body) });
        }
        pages.things = things.into();
        Ok(pages)
    }

    fn names(&self, body: &[u8]) -> Result<Vec<String>, Failure> {
        let mut page: Value =
            serde_json::from_slice(body).map_err(|error| Failure(format!("a list: {error}")))?;
        serde_json::from_value(page[self.key].take()).map_err(|error| Failure(format!("a list: {error}")))
    }
}

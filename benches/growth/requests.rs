//! The requests that are measured.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::runtime::Builder;

use crate::connection::Connection;
use crate::content::{Content, Digest};
use crate::failure::Failure;
use crate::layout::{LIST, LIST_NAME, LONG_LIST_NAME, Layout, digest_of, layer, repository_name, tag_name};
use crate::operation::{Fetch, Operation, TagPush, Thing};
use crate::random::Random;
use crate::request::{ACCEPT, Template};
use crate::round::Driver;
use crate::server::Server;
use crate::target::Target;

/// Without dumps, which are measured separately.
pub(crate) const SETTINGS: &[(&str, &str)] = &[("STOWAGE__STORAGE__DUMPS__EVERY", "0s")];
/// The number of targets of one round that are spread over all.
const TARGETS: usize = 20_000;
/// The number of pages and lists of one round, which take longer to prepare.
const PAGES: usize = 1_000;
/// The number of manifests or blobs of reads that repeat the same few.
const SAME: usize = 100;
/// The names on a page of the catalogue that every store can fill.
const CATALOG: usize = 20;
/// Names on the long page of the catalogue.
const LONG_CATALOG: usize = 500;

/// The manifests or blobs that a read is spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Always the same ones, as many as the small store has: the typical load of a registry.
    Same,
    /// Any of all, with equal probability: the pages that a read needs are hardly ever in the cache.
    Any,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    ManifestByTag(Spread),
    ManifestByDigest(Spread),
    ManifestHead(Spread),
    BlobSmall(Spread),
    /// This many tags of the repository with 1,000.
    Tags(usize),
    /// This many tags of the repository with the long list, from a random position; without such a
    /// repository, of the other one.
    LongTags(usize),
    Catalog,
    /// Only the large store has that many names.
    LongCatalog,
    Referrers,
    PushTag,
}

impl Spread {
    fn name(self) -> String {
        match self {
            Self::Same => format!(", the same {SAME}"),
            Self::Any => ", any of all".into(),
        }
    }

    /// The numbers, out of `count`, from which targets are drawn.
    fn numbers(self, count: usize) -> Vec<usize> {
        match self {
            Self::Same => {
                let step = (count / SAME).max(1);
                (0..SAME.min(count)).map(|number| number * step).collect()
            }
            Self::Any => {
                let mut random = Random::unique();
                (0..TARGETS).map(|_| random.below(count)).collect()
            }
        }
    }
}

impl Request {
    pub(crate) const ALL: [Self; 16] = [
        Self::ManifestByTag(Spread::Same),
        Self::ManifestByTag(Spread::Any),
        Self::ManifestByDigest(Spread::Same),
        Self::ManifestByDigest(Spread::Any),
        Self::ManifestHead(Spread::Same),
        Self::ManifestHead(Spread::Any),
        Self::BlobSmall(Spread::Same),
        Self::BlobSmall(Spread::Any),
        Self::Tags(50),
        Self::Tags(1_000),
        Self::LongTags(50),
        Self::LongTags(1_000),
        Self::Catalog,
        Self::LongCatalog,
        Self::Referrers,
        Self::PushTag,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::ManifestByTag(reach) => format!("manifest GET by tag{}", reach.name()),
            Self::ManifestByDigest(reach) => format!("manifest GET by digest{}", reach.name()),
            Self::ManifestHead(reach) => format!("manifest HEAD by tag{}", reach.name()),
            Self::BlobSmall(reach) => format!("blob GET, 1 KiB{}", reach.name()),
            Self::Tags(page) => format!("tags, page of {page}"),
            Self::LongTags(page) => format!("tags of the long list, page of {page}"),
            Self::Catalog => format!("catalog, page of {CATALOG}"),
            Self::LongCatalog => format!("catalog, page of {LONG_CATALOG}"),
            Self::Referrers => "referrers".into(),
            Self::PushTag => "push by a new tag".into(),
        }
    }

    /// Whether the bound applies. It does to reads of the same few. For reads spread over all, no page is in
    /// the cache, for which a small store has no equivalent; and their pulls are counted and written later,
    /// at times beside the pushes.
    pub(crate) const fn is_judged(self) -> bool {
        !matches!(
            self,
            Self::ManifestByTag(Spread::Any)
                | Self::ManifestByDigest(Spread::Any)
                | Self::ManifestHead(Spread::Any)
                | Self::BlobSmall(Spread::Any)
                | Self::PushTag
        )
    }

    /// Whether a store is large enough for it.
    pub(crate) fn suits(self, layout: &Layout) -> bool {
        self != Self::LongCatalog || layout.ordinary().len() > LONG_CATALOG
    }
}

/// The targets of a round, chosen before it begins.
pub(crate) struct Prepared {
    request: Request,
    things: Arc<[Thing]>,
}

impl Prepared {
    pub(crate) async fn new(request: Request, layout: &Layout, target: &Target) -> Result<Self, Failure> {
        Ok(Self { request, things: things(request, layout, target).await? })
    }

    /// The work of each connection, all on one thread.
    pub(crate) async fn lanes(
        &self,
        layout: &Layout,
        target: &Target,
        connections: usize,
    ) -> Result<Vec<Vec<Driver>>, Failure> {
        let common = target.common(&[]).await?;
        let driver = |operation| Driver { operation, pace: None, measured: true };
        if self.request == Request::PushTag {
            let content = Arc::new(Content::new(0, false));
            let mut random = Random::unique();
            let pushes = (0..connections).map(|_| {
                let repository = layout.ordinary().start + random.below(layout.ordinary().len());
                let name = &layout.repositories[repository].name;
                let manifest = layout.manifest(repository, 0);
                driver(Operation::TagPush(TagPush::new(name, &common, &content, manifest.as_bytes())))
            });
            return Ok(vec![pushes.collect()]);
        }
        let method = if matches!(self.request, Request::ManifestHead(_)) { "HEAD" } else { "GET" };
        let template = Template::new(method, "/v2/{}", &common, ACCEPT, b"");
        let fetches =
            (0..connections).map(|_| driver(Operation::Fetch(Fetch::new(template.clone(), &self.things))));
        Ok(vec![fetches.collect()])
    }
}

/// The targets: their places and their content.
async fn things(request: Request, layout: &Layout, target: &Target) -> Result<Arc<[Thing]>, Failure> {
    let mut random = Random::unique();
    let mut pick = |count: usize| random.below(count.max(1));
    let thing = |name: String, body: &[u8]| Thing {
        name,
        length: body.len() as u64,
        digest: Digest(Sha256::digest(body).into()),
    };
    let mut things = Vec::new();
    match request {
        Request::ManifestByTag(reach) | Request::ManifestHead(reach) => {
            for number in reach.numbers(layout.sizes.tags) {
                let (repository, tag) = layout.of_tag(number);
                let body = layout.manifest(repository, layout.tagged(repository, tag));
                let name = &layout.repositories[repository].name;
                things.push(thing(format!("{name}/manifests/{}", tag_name(tag)), body.as_bytes()));
            }
        }
        Request::ManifestByDigest(reach) => {
            for number in reach.numbers(layout.sizes.manifests) {
                let (repository, number) = layout.of_manifest(number);
                let body = layout.manifest(repository, number);
                let name = &layout.repositories[repository].name;
                let digest = digest_of(body.as_bytes());
                things.push(thing(format!("{name}/manifests/{digest}"), body.as_bytes()));
            }
        }
        Request::BlobSmall(reach) => {
            for repository in reach.numbers(layout.repositories.len()) {
                let (name, blob) = (&layout.repositories[repository].name, layer(repository));
                things.push(thing(format!("{name}/blobs/{}", digest_of(&blob)), &blob));
            }
        }
        Request::Tags(page) => {
            for _ in 0..PAGES {
                let first = pick(LIST - page + 1);
                things.push(tags_page(LIST_NAME, first, page, thing));
            }
        }
        Request::LongTags(page) => {
            let (name, tags) = match layout.sizes.long_list {
                0 => (LIST_NAME, LIST),
                tags => (LONG_LIST_NAME, tags),
            };
            for _ in 0..PAGES {
                let first = pick(tags - page + 1);
                things.push(tags_page(name, first, page, thing));
            }
        }
        Request::Catalog | Request::LongCatalog => {
            let page = if request == Request::Catalog { CATALOG } else { LONG_CATALOG };
            for _ in 0..PAGES {
                let first = 1 + pick(layout.ordinary().len() - page);
                let names: Vec<_> = (first..first + page).map(repository_name).collect();
                let body = serde_json::json!({ "repositories": names }).to_string();
                let last = repository_name(first - 1);
                things.push(thing(format!("_catalog?n={page}&last={last}"), body.as_bytes()));
            }
        }
        Request::Referrers => {
            let mut connection = Connection::open(target.address).await?;
            let template = Template::new("GET", "/v2/{}", &target.common(&[]).await?, "", b"");
            for _ in 0..PAGES {
                let repository = layout.ordinary().start + pick(layout.ordinary().len());
                things.push(referrers(layout, repository, &mut connection, template.clone()).await?);
            }
        }
        Request::PushTag => {}
    }
    Ok(things.into())
}

fn tags_page(repository: &str, first: usize, page: usize, thing: impl Fn(String, &[u8]) -> Thing) -> Thing {
    let tags: Vec<_> = (first..first + page).map(tag_name).collect();
    let body = serde_json::json!({ "name": repository, "tags": tags }).to_string();
    let last = first.checked_sub(1).map(|last| format!("&last={}", tag_name(last))).unwrap_or_default();
    thing(format!("{repository}/tags/list?n={page}{last}"), body.as_bytes())
}

/// The referrers of a repository's first manifest, which must be its last one.
async fn referrers(
    layout: &Layout,
    repository: usize,
    connection: &mut Connection,
    mut template: Template,
) -> Result<Thing, Failure> {
    let last = layout.repositories[repository].manifests.len() - 1;
    let wanted = digest_of(layout.manifest(repository, last).as_bytes()).to_string();
    let subject = digest_of(layout.manifest(repository, 0).as_bytes());
    let name = format!("{}/referrers/{subject}", layout.repositories[repository].name);
    let mut body = Vec::new();
    let length =
        connection.exchange(template.fill(&name), 200, &mut |piece| body.extend_from_slice(piece)).await?;
    let listed = String::from_utf8_lossy(&body).matches("\"digest\"").count();
    if listed != 1 || !String::from_utf8_lossy(&body).contains(&wanted) {
        return Err(Failure(format!("{name} does not list {wanted}")));
    }
    Ok(Thing { name, length, digest: Digest(Sha256::digest(&body).into()) })
}

/// Pushes one manifest that the store does not have, and waits for the response.
pub(crate) fn push_once(server: &Server, layout: &Layout) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let target = server.target("growth").await?;
        let mut random = Random::unique();
        let repository = layout.ordinary().start + random.below(layout.ordinary().len());
        let body = layout.another(repository, &format!("{:016x}", random.next()));
        let name = &layout.repositories[repository].name;
        let path = format!("/v2/{name}/manifests/{}", digest_of(body.as_bytes()));
        let headers =
            format!("Content-Type: {}\r\nContent-Length: {}\r\n", crate::layout::MANIFEST_TYPE, body.len());
        let mut request = Template::new("PUT", &path, &target.common(&[]).await?, &headers, body.as_bytes());
        let mut connection = Connection::open(target.address).await?;
        connection.exchange(request.fill(""), 201, &mut |_| ()).await.map(drop)
    })
}

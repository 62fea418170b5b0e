//! Costs do not grow with the store: counts the calls to the database's file of a start and of every kind of
//! read, with almost no page cache. `cargo bench --bench growth` measures times.

#[allow(dead_code, reason = "the benchmark asks for more")]
#[path = "../../benches/growth/layout.rs"]
mod layout;
#[path = "../../benches/growth/seed.rs"]
mod seed;

use std::sync::Arc;

use stowage::access::{Action, Caller, Grant, Principal, Repository as Target};
use stowage::app::App;
use stowage::model::digest::AnyDigest;
use stowage::model::names::Reference;
use stowage::registry::{Listing, ReferrerQuery};
use stowage::store::faulty::Faults;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use layout::{LIST, LIST_NAME, LONG_LIST_NAME, Layout, Sizes, digest_of, layer, repository_name, tag_name};

const SMALL: Sizes =
    Sizes { manifests: 100, tags: 1_070, repositories: 36, list_manifests: 30, long_list: 0 };
const GROWN: Sizes =
    Sizes { manifests: 5_000, tags: 6_000, repositories: 1_500, list_manifests: 30, long_list: 2_000 };
/// A page cache so small that no read finds a page of an earlier one.
const NO_CACHE: &str = "64KiB";
const NO_CACHE_BYTES: usize = 64 << 10;
/// How often a read is repeated, each time with another target.
const TIMES: usize = 40;

/// A read of the target with this number.
type Read<'r> = &'r dyn Fn(&Open<'_>, usize);

/// The entries of a short list.
fn entries<Left>(page: &Listing<Left>) -> Vec<serde_json::Value> {
    serde_json::from_slice(&[b"[", &page.first[..], b"]"].concat()).expect("a list")
}

/// A seeded store.
struct Place {
    dir: TempDir,
    layout: Arc<Layout>,
}

/// An open store, and the calls to its file.
struct Open<'p> {
    app: Arc<App>,
    calls: Arc<Faults>,
    layout: &'p Layout,
    runtime: Runtime,
}

impl Place {
    fn new(sizes: Sizes) -> Self {
        // A directory in memory, if the system has one: its syncs cost nothing.
        let dir =
            tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("the store answers");
        let layout = Arc::new(Layout::new(sizes));
        seed::fill(dir.path(), &layout, &|_| ()).expect("the store answers");
        Self { dir, layout }
    }

    fn open(&self) -> Open<'_> {
        let calls = Arc::new(Faults::default());
        let app = seed::open(self.dir.path(), NO_CACHE, Some(Arc::clone(&calls))).expect("the store answers");
        let runtime = Builder::new_current_thread().enable_all().build().expect("the store answers");
        Open { app, calls, layout: &self.layout, runtime }
    }

    /// The calls of a start, without those that open the database file: in a debug build redb reads all of
    /// it.
    fn start(&self) -> u64 {
        let calls = Arc::new(Faults::default());
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("the store answers");
        let cache = NO_CACHE_BYTES;
        let meta = seed::open_meta(self.dir.path(), cache, runtime.handle(), Some(Arc::clone(&calls)))
            .expect("the store answers");
        let opening = calls.calls();
        meta.close();
        let open = self.open();
        let all = open.calls.calls();
        open.app.close();
        all.saturating_sub(opening)
    }
}

impl Open<'_> {
    fn grant<A: Action<Target = Target>>(&self, name: &str) -> Grant<A> {
        let caller = Caller { principal: Principal::Anybody, address: None };
        self.app
            .access
            .repository(&caller, &name.parse().expect("the store answers"))
            .expect("the store answers")
    }

    /// The average number of calls of one read among those that `read` makes. The minimum of three runs
    /// excludes background work of the server.
    fn calls_of(&self, mut read: impl FnMut(&Self, usize)) -> u64 {
        let mut measure = |first: usize| {
            let before = self.calls.calls();
            (first..first + TIMES).for_each(|number| read(self, number));
            (self.calls.calls() - before).div_ceil(TIMES as u64)
        };
        (0..3).map(|turn| measure(turn * TIMES)).min().unwrap_or(0)
    }

    /// A repository; consecutive numbers give repositories that are spread over all.
    fn ordinary(&self, number: usize) -> usize {
        let all = self.layout.ordinary();
        all.start + number * 7_919 % all.len()
    }

    fn manifest(&self, number: usize, by_tag: bool) {
        let repository = self.ordinary(number);
        let name = &self.layout.repositories[repository].name;
        let body = self.layout.manifest(repository, 0);
        let reference = if by_tag {
            Reference::Tag(tag_name(0).parse().expect("the store answers"))
        } else {
            Reference::Digest(digest_of(body.as_bytes()))
        };
        let grant = self.grant(name);
        let read = self.app.registry.manifest(&grant, &reference);
        assert_eq!(self.runtime.block_on(read).expect("the store answers").body, body);
    }

    fn blob(&self, number: usize) {
        let repository = self.ordinary(number);
        let name = &self.layout.repositories[repository].name;
        let content = layer(repository);
        let read = async {
            let blob = self
                .app
                .registry
                .open_blob(&self.grant(name), &digest_of(&content))
                .await
                .expect("the store answers");
            blob.small().await.expect("the store answers")
        };
        assert_eq!(self.runtime.block_on(read).expect("the store answers"), content);
    }

    fn tags(&self, number: usize, page: usize) {
        let (name, all) = match self.layout.sizes.long_list {
            0 => (LIST_NAME, LIST),
            all => (LONG_LIST_NAME, all),
        };
        let last = number * 7_919 % (all - page);
        let grant = self.grant(name);
        let read = self.app.registry.tags(&grant, Some(tag_name(last)), page);
        let wanted: Vec<_> = (last + 1..=last + page).map(tag_name).collect();
        assert_eq!(entries(&self.runtime.block_on(read).expect("the store answers")), wanted);
    }

    fn catalog(&self, number: usize) {
        let last = number * 7_919 % (self.layout.ordinary().len() - 20);
        let caller = Caller { principal: Principal::Anybody, address: None };
        let grant = self.app.access.site(&caller).expect("the store answers");
        let read = self.app.registry.catalog(&grant, Some(repository_name(last)), 20);
        let wanted: Vec<_> = (last + 1..=last + 20).map(repository_name).collect();
        assert_eq!(entries(&self.runtime.block_on(read).expect("the store answers")), wanted);
    }

    fn referrers(&self, number: usize) {
        let repository = self.ordinary(number);
        let name = &self.layout.repositories[repository].name;
        let subject = digest_of(self.layout.manifest(repository, 0).as_bytes()).to_string();
        let subject: AnyDigest = subject.parse().expect("the store answers");
        let query = ReferrerQuery { subject, artifact_types: Vec::new(), last: None, limit: None };
        let grant = self.grant(name);
        let read = self.app.registry.referrers(&grant, Arc::new(query));
        assert_eq!(entries(&self.runtime.block_on(read).expect("the store answers")).len(), 1);
    }
}

#[test]
fn a_check_finds_a_seeded_store_whole() {
    let place =
        Place::new(Sizes { long_list: 300, manifests: 1_000, tags: 1_500, repositories: 100, ..SMALL });
    let report = stowage::lifecycle::check::offline(place.dir.path(), place.dir.path(), true, &mut |_| ())
        .expect("the store answers");
    assert_eq!(report.problems, []);
}

#[test]
fn starts_and_reads_do_not_grow_with_the_store() {
    let [small, grown] = [Place::new(SMALL), Place::new(GROWN)];
    // A start reads some facts about the whole file: a few more calls for a larger file.
    let starts = [small.start().min(small.start()), grown.start().min(grown.start())];
    assert!(starts[1] <= starts[0] + 40, "calls of a start: {starts:?}");

    let stores = [small.open(), grown.open()];
    let reads: [(&str, Read<'_>); 7] = [
        ("manifest by tag", &|store, number| store.manifest(number, true)),
        ("manifest by digest", &|store, number| store.manifest(number, false)),
        ("blob", &|store, number| store.blob(number)),
        ("50 tags", &|store, number| store.tags(number, 50)),
        ("500 tags", &|store, number| store.tags(number, 500)),
        ("catalog", &|store, number| store.catalog(number)),
        ("referrers", &|store, number| store.referrers(number)),
    ];
    for (name, read) in reads {
        let calls = stores.each_ref().map(|store| store.calls_of(read));
        // A table with fifty times the rows may be two levels deeper, and at most six tables are read.
        assert!(calls[1] <= calls[0] + 12, "calls of {name}: {calls:?}");
        assert!(calls[1] > 0, "{name} was answered from a cache");
    }
    for store in &stores {
        store.app.close();
    }
}

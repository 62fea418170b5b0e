//! A store that has grown costs no more: the work of a start and of every read is counted, in calls to the
//! database's file, with a page cache that holds next to nothing. Times are for `cargo bench --bench growth`.

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
/// A page cache in which no two reads find each other's pages.
const NO_CACHE: &str = "64KiB";
const NO_CACHE_BYTES: usize = 64 << 10;
/// How often a read is repeated, each time with another target.
const TIMES: usize = 40;

/// A read of a target with a number.
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

/// A store that is open, and the calls to its file.
struct Open<'p> {
    app: Arc<App>,
    calls: Arc<Faults>,
    layout: &'p Layout,
    runtime: Runtime,
}

impl Place {
    fn new(sizes: Sizes) -> Self {
        // A disk whose syncs cost nothing, where there is one.
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

    /// Calls of a start, without those that open the database file: in a debug build redb reads all of it.
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

    /// Calls of one read among all that `read` does, on average. What the server does beside them is left out
    /// by taking the least of three.
    fn calls_of(&self, mut read: impl FnMut(&Self, usize)) -> u64 {
        let mut measure = |first: usize| {
            let before = self.calls.calls();
            (first..first + TIMES).for_each(|number| read(self, number));
            (self.calls.calls() - before).div_ceil(TIMES as u64)
        };
        (0..3).map(|turn| measure(turn * TIMES)).min().unwrap_or(0)
    }

    /// A repository, another one for each number, spread over all.
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
    // A start reads what it has to know of the whole file: some calls more for a file that is larger.
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
        // A tree with fifty times the rows may be two pages deeper, and six tables are asked at most.
        assert!(calls[1] <= calls[0] + 12, "calls of {name}: {calls:?}");
        assert!(calls[1] > 0, "{name} was answered from a cache");
    }
    for store in &stores {
        store.app.close();
    }
}

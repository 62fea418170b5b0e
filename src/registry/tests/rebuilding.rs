//! A store that is rebuilt from a dump equals the store that was dumped.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::histories::{act, after};
use super::*;
use crate::model::digest::Algorithm;
use crate::registry::rebuild::{Differences, settle};
use crate::store::blob::BlobStore;
use crate::store::meta::schema::{self, BlobState, Disk, Usage};
use crate::store::meta::tests::dumps::{Rows, all_rows};
use crate::store::meta::{Tx as _, dump};

/// The newest dump of a store, restored as another store.
struct Rebuilt {
    meta: Meta,
    differences: Differences,
    _dir: TempDir,
}

impl Server<'_> {
    fn dump(&self) {
        self.meta.dump(&self.place.dir.path().join(dump::DIR_NAME), 2).unwrap();
    }

    fn rebuild(&self) -> Rebuilt {
        let dumps = dump::list(&self.place.dir.path().join(dump::DIR_NAME)).unwrap();
        let dir = scratch();
        dump::check(&dumps[0].path).unwrap();
        dump::restore(&dumps[0].path, dir.path(), &mut |_| ()).unwrap();
        let blobs = Arc::clone(&self.blobs);
        let options = Options {
            data_dir: dir.path().to_owned(),
            cache_bytes: 1 << 20,
            wall: self.place.wall,
            sync_barrier: Arc::new(move |barrier| blobs.sync(barrier)),
            runtime: self.place.runtime.handle().clone(),
            faults: None,
            on_repair: meta::log_repair,
        };
        let meta = Meta::open(options).unwrap();
        let runtime = self.place.runtime.handle();
        let differences = settle(&meta, self.blobs.as_ref(), runtime, &mut |_| ()).unwrap();
        Rebuilt { meta, differences, _dir: dir }
    }
}

/// The rows that a dump restores, and usage where there is any.
fn comparable(meta: &Meta) -> BTreeMap<&'static str, Rows> {
    use crate::store::meta::Row as _;
    let mut rows = all_rows(meta);
    let nothing = Usage::default().encode();
    let empty_disk = Disk::default().encode();
    for (table, rows) in &mut rows {
        match *table {
            // A store that is rebuilt does not know what was promised, and waits for an admin.
            "clock" | "auth_epoch" | "promised" | "collection" => rows.clear(),
            // After everything was collected a store has a row of zeros, and a rebuilt one has none.
            "disk" => rows.retain(|(_, value)| *value != empty_disk),
            "usage_repository" | "usage_project" => rows.retain(|(_, value)| *value != nothing),
            _ => {}
        }
    }
    rows
}

fn assert_same(server: &Server<'_>) {
    server.dump();
    let rebuilt = server.rebuild();
    assert_eq!(rebuilt.differences, Differences::default());
    assert_eq!(comparable(&rebuilt.meta), comparable(&server.meta));
    let mode = fsck::Mode { deep: true, others_write: false };
    let report = fsck::check(&rebuilt.meta, server.blobs.staging(), server.blobs.as_ref(), mode, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(report.problems, []);
    let clock = |meta: &Meta| meta.get(|tx| tx.get(&schema::CLOCK, ())).unwrap().unwrap();
    let (old, new) = (clock(&server.meta), clock(&rebuilt.meta));
    assert!(new.sequence > old.sequence && new.last_id > old.last_id && new.running_s >= old.running_s);
    assert_eq!(rebuilt.meta.store_id(), server.meta.store_id());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_a_dump_makes_the_same_store(acts in prop::collection::vec(act(), 1..90)) {
        after(&acts, assert_same);
    }
}

#[test]
fn blobs_that_came_later_and_blobs_that_are_gone_are_listed() {
    let place = Place::new();
    let server = place.open(false);
    let digest = |content: &[u8]| Digest::of(Algorithm::Sha256, content);
    for content in [&b"kept"[..], b"lost"] {
        server.push_blob("team/app", content, digest(content)).unwrap();
    }
    server.dump();
    server.push_blob("team/app", b"later", digest(b"later")).unwrap();
    server.blobs.remove(&digest(b"lost")).unwrap();
    let Rebuilt { meta, differences, .. } = server.rebuild();
    assert_eq!((differences.missing, differences.later, differences.later_bytes), (1, 1, 5));
    let missing = &differences.missing_blobs[0];
    assert_eq!((missing.digest.clone(), missing.size), (digest(b"lost").to_string(), 4));
    assert_eq!(missing.repositories, ["team/app"]);
    assert_eq!(differences.later_blobs[0].digest, digest(b"later").to_string());
    let state =
        |content: &[u8]| meta.get(|tx| tx.get(&schema::BLOB, &digest(content))).unwrap().map(|row| row.state);
    assert_eq!(state(b"kept"), Some(BlobState::Present));
    assert_eq!(state(b"lost"), Some(BlobState::Corrupt), "clients push it again");
    assert_eq!(state(b"later"), None);
}

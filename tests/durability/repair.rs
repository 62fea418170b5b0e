//! A database whose last commits before a crash were without quick-repair.

use std::fs;

use redb::{Database, TableDefinition};

use crate::process::{Stowage, assert_whole, directory_in_memory};
use crate::support::content::push_image;

#[test]
fn a_start_that_reads_all_metadata_tells_how_far_it_is_and_loses_nothing() {
    const EPOCH: TableDefinition<'_, (), &[u8]> = TableDefinition::new("auth_epoch");
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    let manifest = push_image(&server.client(), "team/app", "latest", b"layer");
    server.kill();

    // A commit as a large database makes them between two with quick-repair.
    let path = dir.path().join("stowage.redb");
    let database = Database::open(&path).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_two_phase_commit(true);
    transaction.open_table(EPOCH).unwrap().remove(()).unwrap();
    transaction.commit().unwrap();
    let as_crashed = fs::read(&path).unwrap();
    drop(database);
    fs::write(&path, as_crashed).unwrap();

    let server = Stowage::start(dir.path());
    let log = server.log();
    for percent in [0, 60, 90] {
        assert!(log.contains(&format!(" percent={percent}\n")), "{log}");
    }
    assert!(server.client().get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    server.kill();
    let server = Stowage::start(dir.path());
    assert!(!server.log().contains("percent"), "what a start has repaired needs no repair again");
    server.stop();
    assert_whole(dir.path());
}

//! Jobs that are started by the thousand.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use stowage::store::meta::{StoreError, schema};
use stowage::store::open::Store;
use stowage::wire::{Job, JobState, List};

use crate::attack::PASSWORD;
use crate::process::{Setup, Stowage};

/// Checks that are made.
const CHECKS: usize = 1_000;
/// Callers that start them, of which all but one are refused at a time.
const CALLERS: usize = 4;
/// Jobs, lines and results of a kind that a store keeps at most: docs/storage.md.
const KEPT: u64 = 50;
const LINES: u64 = 200;
const RESULTS: u64 = 5;

#[test]
fn a_thousand_checks_leave_few_rows() {
    let mut server = Stowage::start(&Setup { password: Some(PASSWORD), ..Setup::default() });
    let admin = server.client().basic("admin", PASSWORD);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while made.load(Ordering::Acquire) < CHECKS {
                    let json = [("Content-Type", "application/json")];
                    let begun = admin.send("POST", "/api/v1/checks", &json, json!({}).to_string().as_bytes());
                    if begun.status == 409 {
                        continue;
                    }
                    // The next caller may have begun another one, and then this one is in the history.
                    let path = format!("{}?wait=1m", begun.expect(202).location());
                    let job: Job = admin.get(&path).expect(200).read();
                    assert_eq!(job.state, JobState::Done, "{job:?}");
                    made.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
    });
    let listed: List<Job> = admin.get("/api/v1/jobs?kind=check&limit=500").expect(200).read();
    assert_eq!(listed.items.len() as u64, KEPT);
    server.assert_small();
    server.assert_at_rest();
    server.kill();
    let store = Store::offline(&server.data(), &server.data()).expect("the store");
    let [jobs, ids, lines, results] = store
        .meta
        .read_blocking(|tx| {
            Ok::<_, StoreError>([
                tx.count(&schema::JOB)?,
                tx.count(&schema::JOB_ID)?,
                tx.count(&schema::JOB_LOG)?,
                tx.count(&schema::JOB_RESULT)?,
            ])
        })
        .expect("they are counted");
    // There may be a dump, too.
    assert!((KEPT..=KEPT + 2).contains(&jobs) && ids == jobs, "{jobs} jobs, {ids} ids");
    assert!(lines <= jobs * LINES && results <= 2 * RESULTS, "{lines} lines, {results} results");
    store.close();
}

//! Jobs that are started by the thousand, and followed by many.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use stowage::store::meta::{StoreError, schema};
use stowage::store::open::Store;
use stowage::wire::{Job, JobState, List, NewCheck, NewUser};

use crate::attack::PASSWORD;
use crate::process::{Setup, Stowage, USER_PASSWORD};
use crate::support::{Client, content, eventually};

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

/// A request for the events of a job, whose response is not read.
fn follow(client: &Client, job: &str) -> TcpStream {
    let mut stream = client.connect();
    let head = client.head_of("GET", &format!("{job}/events"), &[]);
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream
}

fn status(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a status line");
    line.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn one_admin_has_a_few_streams_of_events_and_leaves_others_to_the_rest() {
    const EACH: usize = 16;
    const TRIED: usize = 40;
    let json = [("Content-Type", "application/json")];
    let server = Stowage::start(&Setup { password: Some(PASSWORD), ..Setup::default() });
    let admin = server.client().basic("admin", PASSWORD);
    let user = NewUser { name: "second".to_owned(), password: USER_PASSWORD.to_owned(), admin: true };
    admin.send("POST", "/api/v1/users", &json, json!(user).to_string().as_bytes()).expect(201);
    let second = server.client().basic("second", USER_PASSWORD);
    second.get("/api/v1/jobs").expect(200);
    // A check of it takes a while.
    content::push_blob(&admin, "team/big", &content::bytes(7, 192 << 20));
    let body = json!(NewCheck { deep: true }).to_string();
    eventually("a check works while all streams are asked for", || {
        let job = admin.send("POST", "/api/v1/checks", &json, body.as_bytes()).expect(202).location();
        let streams: Vec<TcpStream> = (0..TRIED).map(|_| follow(&admin, &job)).collect();
        let statuses: Vec<String> = streams.iter().map(status).collect();
        let other = status(&follow(&second, &job));
        let works = admin.get(&job).expect(200).read::<Job>().is_under_way();
        admin.get(&format!("{job}?wait=1m")).expect(200);
        let with = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
        if works {
            assert_eq!((with("200"), with("429"), &*other), (EACH, TRIED - EACH, "200"));
        }
        works
    });
    let job = admin.get("/api/v1/jobs?kind=check").expect(200).read::<List<Job>>().items[0].id;
    // A stream ends with its job, and makes room for another one.
    eventually("there is room for a stream", || {
        admin.get(&format!("/api/v1/jobs/{job}/events")).status == 200
    });
    server.assert_small();
    server.assert_at_rest();
}

//! A first start that is killed at any call that changes something leaves a directory that the next start can
//! use.

use crate::process::{Stowage, answers, assert_whole, directory_in_memory, note, serve};
use crate::support::content::push_image;
use crate::trace::{self, Traced};

/// The calls of a first start that change something, and how many of each are tried: it creates 775
/// directories.
const CALLS: [(&str, usize); 9] = [
    ("mkdir", 40),
    ("openat", 1),
    ("flock", 1),
    ("write", 1),
    ("pwrite64", 1),
    ("ftruncate", 1),
    ("fdatasync", 1),
    ("fsync", 1),
    ("rename", 1),
];
/// More calls than any start makes.
const ENDLESS: u64 = 5_000;

/// Kills a first start at the `n`-th `call` and starts again; returns whether it was killed.
fn killed_and_started(call: &str, n: u64) -> bool {
    let dir = directory_in_memory();
    let (command, address) = serve(dir.path());
    let mut first = Traced::start(&command, call, n);
    let killed = first.is_killed(&format!("{call} {n}"), |ended| ended.is_none() && answers(address));
    drop(first);
    let server = Stowage::start(dir.path());
    assert!(!dir.path().join("stowage.redb.new").exists(), "{call} {n}");
    if n.is_multiple_of(10) {
        push_image(&server.client(), "team/app", "latest", b"layer");
    }
    server.stop();
    if n.is_multiple_of(10) {
        assert_whole(dir.path());
    }
    killed
}

#[test]
fn a_first_start_may_be_killed_at_any_call_that_changes_something() {
    if !trace::available() {
        return;
    }
    for (call, every) in CALLS {
        let ns = (1..ENDLESS).step_by(every);
        let kills = ns.take_while(|n| killed_and_started(call, *n)).count();
        note(&format!("killed at {kills} calls of {call}"));
        assert!(kills > 0, "{call} is not called");
    }
}

//! What a run would do, and why unused bytes are still on the disk.

use super::*;
use crate::access::ReadServer;
use crate::registry::collect::{Garbage, Plan, Reason};

impl Server<'_> {
    pub(super) fn site(&self) -> Grant<ReadServer> {
        let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
        self.access.site(&caller).unwrap()
    }

    fn plan(&self, mode: Mode) -> Plan {
        self.plan_untagged(mode, Untagged::AsSet)
    }

    pub(in crate::registry::tests) fn plan_untagged(&self, mode: Mode, untagged: Untagged) -> Plan {
        self.wait(self.registry.plan_collection(&self.site(), mode, untagged)).unwrap()
    }

    pub(in crate::registry::tests) fn garbage(&self) -> Garbage {
        self.wait(self.registry.garbage(&self.site())).unwrap()
    }

    /// Asserts that the bytes which are told, live or for a reason, are those on the disk.
    pub(in crate::registry::tests) fn assert_sum(&self, context: &str) {
        let garbage = self.garbage();
        let told = garbage.live_bytes + garbage.parts.iter().map(|part| part.bytes).sum::<u64>();
        let dir = self.place.dir.path();
        let found = bytes_below(&dir.join("blobs")) + bytes_below(&dir.join("quarantine"));
        assert_eq!(told, found, "{context}: {garbage:?}");
    }
}

/// Bytes of the files below a directory.
pub(in crate::registry::tests) fn bytes_below(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let found = entry.metadata().unwrap();
            if found.is_dir() { bytes_below(&entry.path()) } else { found.len() }
        })
        .sum()
}

/// Reasons with the bytes that are there for them.
fn reasons(garbage: &Garbage) -> Vec<(Reason, u64)> {
    garbage.parts.iter().map(|part| (part.reason, part.bytes)).collect()
}

#[test]
fn every_byte_that_is_not_used_has_a_reason_and_a_time() {
    let place = Place::new();
    let server = place.open(true);
    server.wait(server.registry.recall_promises(&server.access.system("start"), true));
    server.push_image("a", b"live");
    assert_eq!((server.garbage().live_bytes, reasons(&server.garbage())), (4, vec![]));
    server.push("a", b"in quarantine");
    server.skip(GRACE_S);
    server.collect(Mode::Scheduled);
    assert_eq!(reasons(&server.garbage()), [(Reason::Quarantine, 13)]);
    server.push_image("b", b"deleted");
    server.delete_image("b", b"deleted");
    server.push("b", b"promised");
    let garbage = server.garbage();
    let expected = [(Reason::Grace, 7), (Reason::Promised, 8), (Reason::Quarantine, 13)];
    let mut found = reasons(&garbage);
    found.sort_by_key(|(_, bytes)| *bytes);
    assert_eq!(found, expected);
    assert!(garbage.parts.iter().all(|part| part.first_in_s.is_some_and(|in_s| in_s > 0)));
    server.assert_sum("before their time");
    server.skip(GRACE_S);
    assert_eq!(reasons(&server.garbage()), [(Reason::Due, 15), (Reason::Quarantine, 13)]);
    server.assert_sum("when they are due");
    server.collect(Mode::Scheduled);
    server.assert_sum("after the collection");
}

#[test]
fn a_blob_waits_for_the_youngest_of_its_links() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"shared");
    server.skip(PROMISE_S);
    server.push("b", b"shared");
    let garbage = server.garbage();
    assert_eq!(garbage.parts.len(), 1, "{garbage:?}");
    assert_eq!((garbage.parts[0].blobs, garbage.parts[0].bytes), (1, 6));
    assert!(garbage.parts[0].last_in_s.unwrap() > PROMISE_S);
    server.skip(PROMISE_S);
    assert_eq!(server.plan(Mode::Scheduled), Plan { links: 1, ..Plan::default() });
    server.collect(Mode::Scheduled);
    server.skip(PROMISE_S);
    let plan = server.plan(Mode::Scheduled);
    assert_eq!((plan.links, plan.blobs, plan.bytes, plan.freed_bytes), (1, 1, 6, 0));
}

#[test]
fn a_plan_says_what_a_run_does() {
    for mode in [Mode::Scheduled, Mode::SpaceIsShort, Mode::Now] {
        let place = Place::new();
        let server = place.open(true);
        server.wait(server.registry.recall_promises(&server.access.system("start"), true));
        for number in 0..600_u32 {
            let repository = ["a", "b", "c"][number as usize % 3];
            server.push(repository, &number.to_be_bytes());
            if number.is_multiple_of(5) {
                server.push("d", &number.to_be_bytes());
            }
        }
        server.push("q", b"goes to quarantine");
        server.skip(GRACE_S);
        server.look("b", &1_u32.to_be_bytes()).unwrap();
        server.push_image("e", b"an image");
        server.delete_image("e", b"an image");
        server.push("e", b"on its way");
        let plan = server.plan(mode);
        let done = server.collect(mode);
        let told = (plan.links, plan.blobs, plan.bytes, plan.freed_bytes, plan.promised);
        assert_eq!(told, (done.links, done.blobs, done.bytes, done.freed_bytes, done.promised), "{mode:?}");
        assert!(done.blobs >= 600, "{done:?}");
        server.assert_sum("after the run");
    }
}

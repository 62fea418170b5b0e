//! Freeing the space now: what was promised to a client stays, and nothing else.

use super::*;

impl Server<'_> {
    /// What a start does: the last server has stopped, or was killed.
    fn recall(&self, is_clean: bool) {
        self.wait(self.registry.recall_promises(&self.access.system("start"), is_clean));
    }

    /// Stops as a server does.
    fn close(self) {
        self.wait(self.registry.close(&self.access.system("stop")));
        self.meta.close();
    }

    /// What freeing the space now takes, and what it leaves for clients.
    fn free_now(&self) -> (u64, u64) {
        let collected = self.collect(Mode::Now);
        (collected.blobs, collected.promised)
    }

    fn lower_promise(&self, promise_s: u64) {
        let limits = Limits { promise_s, ..**self.registry.limits.load() };
        self.registry.set_limits(limits);
        self.await_background_work();
    }
}

#[test]
fn what_no_client_was_promised_goes_at_once() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"deleted");
    server.push_image("b", b"kept");
    server.delete_image("a", b"deleted");
    let collected = server.collect(Mode::Now);
    assert_eq!((collected.blobs, collected.freed_bytes, collected.promised), (1, 7, 0));
    assert!(!server.has_file(b"deleted") && server.has_file(b"kept"));
    server.assert_clean("after it");
}

#[test]
fn an_upload_that_no_manifest_has_named_stays_for_the_promise() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push("a", b"on its way");
    server.skip(PROMISE_S - 60);
    assert_eq!(server.free_now(), (0, 1));
    server.skip(61);
    assert_eq!(server.free_now(), (1, 0));
}

#[test]
fn a_look_at_a_blob_that_is_referred_to_is_a_promise() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"looked at");
    server.push_image("a", b"not looked at");
    server.look("a", b"looked at").unwrap();
    server.delete_image("a", b"looked at");
    server.delete_image("a", b"not looked at");
    assert_eq!(server.free_now(), (1, 1));
    server.look("a", b"looked at").unwrap();
    server.skip(PROMISE_S + PROMISE_S / 4 + 2);
    assert_eq!(server.free_now(), (1, 0));
}

#[test]
fn a_mount_and_a_repeated_upload_are_promises() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"mounted");
    server.push_image("c", b"uploaded again");
    let (to, digest_of, from) = (server.grant("b"), digest(b"mounted"), server.grant("a"));
    let mounted = server.registry.mount(&to, &digest_of, &from);
    assert!(server.wait(mounted).unwrap());
    server.push("c", b"uploaded again");
    server.delete_image("a", b"mounted");
    server.delete_image("c", b"uploaded again");
    assert_eq!(server.free_now(), (0, 2));
    assert!(server.pull_blob("b", &digest(b"mounted")).is_ok());
}

#[test]
fn a_server_knows_what_the_one_before_has_promised_if_that_has_stopped() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"looked at");
    server.push_image("a", b"not looked at");
    server.look("a", b"looked at").unwrap();
    server.delete_image("a", b"looked at");
    server.delete_image("a", b"not looked at");
    server.close();
    let server = place.open(true);
    server.recall(true);
    assert_eq!(server.free_now(), (1, 1));
}

#[test]
fn after_a_kill_every_promise_may_have_been_given() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"deleted");
    server.delete_image("a", b"deleted");
    server.stop();
    let server = place.open(true);
    server.recall(false);
    assert_eq!(server.free_now(), (0, 1));
    let garbage = server.wait(server.registry.garbage(&server.site())).unwrap();
    assert!(garbage.unknown_for_s.is_some_and(|left| (PROMISE_S - 60..=PROMISE_S + 1).contains(&left)));
    server.skip(PROMISE_S - 60);
    assert_eq!(server.free_now(), (0, 1));
    server.skip(61);
    assert_eq!(server.free_now(), (1, 0));
}

#[test]
fn a_promise_that_was_given_is_not_shortened() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push("a", b"on its way");
    server.lower_promise(60);
    server.skip(PROMISE_S - 60);
    assert_eq!(server.free_now(), (0, 1));
    server.close();
    let server = place.open(true);
    server.lower_promise(60);
    server.recall(true);
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 0);
    server.skip(PROMISE_S + 61);
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 1);
    // When the long promise is over, the short one applies.
    server.skip(2 * GRACE_S);
    server.push("a", b"another one");
    server.skip(120);
    assert_eq!(server.collect(Mode::SpaceIsShort).blobs, 1);
}

#[test]
fn a_look_while_the_space_is_freed_is_answered_by_the_writer() {
    let place = Place::new();
    let server = place.open(true);
    server.recall(true);
    server.push_image("a", b"there");
    let freeing = server.registry.promises.freeing();
    assert_eq!(server.look("a", b"there").unwrap(), 5);
    drop(freeing);
    server.delete_image("a", b"there");
    assert_eq!(server.free_now(), (0, 1));
    server.skip(2 * PROMISE_S);
    assert_eq!(server.free_now(), (1, 0));
    assert!(matches!(server.look("a", b"there"), Err(RegistryError::BlobUnknown(_))));
}

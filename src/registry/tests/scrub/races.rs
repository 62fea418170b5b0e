//! Pushes and collections while a blob is read: a verdict is about the file that was read, and no other.

use super::*;
use crate::access::Delete;
use crate::registry::collect::{Collected, Mode, Untagged};

/// Runs `act` once, when the first piece of the only blob was read.
fn scrub_while(server: &Server<'_>, act: impl Fn()) -> Scrubbed {
    let mut is_done = false;
    server.scrub_until(&Scope::Everything(None), &mut |done| {
        if done.at.stage == Stage::Blobs && !is_done {
            is_done = true;
            act();
        }
        true
    })
}

#[test]
fn a_blob_that_is_pushed_while_it_is_read_is_read_again_and_not_hidden() {
    let place = Place::new();
    let server = place.open(true);
    let layer = blob("a layer");
    server.push_blob("one", &layer.content, layer.digest).unwrap();
    server.flip(&layer.digest);
    let done = scrub_while(&server, || server.push_blob("two", &layer.content, layer.digest).unwrap());
    assert_eq!((figures(&done), done.damaged), ([0, 1, 0, 0], 0));
    assert_eq!(server.pull_blob("one", &layer.digest).unwrap(), layer.content);
    server.assert_clean("after the scrub");
}

#[test]
fn a_blob_that_is_collected_and_pushed_again_while_it_is_read_is_not_hidden() {
    let place = Place::new();
    let server = place.open(true);
    let layer = blob("a layer");
    let generation =
        || server.meta.get(|tx| tx.get(&schema::BLOB, &layer.digest)).unwrap().map(|row| row.generation);
    server.push_blob("one", &layer.content, layer.digest).unwrap();
    server.flip(&layer.digest);
    let before = generation();
    let done = scrub_while(&server, || {
        server.wait(server.registry.delete_blob(&server.grant::<Delete>("one"), &layer.digest)).unwrap();
        let grant = server.access.system("collect");
        let goes_on = &mut |_: &Collected| true;
        server.wait(server.registry.collect(&grant, Mode::SpaceIsShort, Untagged::Never, goes_on)).unwrap();
        assert_eq!(generation(), None);
        server.push_blob("one", &layer.content, layer.digest).unwrap();
    });
    assert_eq!(generation(), before, "the number alone does not tell them apart");
    assert_eq!((figures(&done), done.damaged), ([0, 1, 0, 0], 0));
    server.assert_clean("after the scrub");
}

#[test]
fn a_blob_that_is_collected_while_it_is_read_is_no_damage() {
    let place = Place::new();
    let server = place.open(true);
    let layer = blob("a layer");
    server.push_blob("one", &layer.content, layer.digest).unwrap();
    server.flip(&layer.digest);
    let done = scrub_while(&server, || {
        server.wait(server.registry.delete_blob(&server.grant::<Delete>("one"), &layer.digest)).unwrap();
        let grant = server.access.system("collect");
        let goes_on = &mut |_: &Collected| true;
        server.wait(server.registry.collect(&grant, Mode::SpaceIsShort, Untagged::Never, goes_on)).unwrap();
    });
    assert_eq!((figures(&done), done.damaged, done.complete), ([0, 0, 0, 0], 0, true));
}

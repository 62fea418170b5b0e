//! The trash when space is short.

use super::*;

/// From now on the disk always has too little free space.
fn run_short(server: &Server<'_>) {
    let limits = Limits { min_free: "900TiB".parse().unwrap(), ..**server.registry.limits.load() };
    server.registry.limits.store(Arc::new(limits));
}

fn push_and_discard(server: &Server<'_>, deletions: u32) {
    for number in 0..deletions {
        let tag = number.to_string();
        server.push_as("team/a", tag.as_bytes(), &tag);
        server.discard("team/a", &tag).unwrap();
    }
}

#[test]
fn it_is_emptied_as_long_as_that_frees_space() {
    let place = Place::new();
    let server = open(&place);
    push_and_discard(&server, 20);
    server.push_as("team/a", b"live", "live");
    run_short(&server);
    let done = server.collect_untagged(Mode::SpaceIsShort, Untagged::Never);
    assert_eq!((done.trash, done.blobs), (20, 20), "{done:?}");
    assert_eq!(server.pull_blob("team/a", &digest(b"live")).unwrap(), "live");
    server.assert_clean("after the run");
}

#[test]
fn it_is_not_emptied_for_blobs_that_stay_anyway() {
    let place = Place::new();
    let server = open(&place);
    for number in 0..20 {
        server.push_as("team/a", b"the same", &number.to_string());
    }
    server.push_as("team/b", b"the same", "1");
    for number in 0..20 {
        server.discard("team/a", &number.to_string()).unwrap();
    }
    run_short(&server);
    let done = server.collect_untagged(Mode::SpaceIsShort, Untagged::Never);
    assert_eq!((done.freed_bytes, server.entries().len()), (0, 12), "{done:?}");
}

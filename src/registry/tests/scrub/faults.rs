//! Disks that fail in the middle of a scrub: nothing that is whole is hidden, and the next run finds all
//! damage.

use std::sync::Arc;

use super::*;
use crate::store::faulty::{Fault, Faults, Plan};

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Part {
    Disk,
    Database,
}

/// Runs a scrub once for each call, with that call failing; returns how many there are.
fn play(part: Part) -> u64 {
    for n in 0.. {
        let of_database = Arc::new(Faults::default());
        let place = Place { meta_faults: Some(Arc::clone(&of_database)), ..Place::new() };
        let server = place.open(true);
        let scene = Scene::set(&server);
        server.flip(&scene.configs[0].digest);
        server.flip_manifest(&scene.manifests[1]);
        let faults = match part {
            Part::Disk => &server.faults,
            Part::Database => &of_database,
        };
        // The first time nothing fails.
        let plan = Plan { fail_at: n, kind: Fault::Errno(libc::EIO) };
        faults.set_plan((n > 0).then_some(plan));
        let mut done = Scrubbed::default();
        let scope = Scope::Everything(None);
        let outcome = server.registry.scrub(&server.access.system("scrub"), &scope, &mut done, &mut |_| true);
        let fired = faults.fired();
        faults.set_plan(None);
        let context = format!("call {n} of the {part:?} fails, then {outcome:?} and {:?}", kinds(&done));
        assert!(fired || (outcome.is_ok() && done.hidden == 2), "{context}");
        for (name, blob) in [("one", &scene.layer), ("two", &scene.layer), ("two", &scene.configs[1])] {
            assert_eq!(server.pull_blob(name, &blob.digest).unwrap(), blob.content, "{context}");
        }
        assert!(server.pull_manifest("one", &tag("1")).is_ok(), "{context}");
        server.stop();

        let server = place.open(true);
        let again = server.scrub();
        let mut found = kinds(&again);
        found.retain(|kind| *kind != "blob_corrupt");
        assert!(again.complete && again.damaged == 2 && again.shown == 0, "{context}: {again:?}");
        assert_eq!(server.state(&scene.configs[0].digest), BlobState::Corrupt, "{context}");
        assert!(server.pull_manifest("two", &tag("1")).is_err(), "{context}");
        assert_eq!(server.state(&scene.layer.digest), BlobState::Present, "{context}");
        server.stop();
        if n > 0 && !fired {
            return n - 1;
        }
    }
    unreachable!("a scrub has an end")
}

#[test]
fn an_io_error_at_any_call_of_the_disk_hides_nothing_that_is_whole() {
    assert!(play(Part::Disk) > 8);
}

#[test]
fn an_io_error_at_any_call_of_the_database_leaves_the_damage_to_the_next_run() {
    assert!(play(Part::Database) > 4);
}

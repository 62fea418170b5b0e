//! Pins: while one lives, no run removes anything.

use std::thread;

use super::*;
use crate::access::RunJobs;
use crate::model::time::RunningSecond;
use crate::model::units::HumanDuration;
use crate::registry::PinView;
use crate::registry::collect::Reason;
use crate::store::meta::WriteTx;

impl Server<'_> {
    fn jobs(&self) -> Grant<RunJobs> {
        let caller = Caller { principal: Principal::Local { name: "root".into() }, address: None };
        self.access.site(&caller).unwrap()
    }

    fn pin(&self, name: &str, seconds: u32) -> Result<PinView, RegistryError> {
        self.wait(self.registry.pin(&self.jobs(), name, HumanDuration::from_secs(seconds)))
    }

    fn unpin(&self, name: &str) -> Result<(), RegistryError> {
        self.wait(self.registry.unpin(&self.jobs(), name))
    }

    fn pins(&self) -> Vec<(String, u64)> {
        let pins = self.registry.pins(&self.site()).unwrap();
        pins.into_iter().map(|pin| (pin.name, pin.for_s)).collect()
    }

    fn rows_of_pins(&self) -> u64 {
        self.meta.get(|tx| tx.count(&schema::PIN)).unwrap()
    }
}

/// Something for every step of a run: files in quarantine whose time is over, a deletion whose time in the
/// trash is over, an untagged manifest, links that are due, and a blob without links.
fn with_garbage(place: &Place) -> Server<'_> {
    let server = place.open(true);
    let limits = Limits { trash_s: 7 * 24 * 3600, ..**server.registry.limits.load() };
    server.registry.limits.store(Arc::new(limits));
    server.wait(server.registry.recall_promises(&server.access.system("start"), true));
    server.push("a", b"in quarantine");
    server.skip(GRACE_S);
    server.collect(Mode::Scheduled);
    server.push_image("b", b"in the trash");
    server.delete_image("b", b"in the trash");
    server.push_image("c", b"kept");
    server.push("c", b"untagged");
    server.put("c", Reference::Digest(digest(image(b"untagged").as_bytes())), &image(b"untagged")).unwrap();
    server.push("c", b"unused");
    server.skip(30 * 24 * 3600);
    server
}

#[test]
fn while_a_pin_lives_no_run_removes_anything_and_afterwards_everything_goes() {
    for mode in [Mode::Scheduled, Mode::SpaceIsShort, Mode::Now, Mode::EmptyTrash] {
        let place = Place::new();
        let server = with_garbage(&place);
        server.pin("backup", 3600).unwrap();
        let before = (server.rows(), status::bytes_below(&place.dir.path().join("blobs")));
        let held = server.collect_untagged(mode, Untagged::For(0));
        assert_eq!(held, Collected { pinned: Some("backup".to_owned()), ..Collected::default() });
        assert_eq!((server.rows(), status::bytes_below(&place.dir.path().join("blobs"))), before);
        assert!(status::bytes_below(&place.dir.path().join("quarantine")) > 0);
        let site = server.site();
        let plan = server.registry.plan_collection(&site, mode, Untagged::For(0));
        assert!(matches!(server.wait(plan), Err(RegistryError::Pinned(name)) if name == "backup"));

        server.skip(3600);
        let done = server.collect_untagged(mode, Untagged::For(0));
        assert!(
            done.pinned.is_none() && done.trash == 1 && done.manifests == 1 && done.links > 0,
            "{done:?}"
        );
        assert!(done.blobs > 0 && done.freed_bytes > 0, "{mode:?}: {done:?}");
        assert_eq!(server.rows_of_pins(), 0, "a run removes the rows of pins that have ended");
        assert!(server.has_file(b"kept"));
        server.assert_clean("after the pin");
    }
}

#[test]
fn a_pin_that_is_set_while_a_run_works_ends_it_before_its_next_change() {
    let place = Place::new();
    let server = place.open(true);
    for number in 0..600_u32 {
        server.push("a", &number.to_be_bytes());
    }
    server.skip(GRACE_S);
    let links = || server.meta.get(|tx| tx.count(&schema::LINK)).unwrap();
    let (mut left, mut is_set) = (0, false);
    let grant = server.access.system("collect");
    let mut observer = |done: &Collected| {
        if done.links > 0 && !is_set {
            // The observer is called inside of the run's runtime.
            let set = thread::scope(|scope| scope.spawn(|| server.pin("backup", 3600)).join());
            set.unwrap().unwrap();
            (left, is_set) = (links(), true);
        }
        true
    };
    let run = server.registry.collect(&grant, Mode::Scheduled, Untagged::Never, &mut observer);
    let done = server.wait(run).unwrap();
    assert!(is_set && done.links > 0 && left > 0, "{done:?}");
    assert_eq!((links(), done.blobs, done.pinned.as_deref()), (left, 0, Some("backup")));
    server.unpin("backup").unwrap();
    server.collect(Mode::Scheduled);
    assert_eq!(server.rows()[..4], [0; 4]);
    server.assert_clean("after the next run");
}

#[test]
fn a_pin_is_renewed_removed_and_kept_by_a_restart() {
    let place = Place::new();
    let server = place.open(true);
    server.pin("first", 100).unwrap();
    server.pin("second", 50).unwrap();
    server.skip(40);
    assert_eq!(server.pins(), [("second".to_owned(), 10), ("first".to_owned(), 60)]);
    server.pin("second", 7 * 24 * 3600).unwrap();
    assert_eq!(server.pins(), [("first".to_owned(), 60), ("second".to_owned(), 7 * 24 * 3600)]);
    assert_eq!(server.rows_of_pins(), 2, "an end that was replaced leaves no row");
    drop(server);
    let server = place.open(true);
    assert_eq!(server.pins().len(), 2);
    server.unpin("second").unwrap();
    assert!(matches!(server.unpin("second"), Err(RegistryError::PinUnknown(name)) if name == "second"));
    server.skip(60);
    assert_eq!(server.pins(), []);
    assert!(matches!(server.unpin("first"), Err(RegistryError::PinUnknown(_))), "it has ended");
    assert_eq!(server.collect(Mode::Scheduled), Collected::default());
    server.assert_clean("after them");
}

#[test]
fn names_and_times_of_pins_are_checked_and_there_are_at_most_a_hundred() {
    let place = Place::new();
    let server = place.open(true);
    for name in ["", "Upper", "-first", ".", "a b", "a/b", "ä", &"a".repeat(65)] {
        assert!(matches!(server.pin(name, 60), Err(RegistryError::PinName)), "{name}");
        assert!(matches!(server.unpin(name), Err(RegistryError::PinName)), "{name}");
    }
    for seconds in [0, 7 * 24 * 3600 + 1, u32::MAX] {
        assert!(matches!(server.pin("a", seconds), Err(RegistryError::PinLength)), "{seconds}");
    }
    for number in 0..100 {
        server.pin(&format!("{number}"), 60).unwrap();
    }
    assert!(matches!(server.pin("one-more", 60), Err(RegistryError::TooManyPins(100))));
    server.pin("7", 120).unwrap();
    server.skip(60);
    server.pin("one-more", 60).unwrap();
    assert_eq!(server.rows_of_pins(), 2, "the rows of those that have ended are gone");
}

#[test]
fn a_damaged_row_holds_until_its_end_and_can_be_removed() {
    let place = Place::new();
    let server = place.open(true);
    server.push("a", b"unused");
    server.skip(GRACE_S);
    server.pin("damaged", 60).unwrap();
    let damage = |tx: &WriteTx<'_>| {
        let until = tx.now().running_s + 60;
        tx.put(&schema::PIN.raw(), (RunningSecond(until), "damaged"), &Raw(vec![9]))
    };
    server.wait(server.meta.write(damage)).unwrap();
    assert_eq!(server.collect(Mode::Scheduled).pinned.as_deref(), Some("damaged"));
    assert!(server.registry.pins(&server.site()).unwrap()[0].row.is_none());
    server.skip(60);
    assert_eq!(server.collect(Mode::Scheduled).blobs, 1);
    server.wait(server.meta.write(damage)).unwrap();
    server.unpin("damaged").unwrap();
    assert_eq!(server.rows_of_pins(), 0);
}

#[test]
fn what_is_due_is_told_as_pinned_until_the_end_of_the_last_pin() {
    let place = Place::new();
    let server = with_garbage(&place);
    server.push("c", b"in its grace");
    server.pin("first", 60).unwrap();
    server.pin("last", 3600).unwrap();
    let garbage = server.garbage();
    let of = |reason| garbage.parts.iter().find(|part| part.reason == reason);
    assert!(of(Reason::Due).is_none(), "{garbage:?}");
    let pinned = of(Reason::Pinned).unwrap();
    assert_eq!((pinned.first_in_s, pinned.last_in_s), (Some(3600), Some(3600)));
    for part in &garbage.parts {
        assert!(part.first_in_s.is_some_and(|in_s| in_s >= 3600), "{garbage:?}");
    }
    server.assert_sum("with pins");
    server.unpin("last").unwrap();
    server.unpin("first").unwrap();
    assert!(server.garbage().parts.iter().all(|part| part.reason != Reason::Pinned));
}

/// Sets a pin at the first call of the observer for which `is_time` holds, and ends with what was on the disk
/// then; the result of the run.
fn pin_while(server: &Server<'_>, mode: Mode, is_time: fn(&Collected) -> bool) -> (Collected, [u64; 2]) {
    let on_disk =
        || ["blobs", "quarantine"].map(|name| status::bytes_below(&server.place.dir.path().join(name)));
    let mut then = None;
    let mut observer = |done: &Collected| {
        if then.is_none() && is_time(done) {
            thread::scope(|scope| scope.spawn(|| server.pin("backup", 3600)).join()).unwrap().unwrap();
            then = Some(on_disk());
        }
        true
    };
    let grant = server.access.system("collect");
    let run = server.registry.collect(&grant, mode, Untagged::Never, &mut observer);
    let done = server.wait(run).unwrap();
    assert_eq!(on_disk(), then.unwrap(), "{done:?}");
    (done, on_disk())
}

#[test]
fn no_file_goes_from_quarantine_once_a_pin_is_acknowledged() {
    let place = Place::new();
    let server = place.open(true);
    for number in 0..600_u32 {
        server.push("a", &number.to_be_bytes());
    }
    server.skip(GRACE_S);
    assert_eq!(server.collect(Mode::Scheduled).blobs, 600);
    let (done, [_, left]) = pin_while(&server, Mode::Now, |done| done.freed_bytes > 0);
    assert!(left > 0 && done.freed_bytes > 0 && done.pinned.is_some(), "{done:?}");
    server.unpin("backup").unwrap();
    assert_eq!(server.collect(Mode::Now).freed_bytes, left);
    server.assert_clean("after the next run");
}

#[test]
fn no_file_of_a_condemned_blob_goes_once_a_pin_is_acknowledged() {
    let place = Place::new();
    let server = place.open(true);
    for number in 0..300_u32 {
        server.push("a", &number.to_be_bytes());
    }
    server.skip(GRACE_S);
    let (done, [left, _]) = pin_while(&server, Mode::Scheduled, |done| done.blobs > 0);
    assert!(left > 0 && done.blobs > 0 && done.pinned.is_some(), "{done:?}");
    server.unpin("backup").unwrap();
    assert!(server.registry.takes_owed_collection() && !server.registry.takes_owed_collection());
    server.collect(Mode::Scheduled);
    assert_eq!(server.rows()[..4], [0; 4]);
    server.assert_clean("after the next run");
}

//! Schedules that are set and reset, other settings, and rows that cannot be read.

use super::*;

#[test]
fn a_schedule_that_was_set_overrides_the_settings_until_it_is_reset() {
    let site = Site::with_one("daily 03:30");
    let set = site.set("check", "Every 1h").unwrap();
    assert_eq!((&*set.when, &*set.configured, set.setting), ("every 1h", "daily 03:30", "scheduler.check"));
    assert_eq!(set.next_ms, Some(EIGHT));
    let row = set.set.clone().unwrap();
    assert_eq!((&*row.when, &*row.by, row.at_ms), ("every 1h", "root", NOW_MS));
    let site = site.again("weekly");
    let listed = site.list().remove(0);
    assert_eq!(listed, ScheduleView { configured: "weekly mon 00:00".to_owned(), ..set });
    site.step(EIGHT);
    site.assert_ran(1);
    let last = site.list().remove(0).last.unwrap();
    assert_eq!(last.job.id, site.ran()[0].job.id);
    let reset = site.reset("check").unwrap();
    assert_eq!((&*reset.when, reset.set), ("weekly mon 00:00", None));
    site.reset("check").unwrap();
    site.set("check", "off").unwrap();
    assert_eq!(site.list().remove(0).next_ms, None);
    let mut entries = Vec::new();
    let read = site.scheduler.meta.read_blocking(|tx| {
        tx.scan_all(&schema::AUDIT, |_, AuditEntry { actor, action, target, .. }| {
            entries.push(format!("{actor} {action} {target}"));
            ControlFlow::Continue(())
        })
    });
    read.unwrap_or_else(|error: StoreError| panic!("{error}"));
    let expected =
        ["root schedule.set check: every 1h", "root schedule.reset check", "root schedule.set check: off"];
    assert_eq!(entries, expected);
}

#[test]
fn a_new_schedule_is_not_due_for_times_before_it() {
    let site = Site::with_one("hourly");
    site.step(EIGHT);
    site.assert_ran(1);
    // By the clock of the store, it is set 53 minutes before that.
    site.set("check", "daily 07:00").unwrap();
    site.step(EIGHT + MINUTE);
    site.assert_ran(1);
    site.reset("check").unwrap();
    site.scheduler.reconfigure(&config("off"));
    site.scheduler.reconfigure(&config("daily 07:06"));
    site.step(EIGHT + 2 * MINUTE);
    site.assert_ran(1);
    let mut moved = config("daily 03:30");
    moved.scheduler.timezone = "Asia/Tokyo".parse().unwrap();
    site.scheduler.reconfigure(&moved);
    let view = site.list().remove(0);
    assert_eq!(
        (&*view.timezone, view.next_ms),
        ("Asia/Tokyo", Some(NOW_MS - 400_000 + 11 * HOUR + 30 * MINUTE))
    );
}

#[test]
fn what_is_wrong_changes_nothing() {
    let site = Site::with_one("hourly");
    let unknown = site.set("Check", "hourly").unwrap_err();
    assert_eq!(unknown.to_string(), "\"Check\" is no job that runs by itself");
    assert!(matches!(site.reset("dump"), Err(ScheduleError::Unknown(_))));
    let wrong = site.set("check", "daily 25:00").unwrap_err();
    assert!(wrong.to_string().contains("not a time of day"), "{wrong}");
    let principal = Principal::User {
        id: UserId(7),
        name: "hanna".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: None,
    };
    let user = |disabled| {
        let written = site.scheduler.meta.write(move |tx| {
            tx.put(&schema::USER, UserId(7), &User { admin: true, disabled, ..User::sample("hanna") })?;
            tx.raise_epoch()
        });
        site.runtime.block_on(written).unwrap_or_else(|error: StoreError| panic!("{error}"));
    };
    user(false);
    let grant: Grant<RunJobs> = site.scheduler.access.site(&Caller { principal, address: None }).unwrap();
    user(true);
    let withdrawn = site.runtime.block_on(site.scheduler.set(&grant, "check", "off"));
    assert!(matches!(withdrawn, Err(ScheduleError::Withdrawn)), "{withdrawn:?}");
    let listed = site.list().remove(0);
    assert_eq!((&*listed.when, listed.set), ("hourly", None));
}

#[test]
fn damaged_rows_and_those_of_a_later_version_leave_the_settings() {
    let site = Site::with_one("hourly");
    site.set("check", "off").unwrap();
    let later = site.scheduler.meta.write(|tx| {
        let row = tx.get(&schema::SCHEDULE, "check")?.unwrap();
        tx.put(&schema::SCHEDULE, "check", &Schedule { when: "at full moon".to_owned(), ..row })
    });
    site.runtime.block_on(later).unwrap_or_else(|error: StoreError| panic!("{error}"));
    let site = site.again("hourly");
    let listed = site.list().remove(0);
    assert_eq!((&*listed.when, &*listed.set.unwrap().when), ("hourly", "at full moon"));
    let damaged = site.scheduler.meta.write(|tx| {
        tx.put(&schema::SCHEDULE.raw(), "check", &Raw(vec![9]))?;
        tx.put(&schema::SCHEDULE_RUN.raw(), "check", &Raw(vec![9]))
    });
    site.runtime.block_on(damaged).unwrap_or_else(|error: StoreError| panic!("{error}"));
    let site = site.again("hourly");
    assert_eq!(site.list().remove(0).set, None);
    site.step(EIGHT);
    site.assert_ran(1);
}

#[test]
fn a_store_that_takes_no_change_keeps_no_job_from_running() {
    let site = Site::with_one("hourly");
    std::fs::remove_file(site.directory.path().join(FILE_NAME)).unwrap();
    site.step(EIGHT);
    site.assert_ran(1);
    assert_eq!(site.run_row(), None);
    let first = site.ran()[0].job.id;
    site.step(EIGHT + MINUTE);
    assert_eq!(site.ran()[0].job.id, first);
    site.step(EIGHT + HOUR);
    assert_ne!(site.ran()[0].job.id, first);
}

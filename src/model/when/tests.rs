use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn when(text: &str) -> When {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The next times after `from`, in UTC to the minute.
fn times(text: &str, from: &str, zone: &TimeZone, count: usize) -> Vec<String> {
    let schedule = when(text);
    let from: Timestamp = from.parse().unwrap();
    let times = successors(schedule.next(from, zone), |time| schedule.next(*time, zone));
    times.take(count).map(|time| time.strftime("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn every_form_is_read_and_written_in_its_own_words() {
    for (text, canonical) in [
        ("off", "off"),
        (" OFF ", "off"),
        ("hourly", "hourly"),
        ("daily", "daily 00:00"),
        ("daily 3:30", "daily 03:30"),
        ("Daily  03:30", "daily 03:30"),
        ("weekly", "weekly mon 00:00"),
        ("weekly Sunday", "weekly sun 00:00"),
        ("weekly sat 23:59", "weekly sat 23:59"),
        ("every 6h", "every 6h"),
        ("every 6 h", "every 6h"),
        ("every 90s", "every 90s"),
        ("5 4 * * 0", "5 4 * * 0"),
        ("*/15  0-5,22 1,15 JAN-mar Mon-Fri", "*/15 0-5,22 1,15 jan-mar mon-fri"),
    ] {
        let read = when(text);
        assert_eq!(read.to_string(), canonical, "{text}");
        assert_eq!(when(canonical), read);
        assert_eq!(serde_json::to_string(&read).unwrap(), format!("{canonical:?}"));
        assert_eq!(serde_json::from_str::<When>(&format!("{text:?}")).unwrap(), read);
    }
    assert!(when("off").is_off() && !when("hourly").is_off());
}

#[test]
fn what_is_no_schedule_is_refused_with_the_right_form() {
    for (text, why) in [
        ("", "`` is not a schedule: write off"),
        ("never", "is not a schedule"),
        ("@daily", "is not a schedule"),
        ("every", "is not a schedule"),
        ("daily 03:30 04:30", "is not a schedule"),
        ("5 4 * *", "is not a schedule"),
        ("5 4 * * 0 7", "is not a schedule"),
        ("daily 24:00", "`24:00` is not a time of day"),
        ("daily 3", "`3` is not a time of day"),
        ("daily 3:5", "is not a time of day"),
        ("daily 003:05", "is not a time of day"),
        ("daily +3:05", "is not a time of day"),
        ("daily 03:60", "is not a time of day"),
        ("weekly 03:30", "`03:30` is not a day of the week"),
        ("weekly sund 03:30", "is not a day of the week"),
        ("every day", "`day` is not a duration"),
        ("every 59s", "every 59s is too often"),
        ("every 0", "is too often"),
        ("60 * * * *", "`60` is not the minute of a cron schedule: write *, a number from 0 to 59"),
        ("* 24 * * *", "the hour of a cron"),
        ("* * 0 * *", "the day of the month of a cron"),
        ("* * 32 * *", "the day of the month of a cron"),
        ("* * * 13 *", "the month of a cron"),
        ("* * * * 8", "the day of the week of a cron"),
        ("* * * * fri-mon", "the day of the week of a cron"),
        ("*/0 * * * *", "the minute of a cron"),
        ("5/2 * * * *", "the minute of a cron"),
        ("1, * * * *", "the minute of a cron"),
        ("-1 * * * *", "the minute of a cron"),
        ("+1 * * * *", "the minute of a cron"),
        ("1- * * * *", "the minute of a cron"),
        ("*-5 * * * *", "the minute of a cron"),
        ("mon * * * *", "the minute of a cron"),
        ("999999999999 * * * *", "the minute of a cron"),
        ("0 0 L * *", "the day of the month of a cron"),
        ("0 0 ? * *", "the day of the month of a cron"),
        ("0 0 * * 5#3", "the day of the week of a cron"),
        ("0 0 30 2 *", "`0 0 30 2 *` names a day that does not exist"),
        ("0 0 31 4,6,9,11 *", "names a day that does not exist"),
    ] {
        let error = text.parse::<When>().unwrap_err().to_string();
        assert!(error.contains(why), "{text:?}: {error}");
    }
    let long = format!("daily {}", "x".repeat(1_000));
    assert!(long.parse::<When>().unwrap_err().to_string().len() < 250);
}

#[test]
fn times_follow_one_another() {
    let utc = TimeZone::UTC;
    let from = "2026-11-30T10:20:30Z";
    for (text, expected) in [
        ("hourly", ["2026-11-30 11:00", "2026-11-30 12:00", "2026-11-30 13:00"]),
        ("daily 10:20", ["2026-12-01 10:20", "2026-12-02 10:20", "2026-12-03 10:20"]),
        ("daily 10:21", ["2026-11-30 10:21", "2026-12-01 10:21", "2026-12-02 10:21"]),
        ("weekly mon 10:20", ["2026-12-07 10:20", "2026-12-14 10:20", "2026-12-21 10:20"]),
        ("weekly sun 03:30", ["2026-12-06 03:30", "2026-12-13 03:30", "2026-12-20 03:30"]),
        ("every 6h", ["2026-11-30 12:00", "2026-11-30 18:00", "2026-12-01 00:00"]),
        ("every 7m", ["2026-11-30 10:24", "2026-11-30 10:31", "2026-11-30 10:38"]),
        ("5 4 * * 0", ["2026-12-06 04:05", "2026-12-13 04:05", "2026-12-20 04:05"]),
        ("5 4 * * 7", ["2026-12-06 04:05", "2026-12-13 04:05", "2026-12-20 04:05"]),
        ("*/20 10,11 * * *", ["2026-11-30 10:40", "2026-11-30 11:00", "2026-11-30 11:20"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 12 31 * *", ["2026-12-31 12:00", "2027-01-31 12:00", "2027-03-31 12:00"]),
        // One of both days is enough.
        ("0 0 13 * fri", ["2026-12-04 00:00", "2026-12-11 00:00", "2026-12-13 00:00"]),
        // A field that begins with * restricts the other one.
        ("0 0 */2 * tue", ["2026-12-01 00:00", "2026-12-15 00:00", "2026-12-29 00:00"]),
        ("0 0 1-7 * */7", ["2026-12-06 00:00", "2027-01-03 00:00", "2027-02-07 00:00"]),
    ] {
        assert_eq!(times(text, from, &utc, 3), expected, "{text}");
    }
    assert_eq!(when("off").next(from.parse().unwrap(), &utc), None);
    assert_eq!(when("off").latest(from.parse().unwrap(), &utc), None);
    assert_eq!(when("hourly").next(Timestamp::MAX, &utc), None);
    assert_eq!(times("hourly", "2026-11-30T10:59:59.999Z", &utc, 1), ["2026-11-30 11:00"]);
    assert_eq!(times("hourly", "2026-11-30T11:00:00Z", &utc, 1), ["2026-11-30 12:00"]);
}

/// On 2026-03-29 in Berlin, 02:00 to 02:59 do not exist: 01:00 UTC is 03:00.
#[test]
fn a_local_time_that_does_not_exist_is_the_moment_of_the_change() {
    let berlin = zone("Europe/Berlin");
    let from = "2026-03-28T23:30:00Z";
    for (text, expected) in [
        ("daily 02:30", ["2026-03-29 01:00", "2026-03-30 00:30", "2026-03-31 00:30"]),
        ("daily 02:00", ["2026-03-29 01:00", "2026-03-30 00:00", "2026-03-31 00:00"]),
        ("daily 03:00", ["2026-03-29 01:00", "2026-03-30 01:00", "2026-03-31 01:00"]),
        ("hourly", ["2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00"]),
        ("*/30 2,3 * * *", ["2026-03-29 01:00", "2026-03-29 01:30", "2026-03-30 00:00"]),
        ("weekly sun 02:59", ["2026-03-29 01:00", "2026-04-05 00:59", "2026-04-12 00:59"]),
        ("every 12h", ["2026-03-29 00:00", "2026-03-29 12:00", "2026-03-30 00:00"]),
    ] {
        assert_eq!(times(text, from, &berlin, 3), expected, "{text}");
    }
}

/// On 2026-10-25 in Berlin, 02:00 to 02:59 happen twice: from 00:00 and from 01:00 UTC on.
#[test]
fn a_local_time_that_happens_twice_counts_once() {
    let berlin = zone("Europe/Berlin");
    let from = "2026-10-24T22:30:00Z";
    for (text, expected) in [
        ("daily 02:30", ["2026-10-25 00:30", "2026-10-26 01:30", "2026-10-27 01:30"]),
        ("daily 03:00", ["2026-10-25 02:00", "2026-10-26 02:00", "2026-10-27 02:00"]),
        ("hourly", ["2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 02:00"]),
        ("*/30 2 * * *", ["2026-10-25 00:00", "2026-10-25 00:30", "2026-10-26 01:00"]),
    ] {
        assert_eq!(times(text, from, &berlin, 3), expected, "{text}");
    }
    // From between the first and the second time.
    assert_eq!(times("daily 02:30", "2026-10-25T01:10:00Z", &berlin, 1), ["2026-10-26 01:30"]);
    assert_eq!(times("daily 02:10", "2026-10-25T00:10:00Z", &berlin, 1), ["2026-10-26 01:10"]);
}

#[test]
fn zones_far_from_utc_and_days_that_a_zone_skips_are_counted() {
    let [kathmandu, apia] = ["Asia/Kathmandu", "Pacific/Apia"].map(zone);
    assert_eq!(times("hourly", "2026-11-30T10:20:00Z", &kathmandu, 1), ["2026-11-30 11:15"]);
    // Samoa had no 30 December 2011: the 31st began at 10:00 UTC.
    let expected = ["2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00"];
    assert_eq!(times("daily 12:00", "2011-12-29T12:00:00Z", &apia, 3), expected);
}

#[test]
fn the_latest_time_is_the_last_one_that_has_passed() {
    let berlin = zone("Europe/Berlin");
    for (text, now, latest) in [
        ("daily 03:30", "2026-11-30T02:30:00Z", "2026-11-30T02:30:00Z"),
        ("daily 03:30", "2026-11-30T02:29:59Z", "2026-11-29T02:30:00Z"),
        ("*/5 * * * *", "2026-11-30T10:59:59Z", "2026-11-30T10:55:00Z"),
        ("weekly mon 10:00", "2026-11-30T08:00:00Z", "2026-11-23T09:00:00Z"),
        ("0 0 29 2 *", "2026-11-30T08:00:00Z", "2024-02-28T23:00:00Z"),
        ("every 6h", "2026-11-30T11:59:59Z", "2026-11-30T06:00:00Z"),
        ("every 4000d", "2026-11-30T00:00:00Z", "2024-10-04T00:00:00Z"),
    ] {
        let found = when(text).latest(now.parse().unwrap(), &berlin);
        assert_eq!(found.unwrap().to_string(), latest, "{text}");
    }
}

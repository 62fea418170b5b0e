//! Numbers and times as people read them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// `1 blob`, `2 blobs`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A time of the API in the time zone of this computer, and how far away it is: `2026-11-28 20:12 (2 hours ago)`.
pub(super) fn when(time: &str) -> String {
    when_at(time, Timestamp::now(), &TimeZone::system())
}

fn when_at(time: &str, now: Timestamp, zone: &TimeZone) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
    let local = time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M");
    let distance = now.duration_since(time);
    let far = lasting(distance.abs());
    if distance.is_negative() { format!("{local} (in {far})") } else { format!("{local} ({far} ago)") }
}

/// A number of seconds in its largest unit: `3 days`.
pub(super) fn seconds(seconds: u64) -> String {
    lasting(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

fn lasting(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let units = [("day", "days", 86_400), ("hour", "hours", 3600), ("minute", "minutes", 60)];
    let unit = units.iter().find(|(_, _, length)| seconds >= *length);
    match unit {
        Some((one, many, length)) => count(seconds / length, one, many),
        None => count(seconds, "second", "seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "repository", "repositories"), "1 repository");
        assert_eq!(count(0, "repository", "repositories"), "0 repositories");
        assert_eq!(count(2, "blob", "blobs"), "2 blobs");
    }

    #[test]
    fn times_are_local_and_relative() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (time, text) in [
            ("2026-11-28T11:59:59.5Z", "2026-11-28 13:59 (0 seconds ago)"),
            ("2026-11-28T11:58:59Z", "2026-11-28 13:58 (1 minute ago)"),
            ("2026-11-28T10:00:00Z", "2026-11-28 12:00 (2 hours ago)"),
            ("2026-11-01T10:00:00Z", "2026-11-01 12:00 (27 days ago)"),
            ("2026-11-30T12:00:00Z", "2026-11-30 14:00 (in 2 days)"),
            ("never", "never"),
        ] {
            assert_eq!(when_at(time, now, &zone), text);
        }
        assert_eq!(seconds(90_000), "1 day");
    }
}

//! Numbers and times for people; programs get them unchanged.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(super) use crate::model::units::counted;

/// A time of the API in the time zone of this computer, with its distance: `2026-11-28 20:12 (2 hours ago)`.
pub(super) fn when(time: &str) -> String {
    when_at(time, Timestamp::now(), &TimeZone::system())
}

fn when_at(time: &str, now: Timestamp, zone: &TimeZone) -> String {
    let Ok(parsed) = time.parse::<Timestamp>() else { return time.to_owned() };
    format!("{} ({})", local(parsed, zone), distance_at(time, now))
}

/// A time of the API in the time zone of this computer, to the second.
pub(super) fn to_the_second(time: &str) -> String {
    let Ok(parsed) = time.parse::<Timestamp>() else { return time.to_owned() };
    parsed.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in milliseconds since 1970, in the form of [`when`].
pub(super) fn when_ms(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "an unknown time".to_owned(), |time| when(&time.to_string()))
}

/// A time in a time zone, to the minute.
pub(super) fn local(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `2 hours ago` or `in 2 hours`; the text itself if it is not a time.
pub(super) fn distance(time: &str) -> String {
    distance_at(time, Timestamp::now())
}

fn distance_at(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
    let distance = now.duration_since(time);
    if distance.is_negative() {
        format!("in {}", nearest(distance.abs()))
    } else {
        format!("{} ago", lasting(distance))
    }
}

/// `2 hours ago`, of a time in the past: also if another clock, a little ahead, has set it.
pub(super) fn ago(time: &str) -> String {
    ago_at(time, Timestamp::now())
}

fn ago_at(time: &str, now: Timestamp) -> String {
    let Ok(parsed) = time.parse::<Timestamp>() else { return time.to_owned() };
    distance_at(time, now.max(parsed))
}

/// A number of seconds in the largest unit: `3 days`.
pub(super) fn seconds(seconds: u64) -> String {
    lasting(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

/// Rounded to the nearest unit: a token created a moment ago for 90 days ends in 90 days, not in 89.
fn nearest(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let half =
        UNITS.iter().find(|(_, _, _, from)| seconds >= *from).map_or(0, |(_, _, length, _)| length / 2);
    lasting(duration.saturating_add(SignedDuration::from_secs(i64::try_from(half).unwrap_or_default())))
}

/// The name of a unit, its length, and the number of seconds from which on it is used: a year is shown as 365
/// days.
const UNITS: [(&str, &str, u64, u64); 4] = [
    ("year", "years", 31_557_600, 2 * 31_557_600),
    ("day", "days", 86_400, 86_400),
    ("hour", "hours", 3600, 3600),
    ("minute", "minutes", 60, 60),
];

fn lasting(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    match UNITS.iter().find(|(_, _, _, from)| seconds >= *from) {
        Some((one, many, length, _)) => counted(seconds / length, one, many),
        None => counted(seconds, "second", "seconds"),
    }
}

/// Compares names with numbers by value: `v1.2` comes before `v1.10`.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (Some(first), Some(second)) = (one.chars().next(), other.chars().next()) else {
            return one.len().cmp(&other.len());
        };
        if !first.is_ascii_digit() || !second.is_ascii_digit() {
            if first != second {
                return first.cmp(&second);
            }
            (one, other) = (&one[first.len_utf8()..], &other[second.len_utf8()..]);
            continue;
        }
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, rest) = one.split_at(digits(one));
        let (other_number, other_rest) = other.split_at(digits(other));
        let (value, other_value) = (number.trim_start_matches('0'), other_number.trim_start_matches('0'));
        let order = value.len().cmp(&other_value.len()).then_with(|| value.cmp(other_value));
        // Of equal numbers, the one with fewer leading zeros comes first.
        let order = order.then_with(|| number.len().cmp(&other_number.len()));
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(when_ms(u64::MAX), "an unknown time");
    }

    #[test]
    fn what_has_passed_is_not_in_the_future() {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        for (time, text) in [
            ("2026-11-28T12:00:00Z", "0 seconds ago"),
            ("2026-11-28T11:59:59Z", "1 second ago"),
            ("2026-11-28T11:58:30.25Z", "1 minute ago"),
            ("2026-11-28T09:30:00Z", "2 hours ago"),
            ("2025-11-28T12:00:00Z", "365 days ago"),
            ("2024-11-01T12:00:00Z", "2 years ago"),
            ("2026-11-28T12:00:05Z", "0 seconds ago"),
            ("never", "never"),
        ] {
            assert_eq!(ago_at(time, now), text, "{time}");
        }
        for (time, text) in [
            ("2026-11-28T12:00:05Z", "in 5 seconds"),
            ("2027-02-26T11:59:58Z", "in 90 days"),
            ("2026-11-28T13:20:00Z", "in 1 hour"),
            ("2026-11-28T13:40:00Z", "in 2 hours"),
        ] {
            assert_eq!(distance_at(time, now), text, "{time}");
        }
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["v1.10", "v1.2", "v1.1", "latest", "v1.11", "v1.02", "v1", "10", "9", "v1.1-rc1"];
        names.sort_by(|one, other| natural(one, other));
        let expected = ["9", "10", "latest", "v1", "v1.1", "v1.1-rc1", "v1.2", "v1.02", "v1.10", "v1.11"];
        assert_eq!(names, expected);
    }
}

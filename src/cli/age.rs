//! How long ago something was, and the order that people expect of names with numbers in them.

use std::cmp::Ordering;

use jiff::Timestamp;

/// `2 hours ago`; the time itself when it cannot be read.
pub(super) fn ago(time: &str) -> String {
    ago_at(time, Timestamp::now())
}

fn ago_at(time: &str, now: Timestamp) -> String {
    const UNITS: [(&str, u64); 4] = [("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60)];
    let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
    // A clock that is a little ahead makes nothing come from the future.
    let seconds = u64::try_from(now.duration_since(time).as_secs()).unwrap_or_default();
    let (unit, length) = UNITS.into_iter().find(|(_, length)| seconds >= *length).unwrap_or(("second", 1));
    let number = seconds / length;
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// Numbers in names count as numbers: `v1.2` comes before `v1.10`.
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
        // Of equal numbers the one with fewer zeros in front comes first.
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
    fn ages_are_short() {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        for (time, text) in [
            ("2026-11-28T12:00:00Z", "0 seconds ago"),
            ("2026-11-28T11:59:59Z", "1 second ago"),
            ("2026-11-28T11:58:30.25Z", "1 minute ago"),
            ("2026-11-28T09:30:00Z", "2 hours ago"),
            ("2026-11-01T12:00:00Z", "27 days ago"),
            ("2024-11-01T12:00:00Z", "2 years ago"),
            ("2026-11-28T12:00:05Z", "0 seconds ago"),
            ("never", "never"),
        ] {
            assert_eq!(ago_at(time, now), text, "{time}");
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

//! Rules of sizes and durations.

use proptest::prelude::*;

use super::*;

#[test]
fn sizes_read_as_people_write_them() {
    let cases = [
        ("0", 0),
        ("7", 7),
        ("7B", 7),
        ("512KiB", 524_288),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        ("2GiB", 2_147_483_648),
        ("1TB", 1_000_000_000_000),
        (" 1TiB ", 1 << 40),
        ("18446744073709551615", u64::MAX),
    ];
    for (text, bytes) in cases {
        assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
    }
    for text in
        ["", "MB", "-1MB", "+1", "1.5GiB", "1e3", "1XB", "1KiBs", "KiB1", "1 2", "1_000", "٣MB", "10%"]
    {
        assert!(matches!(text.parse::<ByteSize>(), Err(UnitError::Size { .. })), "{text}");
    }
    for text in ["18446744073709551616", "16777216TiB"] {
        assert!(matches!(text.parse::<ByteSize>(), Err(UnitError::SizeTooLarge { .. })), "{text}");
    }
}

#[test]
fn durations_read_as_people_write_them() {
    let cases = [
        ("0s", 0),
        ("0", 0),
        ("30s", 30),
        ("15m", 900),
        ("12h", 43_200),
        ("7d", 604_800),
        ("4w", 2_419_200),
        ("1 h", 3600),
    ];
    for (text, seconds) in cases {
        assert_eq!(text.parse::<HumanDuration>().unwrap().as_secs(), seconds, "{text}");
    }
    for text in ["", "s", "5", "-1s", "1.5h", "1h30m", "1H", "1M", "1y", "1ms", "1 d ago"] {
        assert!(matches!(text.parse::<HumanDuration>(), Err(UnitError::Duration { .. })), "{text}");
    }
    for text in ["4294967296s", "49711d", "99999999999999999999w"] {
        assert!(matches!(text.parse::<HumanDuration>(), Err(UnitError::DurationTooLong { .. })), "{text}");
    }
    assert!("49710d".parse::<HumanDuration>().is_ok());
}

#[test]
fn what_was_written_is_shown_again() {
    for text in ["0", "512KiB", "1024KiB", "10MB", "2GiB", "1048576"] {
        assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
    }
    for text in ["0s", "24h", "7d", "4w", "90s", "60m"] {
        assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), text);
    }
    assert_eq!(ByteSize::mib(4).to_string(), "4MiB");
    assert_eq!(HumanDuration::hours(24).to_string(), "24h");
    assert_eq!(ByteSize::from(10_000_000).to_string(), "10MB");
    assert_eq!(ByteSize::from(1_048_576).to_string(), "1MiB");
    assert_eq!(ByteSize::from(0).to_string(), "0");
}

#[test]
fn equal_amounts_are_equal_however_written() {
    assert_eq!("1024KiB".parse(), Ok(ByteSize::mib(1)));
    assert_eq!("24h".parse(), Ok(HumanDuration::days(1)));
    assert!(ByteSize::kib(1) < ByteSize::gib(1));
    assert!(HumanDuration::minutes(2) > HumanDuration::from_secs(119));
    assert_eq!(Duration::from(HumanDuration::ZERO), Duration::ZERO);
}

#[test]
fn an_error_says_what_to_write() {
    let error = serde_json::from_str::<ByteSize>("\"10XB\"").unwrap_err().to_string();
    assert!(
        error.starts_with("`10XB` is not a size: write a whole number and a unit, such as 512KiB"),
        "{error}"
    );
    let error = serde_json::from_str::<HumanDuration>("30").unwrap_err().to_string();
    assert!(error.contains("expected a duration in quotes"), "{error}");
}

proptest! {
    #[test]
    fn shown_sizes_read_back(bytes in any::<u64>(), shift in 0..64_u32) {
        let size = ByteSize::from(bytes >> shift);
        prop_assert_eq!(size.bytes(), bytes >> shift);
        prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        prop_assert_eq!(serde_json::from_value::<ByteSize>(serde_json::to_value(size).unwrap()).unwrap(), size);
    }

    #[test]
    fn whatever_parses_is_shown_in_a_form_that_reads_back(text in "[0-9]{1,6} ?([KMGT]i?B|B|[smhdw])?|\\PC{0,8}") {
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        if let Ok(duration) = text.parse::<HumanDuration>() {
            prop_assert_eq!(duration.to_string().parse::<HumanDuration>().unwrap(), duration);
        }
    }
}

//! The expiry of a token: `90d`, `2027-01-31`, or `never`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::errors::{Exit, Failure};
use super::words::local;
use crate::model::units::HumanDuration;

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It does not.
    Never,
    /// After this time.
    After(HumanDuration),
    /// At the start of a day in the time zone of this computer.
    On(Date),
    /// At a time.
    At(Timestamp),
}

/// The text is none of the three forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a duration such as 90d, nor a day such as 2027-01-31, nor `never`")]
pub(super) struct ExpiryError(String);

impl FromStr for Expiry {
    type Err = ExpiryError;

    fn from_str(text: &str) -> Result<Self, ExpiryError> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(duration) = text.parse() {
            return Ok(Self::After(duration));
        }
        let time = text.parse().map(Self::At).or_else(|_| text.parse().map(Self::On));
        time.map_err(|_| ExpiryError(text.to_owned()))
    }
}

impl Expiry {
    /// The seconds from now until then; `None`: it does not expire.
    pub(super) fn lifetime_s(self, now: SystemTime) -> Result<Option<u64>, Failure> {
        self.lifetime_in(now, &TimeZone::system())
    }

    fn lifetime_in(self, now: SystemTime, zone: &TimeZone) -> Result<Option<u64>, Failure> {
        let invalid = |what: String| {
            Failure::new(Exit::Usage, "LIFETIME_INVALID", what)
                .fix("name a day to come, such as 2027-01-31, or a duration, such as 90d")
        };
        let at = match self {
            Self::Never => return Ok(None),
            Self::After(duration) => return Ok(Some(duration.as_secs())),
            Self::At(at) => at,
            Self::On(day) => {
                day.to_zoned(zone.clone()).map_err(|error| invalid(error.to_string()))?.timestamp()
            }
        };
        // Rounded up, so that it is not before the day that was named.
        let up = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
        SystemTime::from(at)
            .duration_since(now)
            .map(|left| Some(up(left)))
            .map_err(|_| invalid(format!("{} is in the past", local(at, zone))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn durations_days_times_and_never_are_read() {
        let lifetime = |text: &str| {
            // The last hour of 27 November 2026 in UTC.
            let now = UNIX_EPOCH + Duration::from_hours(24 * 20_785) - Duration::from_hours(1);
            text.parse::<Expiry>().unwrap().lifetime_in(now, &TimeZone::UTC)
        };
        assert_eq!(lifetime("never").unwrap(), None);
        assert_eq!(lifetime("90d").unwrap(), Some(90 * 86_400));
        assert_eq!(lifetime("2026-11-28").unwrap(), Some(3600));
        assert_eq!(lifetime("2026-11-28T00:00:30Z").unwrap(), Some(3630));
        assert!(lifetime("2026-11-27").unwrap_err().to_string().contains("2026-11-27 00:00 is in the past"));
        // A day begins by the time zone of the user.
        let east = TimeZone::fixed(jiff::tz::offset(2));
        let day: Expiry = "2026-11-28".parse().unwrap();
        let midnight = UNIX_EPOCH + Duration::from_hours(24 * 20_785);
        assert_eq!(day.lifetime_in(midnight - Duration::from_hours(3), &east).unwrap(), Some(3600));
        for text in ["soon", "2026-13-01", "", "90"] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }
}

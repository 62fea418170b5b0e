//! When a recurring job runs, as people write it in settings and commands: `daily 03:30`, `every 6h`, `off`,
//! or the five fields of cron.

mod error;
mod fields;
#[cfg(test)]
mod tests;

use std::fmt;
use std::iter::successors;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

pub use self::error::WhenError;

use self::fields::{Fields, WEEKDAYS};
use super::text::{quote, serde_as_text};
use super::units::HumanDuration;

/// The shortest time between two runs, in seconds.
const SHORTEST: u64 = 60;
/// Hours before a moment in which its latest time is looked for, one after the other: few times are in the
/// first of them that has any.
const LOOK_BACK: [i64; 6] = [2, 26, 8 * 24, 32 * 24, 367 * 24, 40 * 366 * 24];

/// When a recurring job runs. Its times follow from the text and a time zone alone, so a restart changes none
/// of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Off,
    /// At multiples of this since 1970 in UTC.
    Every(HumanDuration),
    /// At times of a local clock, written like this.
    Local {
        fields: Fields,
        text: String,
    },
}

impl When {
    /// Never.
    pub const OFF: Self = Self(Form::Off);

    /// Whether it is never.
    pub const fn is_off(&self) -> bool {
        matches!(self.0, Form::Off)
    }

    /// The first time after `after`. A local time that happens twice counts once, the first time; one that a
    /// clock in `zone` skips is the moment at which the clock skips it.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.0 {
            Form::Off => None,
            Form::Every(every) => {
                let seconds = i64::try_from(every.as_secs()).ok()?;
                Timestamp::from_second(multiple(after, seconds).checked_add(seconds)?).ok()
            }
            Form::Local { fields, .. } => next_local(fields, after, zone),
        }
    }

    /// The last time that is not after `now`.
    pub fn latest(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Form::Every(every) = &self.0 {
            return Timestamp::from_second(multiple(now, i64::try_from(every.as_secs()).ok()?)).ok();
        }
        LOOK_BACK.iter().find_map(|hours| {
            let from = now.checked_sub(SignedDuration::from_hours(*hours)).ok()?;
            let times = successors(self.next(from, zone), |time| self.next(*time, zone));
            times.take_while(|time| *time <= now).last()
        })
    }
}

/// The last multiple of `seconds` that is not after `time`, in Unix seconds.
fn multiple(time: Timestamp, seconds: i64) -> i64 {
    time.as_second().div_euclid(seconds) * seconds
}

fn next_local(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let start = zone.to_datetime(after);
    let mut from = start.date().at(start.hour(), start.minute(), 0, 0);
    loop {
        let local = fields.first_from(from)?;
        let instant = instant(local, zone)?;
        if instant > after {
            return Some(instant);
        }
        // Where local times happen twice, those of the first time may lie before `after`.
        from = local.checked_add(SignedDuration::from_mins(1)).ok()?;
    }
}

/// The moment of a local time.
fn instant(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(local).ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            // By the offset behind the gap, a time in the gap lies before it.
            let before = after.to_timestamp(local).ok()?;
            zone.following(before).next().map(|transition| transition.timestamp())
        }
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let midnight = (0, 0);
        let form = match *words.as_slice() {
            ["off"] => Form::Off,
            ["every", ref rest @ ..] if !rest.is_empty() => every(&rest.concat())?,
            ["hourly"] => local("hourly".to_owned(), ["0", "*", "*", "*", "*"])?,
            ["daily"] => daily(midnight)?,
            ["daily", time] => daily(time_of_day(time)?)?,
            ["weekly"] => weekly("mon", midnight)?,
            ["weekly", day] => weekly(weekday(day)?, midnight)?,
            ["weekly", day, time] => weekly(weekday(day)?, time_of_day(time)?)?,
            [minute, hour, day, month, weekday] => {
                local(words.join(" "), [minute, hour, day, month, weekday])?
            }
            _ => return Err(WhenError::Form { text: quote(text) }),
        };
        Ok(Self(form))
    }
}

fn every(text: &str) -> Result<Form, WhenError> {
    let every: HumanDuration = text.parse()?;
    if every.as_secs() < SHORTEST { Err(WhenError::TooOften { every }) } else { Ok(Form::Every(every)) }
}

fn daily((hour, minute): (u8, u8)) -> Result<Form, WhenError> {
    let (hour_text, minute_text) = (hour.to_string(), minute.to_string());
    local(format!("daily {hour:02}:{minute:02}"), [&minute_text, &hour_text, "*", "*", "*"])
}

fn weekly(day: &str, (hour, minute): (u8, u8)) -> Result<Form, WhenError> {
    let (hour_text, minute_text) = (hour.to_string(), minute.to_string());
    local(format!("weekly {day} {hour:02}:{minute:02}"), [&minute_text, &hour_text, "*", "*", day])
}

fn local(text: String, fields: [&str; 5]) -> Result<Form, WhenError> {
    let fields = Fields::parse(fields)?;
    if fields.first_from(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none() {
        return Err(WhenError::Never { text: quote(&text) });
    }
    Ok(Form::Local { fields, text })
}

/// Hour and minute of a text such as `03:30`.
fn time_of_day(text: &str) -> Result<(u8, u8), WhenError> {
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>, end: u8| {
        let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten().filter(|number: &u8| *number < end)
    };
    let parts = text.split_once(':');
    let time = parts.and_then(|(hour, minute)| Some((number(hour, 1..=2, 24)?, number(minute, 2..=2, 60)?)));
    time.ok_or_else(|| WhenError::Time { text: quote(text) })
}

/// The short name of a day.
fn weekday(text: &str) -> Result<&'static str, WhenError> {
    let day = WEEKDAYS.iter().find(|day| **day == text || day[..3] == *text);
    day.map(|day| &day[..3]).ok_or_else(|| WhenError::Day { text: quote(text) })
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Off => f.write_str("off"),
            Form::Every(every) => write!(f, "every {every}"),
            Form::Local { text, .. } => f.write_str(text),
        }
    }
}

serde_as_text! {
    When: "a schedule in quotes, such as \"daily 03:30\", \"every 6h\" or \"off\"",
}

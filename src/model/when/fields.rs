//! The five fields of cron: minute, hour, day of the month, month, day of the week.

use jiff::civil::{Date, DateTime};

use super::error::WhenError;
use crate::model::text::quote;

/// Days in which the next one is looked for. The calendar repeats after 28 years, but for a leap day that a
/// century may lack.
const MAX_DAYS: usize = 40 * 366;

/// The days of the week, from 0 on.
pub(super) const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The times of a local clock that five fields select.
///
/// As in Vixie cron, a day must be both a selected day of the month and a selected day of the week if one of
/// these fields begins with `*`; if neither does, one of both is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: Numbers,
    hours: Numbers,
    days: Numbers,
    months: Numbers,
    weekdays: Numbers,
    both: bool,
}

/// Numbers from 0 to 63, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers(u64);

impl Numbers {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0.checked_shr(number).is_some_and(|bits| bits & 1 == 1))
    }

    const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }
}

/// What a field may have.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// The words for its numbers, the first for `first`. Three letters of a longer one are enough.
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, words: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, words: &[] };
const DAY: Field = Field { name: "day of the month", first: 1, last: 31, words: &[] };
const MONTH: Field = Field { name: "month", first: 1, last: 12, words: &MONTHS };
/// Sunday is 0 and 7.
const WEEKDAY: Field = Field { name: "day of the week", first: 0, last: 7, words: &WEEKDAYS };

impl Fields {
    pub(super) fn parse([minute, hour, day, month, weekday]: [&str; 5]) -> Result<Self, WhenError> {
        let mut weekdays = WEEKDAY.numbers(weekday)?;
        if weekdays.has(7) {
            weekdays = weekdays.with(0);
        }
        Ok(Self {
            minutes: MINUTE.numbers(minute)?,
            hours: HOUR.numbers(hour)?,
            days: DAY.numbers(day)?,
            months: MONTH.numbers(month)?,
            weekdays,
            both: day.starts_with('*') || weekday.starts_with('*'),
        })
    }

    /// The first selected time that is not before `from`, a whole minute.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        if self.has_day(date)
            && let Some((hour, minute)) = self.time_from(from.hour(), from.minute())
        {
            return Some(date.at(hour, minute, 0, 0));
        }
        for _ in 0..MAX_DAYS {
            date = date.tomorrow().ok()?;
            if self.has_day(date) {
                let (hour, minute) = self.time_from(0, 0)?;
                return Some(date.at(hour, minute, 0, 0));
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        self.months.has(date.month()) && if self.both { day && weekday } else { day || weekday }
    }

    /// The first selected time of a day that is not before this one.
    fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        (hour..24).filter(|selected| self.hours.has(*selected)).find_map(|selected| {
            let from = if selected == hour { minute } else { 0 };
            let minute = (from..60).find(|selected| self.minutes.has(*selected))?;
            Some((selected, minute))
        })
    }
}

impl Field {
    /// The numbers that a field selects: parts between commas.
    fn numbers(&self, text: &str) -> Result<Numbers, WhenError> {
        let selected = text.split(',').try_fold(Numbers::default(), |all, part| {
            let (from, to, step) = self.part(part)?;
            Some((from..=to).step_by(usize::from(step)).fold(all, Numbers::with))
        });
        let Self { name, first, last, .. } = *self;
        selected.ok_or_else(|| WhenError::Field { text: quote(text), field: name, first, last })
    }

    /// The first and the last number of a part, and the step from one to the next.
    fn part(&self, part: &str) -> Option<(u8, u8, u8)> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            // A step needs a range: cron programs differ in what it means without one.
            None if step.is_some() => return None,
            None => {
                let number = self.number(range)?;
                (number, number)
            }
        };
        (from <= to).then_some((from, to, step.unwrap_or(1)))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let is_word = |word: &str| word == text || word[..3] == *text;
        let word = self.words.iter().position(|word| is_word(word)).and_then(|at| u8::try_from(at).ok());
        let number = word.map(|at| self.first + at).or_else(|| number(text))?;
        (self.first..=self.last).contains(&number).then_some(number)
    }
}

/// A number of digits alone.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

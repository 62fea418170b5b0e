//! Why a text is not a schedule.

use thiserror::Error;

use crate::model::units::{HumanDuration, UnitError};

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WhenError {
    /// None of the forms.
    #[error(
        "`{text}` is not a schedule: write off, hourly, daily 03:30, weekly sun 03:30, every 6h, or five fields of \
         cron such as 30 3 * * sun"
    )]
    Form {
        /// What was written, shortened.
        text: String,
    },
    /// Not a time of a day.
    #[error("`{text}` is not a time of day: write hours and minutes, such as 03:30")]
    Time {
        /// What was written, shortened.
        text: String,
    },
    /// Not a day of the week.
    #[error("`{text}` is not a day of the week: write mon, tue, wed, thu, fri, sat or sun")]
    Day {
        /// What was written, shortened.
        text: String,
    },
    /// Not a duration after `every`.
    #[error(transparent)]
    Every(#[from] UnitError),
    /// Less than a minute.
    #[error("every {every} is too often: write every 1m or more")]
    TooOften {
        /// What was written.
        every: HumanDuration,
    },
    /// Not a field of cron.
    #[error(
        "`{text}` is not the {field} of a cron schedule: write *, a number from {first} to {last}, a range such as \
         {first}-{last}, steps such as */2, or several of them with commas"
    )]
    Field {
        /// What was written, shortened.
        text: String,
        /// The name of the field.
        field: &'static str,
        /// Its lowest number.
        first: u8,
        /// Its highest number.
        last: u8,
    },
    /// Days that no calendar has, such as 30 February.
    #[error("`{text}` names a day that does not exist")]
    Never {
        /// What was written, shortened.
        text: String,
    },
}

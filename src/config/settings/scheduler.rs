//! `[scheduler]`: when recurring jobs run.

use serde::{Deserialize, Serialize};

use crate::config::zone::Zone;
use crate::model::when::When;

/// `[scheduler]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    /// The time zone of all schedules.
    pub timezone: Zone,
    /// When everything stored is checked.
    pub check: When,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { timezone: Zone::utc(), check: When::OFF }
    }
}

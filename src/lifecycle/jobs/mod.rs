//! The jobs of a server: each kind in a file of its own, and the runner with the rows about all of them.

mod check;
mod compact;
mod dump;
mod error;
mod gc;
pub(super) mod live;
pub(super) mod rows;
mod run;
mod runner;
mod scrub;
mod view;
mod watch;

#[cfg(test)]
mod tests;

pub use check::{CheckJob, CheckParams};
pub use compact::{CompactJob, CompactParams};
pub use dump::{DumpJob, DumpParams};
pub use error::JobError;
pub use gc::{GcJob, GcParams};
pub use runner::Jobs;
pub use scrub::{ScrubJob, ScrubParams};
pub use view::{JobLine, JobProgress, JobState, JobView};
pub use watch::{JobEvent, Watch};

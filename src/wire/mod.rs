//! Requests and answers of the admin API (`/api/v1`), one file per resource: the server writes and reads
//! them, the command line and the tests do the same from the other side, and the `OpenAPI` document describes
//! them.
//!
//! A request type has `deny_unknown_fields`, and [`Absent`] where a field may be left out. An answer has
//! neither: within one version of the API fields may be added, so clients ignore unknown fields. A field that
//! is added to an answer has `#[serde(default)]`, because an older server does not send it. Where a newer
//! server may add words, the field is a `String` if it is only shown, and an [`OpenEnum`] if a program acts
//! on it. Comments of types and fields become the descriptions in the document.

mod absent;
mod compact;
mod deletion;
mod gc;
mod job;
mod job_result;
mod list;
mod manifest;
mod open_enum;
mod problem;
mod report;
mod repository;
mod schedule;
mod scrub;
mod system;
mod tag;
mod tag_size;
mod token;
mod trash;
mod user;

pub use absent::Absent;
pub use compact::{CompactStatus, Compacted};
pub use deletion::{DeletionPlan, KeptManifest, NewDeletion};
pub use gc::{Collected, GarbagePart, GarbageReason, GcMode, GcPlan, GcStatus, NewGcRun, NewPin, Pin};
pub use job::{Job, JobKind, JobLine, JobParameters, JobState, NewCheck, Progress};
pub use job_result::{DumpMade, JobResult};
pub use list::List;
pub use manifest::Manifest;
pub use open_enum::OpenEnum;
pub use problem::Problem;
pub use report::{Checked, Finding, Report, Severity};
pub use repository::Repository;
pub use schedule::{NewSchedule, Schedule, ScheduleOverride};
pub use scrub::{Damaged, DamagedKind, Dropped, NewScrub, ScrubCycle, ScrubStatus, Scrubbed, Unhealed};
pub use system::{LastCheck, LastGc, LastScrub, LimitReached, Server, System};
pub use tag::Tag;
pub use tag_size::TagSize;
pub use token::{CreatedToken, NewToken, Scope, Token, TokenState};
pub use trash::{Restore, TrashEntry, TrashKind};
pub use user::{NewUser, User, UserChange};

//! The check that everything stored is present, intact and consistent.
//!
//! The check reads in short snapshots, keeps only small maps in memory, and continues where something is
//! damaged. It can run in a working server, because it delays no request, and because findings that compare
//! rows of different snapshots are searched again in a single one. A deep check hides the blobs that it
//! proves damaged, and shows hidden ones that are intact; it changes nothing else. The kinds of findings:
//!
//! | kind | severity | what is wrong |
//! |---|---|---|
//! | `database` | damage | the open database file is not at its path: the next start will not find it |
//! | `row_unreadable`, `table_unreadable`, `key` | damage | bytes in the database that mean nothing |
//! | `manifest_content`, `manifest_missing` | damage | a manifest's bytes are others, or gone |
//! | `tag_target` | damage | a tag points to a manifest that its repository has not |
//! | `tag_name`, `repository_name` | damage | a name that no client could have pushed to |
//! | `blob_missing` | damage | a link says that the repository has a blob, and there is none |
//! | `blob_file_missing`, `blob_size`, `blob_content`, `blob_unreadable` | damage | a blob's file is not what it was |
//! | `blob_corrupt` | damage | a blob that was found damaged before |
//! | `tree_unreadable` | damage | a directory of blobs or uploads |
//! | `audit_chain` | damage | entries of the audit log were changed, removed or inserted |
//! | `clock` | damage | a number that was given out would be given out again |
//! | `project_path`, `project_parent`, `user_name` | inconsistency | a project or user and its name |
//! | `repository_name`, `repository_project`, `catalog` | inconsistency | a repository and what leads to it |
//! | `repository_unknown` | inconsistency | rows of a repository that is not there |
//! | `manifest_row`, `manifest_mark` | inconsistency | a manifest's row and its bytes |
//! | `manifest_body`, `manifest_holder` | inconsistency | bodies and the repositories that hold them |
//! | `parent`, `referrer`, `pulls`, `untagged_since` | inconsistency | rows about manifests |
//! | `tag_row`, `tag_by_digest`, `tag_by_sequence` | inconsistency | a tag's row, and the indexes over tags |
//! | `link_references`, `link_flags`, `link_said`, `link_zero` | inconsistency | a link and what refers to it |
//! | `blob_link`, `blob_free`, `blob_users`, `blob_deleting` | inconsistency | a blob and its holders |
//! | `upload_repository`, `upload_file` | inconsistency | an upload that cannot continue |
//! | `upload_index` | inconsistency | the index over uploads |
//! | `usage`, `project_blob`, `outbox` | inconsistency | figures |
//! | `trash_repository` | damage | an entry of the trash whose repository is not there |
//! | `trash_manifest`, `trash_tag`, `trash_index` | inconsistency | what is in the trash, and its entry |
//! | `job_id`, `job_log`, `job_result` | inconsistency | a job, and the rows about it |
//!
//! Files without a row are not a problem: a push that was cut off leaves them.

mod audit;
mod blobs;
mod check;
mod collection;
mod counters;
mod files;
mod images;
mod jobs;
mod links;
mod manifests;
mod place;
mod report;
mod repositories;
mod tags;
mod totals;
mod trash;
mod verdicts;

use std::ops::ControlFlow;

pub use check::check;
pub(super) use images::needing;
pub use report::{CheckError, Finding, Mode, Progress, Report, Verdict};
pub use verdicts::record;
pub(super) use verdicts::write;

use super::Registry;
use crate::access::{Grant, RunJobs};
use crate::wire::Severity;

impl Registry {
    /// Runs [`check`] while the server works. It blocks the calling thread, for long.
    pub fn check(
        &self,
        _grant: &Grant<RunJobs>,
        deep: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, CheckError> {
        let mode = Mode { deep, others_write: true };
        let mut report = check(&self.meta, &self.staging, self.blobs.as_ref(), mode, progress)?;
        self.runtime.block_on(record(&self.meta, &mut report));
        if let Some(path) = self.meta.displaced() {
            let displaced = Finding {
                kind: "database",
                severity: Severity::Damage,
                repository: None,
                digest: None,
                images: Vec::new(),
                expected: format!("the open database file at {}", path.display()),
                found: "it was removed or replaced; the server's log says where it is".to_owned(),
            };
            report.problems.insert(0, displaced);
        }
        Ok(report)
    }
}

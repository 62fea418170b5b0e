//! The tables of the database, each beside the struct of its rows, in one file for each subject.
//!
//! Keys are tuples in byte order, so that each list is a range with a cursor. `docs/storage.md` explains how
//! the tables belong together.
//!
//! Running seconds count only while a server runs. The age of unused content is measured in them, so that a
//! wrong clock does not age anything. Milliseconds are Unix time, for people.
//!
//! Keys are typed values, so two swapped ids do not compile, nor does a bare number in the place of an id:
//!
//! ```
//! use stowage::model::names::{TokenId, UserId};
//! use stowage::store::meta::{StoreError, WriteTx, schema};
//!
//! fn index(tx: &WriteTx<'_>, user: UserId, token: TokenId) -> Result<(), StoreError> {
//!     tx.put(&schema::TOKEN_BY_USER, (user, token), &())
//! }
//! ```
//!
//! ```compile_fail,E0277
//! use stowage::model::names::{TokenId, UserId};
//! use stowage::store::meta::{StoreError, WriteTx, schema};
//!
//! fn index(tx: &WriteTx<'_>, user: UserId, token: TokenId) -> Result<(), StoreError> {
//!     tx.put(&schema::TOKEN_BY_USER, (token, user), &())
//! }
//! ```
//!
//! ```compile_fail,E0277
//! use stowage::model::names::{TokenId, UserId};
//! use stowage::store::meta::{StoreError, WriteTx, schema};
//!
//! fn index(tx: &WriteTx<'_>, user: UserId, token: TokenId) -> Result<(), StoreError> {
//!     tx.put(&schema::TOKEN_BY_USER, (user.0, token), &())
//! }
//! ```
//!
//! Nor does a project's id name a repository:
//!
//! ```compile_fail,E0277
//! use stowage::model::digest::Digest;
//! use stowage::model::names::ProjectId;
//! use stowage::store::meta::{StoreError, Tx, schema};
//!
//! fn holds(tx: &impl Tx, digest: &Digest, project: ProjectId) -> Result<bool, StoreError> {
//!     tx.has(&schema::BLOB_LINK, (digest, project))
//! }
//! ```

mod audit;
mod collection;
mod content;
mod jobs;
mod manifests;
mod outbox;
mod people;
mod repositories;
mod schedules;
mod store;
mod tags;
mod trash;
mod uploads;
mod usage;

pub use audit::*;
pub use collection::*;
pub use content::*;
pub use jobs::*;
pub use manifests::*;
pub use outbox::*;
pub use people::*;
pub use repositories::*;
pub use schedules::*;
pub use store::*;
pub use tags::*;
pub use trash::*;
pub use uploads::*;
pub use usage::*;

use super::table::Record;
use crate::model::names::{ProjectId, RepoId, Sequence, TokenId, UserId};

impl Record for u64 {}
impl Record for String {}
impl Record for ProjectId {}
impl Record for RepoId {}
impl Record for UserId {}
impl Record for TokenId {}
impl Record for Sequence {}

/// Passes the names of all tables to a macro.
macro_rules! every_table {
    ($each:ident) => {
        $each! {
            FORMAT CLOCK AUTH_EPOCH PROJECT PROJECT_PATH REPOSITORY REPOSITORY_NAME CATALOG BLOB LINK LINK_ZERO
            BLOB_LINK BLOB_FREE MANIFEST MANIFEST_BODY MANIFEST_REPO PULLS PARENT REFERRER DIRTY_REPOSITORY TAG
            TAG_BY_DIGEST TAG_BY_SEQUENCE TAG_HISTORY USAGE_REPOSITORY USAGE_PROJECT DISK PROJECT_BLOB UPLOAD
            UPLOAD_BY_REPOSITORY USER USER_NAME TOKEN TOKEN_HASH TOKEN_BY_USER REFRESH REFRESH_BY_USER OUTBOX
            OUTBOX_CURSOR AUDIT AUDIT_CHAIN MIGRATION JOB JOB_ID JOB_LOG JOB_RESULT QUARANTINE
            COLLECTION PROMISE PROMISED SCHEDULE SCHEDULE_RUN TRASH TRASH_BY_REPOSITORY TRASH_REPOSITORY TRASH_TAG
            TRASH_ROOT TRASH_MANIFEST TRASH_CONTENT TRASH_REFERRER PIN
        }
    };
}
pub(super) use every_table;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use crate::store::meta::schema;

    /// A table that is not in `every_table` would be left out of dumps, and its rows lost with a rebuild.
    #[test]
    fn every_table_that_is_declared_is_in_the_list() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/meta/schema");
        let mut declared = BTreeSet::new();
        for file in fs::read_dir(directory).unwrap() {
            let source = fs::read_to_string(file.unwrap().path()).unwrap();
            let names =
                source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": Table<"));
            declared.extend(names.map(|(name, _)| name.to_owned()));
        }
        macro_rules! names {
            ($($table:ident)*) => { BTreeSet::from([$( stringify!($table).to_owned() ),*]) };
        }
        let listed = every_table!(names);
        assert!(declared.len() > 40, "{declared:?}");
        let missing: Vec<_> = declared.difference(&listed).collect();
        assert!(missing.is_empty(), "add to every_table! in store/meta/schema/mod.rs: {missing:?}");
    }

    #[test]
    fn the_page_of_the_store_lists_every_table() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/storage.md"));
        let is_listed = |name: &str| page.lines().any(|line| line.starts_with(&format!("| `{name}` |")));
        macro_rules! unlisted {
            ($($table:ident)*) => { [$( schema::$table.name() ),*] };
        }
        let tables = every_table!(unlisted);
        let missing: Vec<_> = tables.into_iter().filter(|name| !is_listed(name)).collect();
        assert!(missing.is_empty(), "docs/storage.md does not list {missing:?}");
    }
}

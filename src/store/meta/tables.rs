//! Every table of the database: what its key and its value are.
//!
//! Keys are tuples in byte order, so that each list is a range with a cursor. Digests are
//! [`Digest::key`](crate::model::digest::Digest::key) bytes, ids are the numbers of
//! [`model::names`](crate::model::names). `docs/storage.md` explains how the tables belong together.

use super::rows::{
    AuditEntry, Blob, Clock, Disk, Format, Link, Listed, Manifest, OutboxEntry, Project, Pulls, Referrer,
    Refresh, Repository, Tag, TagChange, Token, Upload, Usage, User,
};
use super::table::{Raw, Table};

/// A digest in a key: [`Digest::key`](crate::model::digest::Digest::key).
type DigestKey = &'static [u8];
/// A repository's id in a key.
type RepoKey = u64;

/// `()` -> the format of the store, its id and who wrote it last.
pub const FORMAT: Table<(), Format> = Table::new("format");
/// `()` -> running seconds, the highest wall time seen, the last sequence number, the last id.
pub const CLOCK: Table<(), Clock> = Table::new("clock");
/// `()` -> the number raised by every change of users, tokens, members, projects or rules.
pub const AUTH_EPOCH: Table<(), u64> = Table::new("auth_epoch");

/// project id -> its path and its parent.
pub const PROJECT: Table<u64, Project> = Table::new("project");
/// project path -> project id. The root project has the path "".
pub const PROJECT_PATH: Table<&'static str, u64> = Table::new("project_path");
/// repository id -> its name, its project and its counts.
pub const REPOSITORY: Table<RepoKey, Repository> = Table::new("repository");
/// repository name -> repository id.
pub const REPOSITORY_NAME: Table<&'static str, u64> = Table::new("repository_name");
/// name of a repository that holds a manifest -> (): the catalogue.
pub const CATALOG: Table<&'static str, ()> = Table::new("catalog");

/// digest -> a blob's size, state and last verification.
pub const BLOB: Table<DigestKey, Blob> = Table::new("blob");
/// (repository, digest) -> what binds a blob to a repository.
pub const LINK: Table<(RepoKey, DigestKey), Link> = Table::new("link");
/// (running second, repository, digest) -> (): exactly the links that nothing refers to, oldest first.
pub const LINK_ZERO: Table<(u64, RepoKey, DigestKey), ()> = Table::new("link_zero");
/// (digest, repository) -> (): the links of a blob that are present.
pub const BLOB_LINK: Table<(DigestKey, RepoKey), ()> = Table::new("blob_link");
/// (running second, digest) -> (): blobs that no repository holds, oldest first.
pub const BLOB_FREE: Table<(u64, DigestKey), ()> = Table::new("blob_free");

/// (repository, digest) -> a manifest's type, size, references and age.
pub const MANIFEST: Table<(RepoKey, DigestKey), Manifest> = Table::new("manifest");
/// digest -> the bytes of a manifest as they were pushed.
pub const MANIFEST_BODY: Table<DigestKey, Raw> = Table::new("manifest_body");
/// (digest, repository) -> (): the repositories that hold a manifest.
pub const MANIFEST_REPO: Table<(DigestKey, RepoKey), ()> = Table::new("manifest_repo");
/// (repository, digest) -> how often and when a manifest was pulled last.
pub const PULLS: Table<(RepoKey, DigestKey), Pulls> = Table::new("pulls");
/// (repository, child, parent) -> what an index says of a manifest that it lists.
pub const PARENT: Table<(RepoKey, DigestKey, DigestKey), Listed> = Table::new("parent");
/// (repository, subject, referrer) -> what a list of referrers needs beside the body.
pub const REFERRER: Table<(RepoKey, DigestKey, DigestKey), Referrer> = Table::new("referrer");
/// repository -> sequence of its last change: work for the collector.
pub const DIRTY_REPOSITORY: Table<RepoKey, u64> = Table::new("dirty_repository");

/// (repository, tag) -> where a tag points, since when, and by whom.
pub const TAG: Table<(RepoKey, &'static str), Tag> = Table::new("tag");
/// (repository, digest, tag) -> ().
pub const TAG_BY_DIGEST: Table<(RepoKey, DigestKey, &'static str), ()> = Table::new("tag_by_digest");
/// (repository, sequence) -> tag.
pub const TAG_BY_SEQUENCE: Table<(RepoKey, u64), String> = Table::new("tag_by_sequence");
/// (repository, tag, sequence) -> one change of a tag; the last 100 of each tag are kept.
pub const TAG_HISTORY: Table<(RepoKey, &'static str, u64), TagChange> = Table::new("tag_history");

/// repository -> what it holds.
pub const USAGE_REPOSITORY: Table<RepoKey, Usage> = Table::new("usage_repository");
/// project -> what it and the projects below it hold.
pub const USAGE_PROJECT: Table<u64, Usage> = Table::new("usage_project");
/// `()` -> what lies in the directory of blobs, and what of it nothing uses.
pub const DISK: Table<(), Disk> = Table::new("disk");
/// (digest, project) -> in how many repositories of the project a blob is.
pub const PROJECT_BLOB: Table<(DigestKey, u64), u64> = Table::new("project_blob");

/// upload id -> the committed state of an upload session.
pub const UPLOAD: Table<&'static [u8], Upload> = Table::new("upload");
/// (repository, upload id) -> (): the upload sessions of a repository that have a row.
pub const UPLOAD_BY_REPOSITORY: Table<(RepoKey, &'static [u8]), ()> = Table::new("upload_by_repository");

/// user id -> user.
pub const USER: Table<u64, User> = Table::new("user");
/// user name in lower case -> user id.
pub const USER_NAME: Table<&'static str, u64> = Table::new("user_name");
/// token id -> personal token.
pub const TOKEN: Table<u64, Token> = Table::new("token");
/// SHA-256 of a token's secret -> token id.
pub const TOKEN_HASH: Table<&'static [u8], u64> = Table::new("token_hash");
/// (user id, token id) -> ().
pub const TOKEN_BY_USER: Table<(u64, u64), ()> = Table::new("token_by_user");
/// SHA-256 of a refresh token -> who signed in.
pub const REFRESH: Table<&'static [u8], Refresh> = Table::new("refresh");
/// (user id, sequence of the last use) -> SHA-256 of a refresh token: the tokens of a user, the one that was not used for
/// the longest time first.
pub const REFRESH_BY_USER: Table<(u64, u64), Raw> = Table::new("refresh_by_user");

/// sequence -> an event that waits for its consumers.
pub const OUTBOX: Table<u64, OutboxEntry> = Table::new("outbox");
/// consumer -> the sequence it has seen last.
pub const OUTBOX_CURSOR: Table<&'static str, u64> = Table::new("outbox_cursor");
/// sequence -> one entry of the audit log.
pub const AUDIT: Table<u64, AuditEntry> = Table::new("audit");

/// Hands the names of all tables to a macro.
macro_rules! every_table {
    ($each:ident) => {
        $each! {
            FORMAT CLOCK AUTH_EPOCH PROJECT PROJECT_PATH REPOSITORY REPOSITORY_NAME CATALOG BLOB LINK LINK_ZERO
            BLOB_LINK BLOB_FREE MANIFEST MANIFEST_BODY MANIFEST_REPO PULLS PARENT REFERRER DIRTY_REPOSITORY TAG
            TAG_BY_DIGEST TAG_BY_SEQUENCE TAG_HISTORY USAGE_REPOSITORY USAGE_PROJECT DISK PROJECT_BLOB UPLOAD
            UPLOAD_BY_REPOSITORY USER USER_NAME TOKEN TOKEN_HASH TOKEN_BY_USER REFRESH REFRESH_BY_USER OUTBOX
            OUTBOX_CURSOR AUDIT
        }
    };
}
pub(super) use every_table;

//! Upload sessions.

use serde::{Deserialize, Serialize};

use crate::model::names::{RepoId, TokenId, UploadId, UserId};
use crate::store::meta::table::{Record, Table};

/// upload id -> the committed state of an upload session.
pub const UPLOAD: Table<UploadId, Upload> = Table::new("upload");

/// The owner of an upload session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// A caller without a sign-in, in an open registry.
    Anonymous,
    /// A user who signed in with the password.
    User(UserId),
    /// A user's token.
    Token(TokenId),
}

/// The committed state of an upload session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The repository of the blob.
    pub repository: RepoId,
    /// The owner; no other caller may continue the upload.
    pub owner: Owner,
    /// Bytes that are durable in the staged file.
    pub offset: u64,
    /// The algorithm of the hash over them: [`Algorithm::byte`](crate::model::digest::Algorithm::byte).
    pub algorithm: u8,
    /// The state of the hash at `offset`, if the algorithm can save it.
    pub hash_state: Option<Vec<u8>>,
    /// Running second of the last checkpoint.
    pub active_s: u64,
}

impl Record for Upload {}

/// (repository, upload id) -> (): the upload sessions of a repository that have a row.
pub const UPLOAD_BY_REPOSITORY: Table<(RepoId, UploadId), ()> = Table::new("upload_by_repository");

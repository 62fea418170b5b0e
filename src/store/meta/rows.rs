//! The values that the tables hold, one struct a table.
//!
//! Running seconds count only while a server runs; they age what the collector may take, so that a
//! wrong clock ages nothing. Milliseconds are Unix time and for people.

use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

use super::table::Record;
use crate::model::digest::AnyDigest;
use crate::model::digest::Digest;
use crate::model::event::Event;
use crate::model::names::ProjectId;
use crate::model::names::RepoId;
use crate::model::names::UserId;
use crate::store::blob::Stamp;

/// The format of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The number of the layout of the tables.
    pub schema: u32,
    /// The oldest schema number a program must know to read this store.
    pub min_reader: u32,
    /// The oldest schema number a program must know to change this store.
    pub min_writer: u32,
    /// The version of the program that made the store.
    pub written_by: String,
    /// Tells this store from every other; the LOCK files of the data and blob directories repeat it.
    pub store_id: Uuid,
}

/// The counters of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Seconds that servers have run on this store.
    pub running_s: u64,
    /// The latest wall time seen, in Unix milliseconds.
    pub wall_high_ms: u64,
    /// The last sequence number given out.
    pub sequence: u64,
    /// The last id given to a repository, a project or a user.
    pub last_id: u64,
    /// Rows of the outbox.
    pub outbox_rows: u64,
    /// The last number given to a personal token.
    pub last_token: u64,
    /// Commits so far: tells after a failed commit whether it is there all the same.
    pub commits: u64,
}

/// A path prefix with its own members and rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The path; "" for the root project.
    pub path: String,
    /// The longest project above it.
    pub parent: Option<ProjectId>,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The present name.
    pub name: String,
    /// The project it belongs to.
    pub project: ProjectId,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
}

/// What becomes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobState {
    /// Durable and whole as far as is known.
    Present,
    /// Its bytes did not hash to its digest. It answers as if absent until a push heals it.
    Corrupt,
    /// No repository holds it and its file is being removed.
    Deleting,
}

/// A blob of the store, held by any number of repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Bytes.
    pub size: u64,
    /// Whether it may be served.
    pub state: BlobState,
    /// Raised each time the file is replaced.
    pub generation: u32,
    /// What the file looked like when its content was hashed last.
    pub verified: Stamp,
    /// When it came, in Unix milliseconds.
    pub stored_ms: u64,
    /// Running second since which no repository holds it; `None` while one does.
    pub free_since: Option<u64>,
    /// Repositories that hold it and have a manifest that refers to it.
    pub users: u64,
}

/// What lies in the directory of blobs, as the rows of blobs have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Blobs that no manifest refers to.
    pub unused_blobs: u64,
    /// Bytes of these blobs.
    pub unused_bytes: u64,
}

/// What binds a blob to a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The repository has the blob. A link that only counts references to missing content has not.
    pub present: bool,
    /// Manifests of the repository that refer to it.
    pub references: u64,
    /// Manifests in the trash that refer to it.
    pub trash_references: u64,
    /// Deleted, but kept because the trash refers to it.
    pub hidden: bool,
    /// Running second at which `references` fell to 0, or at which its existence was promised last;
    /// only meaningful while `references` is 0.
    pub zero_since: u64,
    /// While it is not present: the size that the manifests give it.
    pub said: Option<u64>,
}

/// What an index says of a manifest that it lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its type.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
}

/// A manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The type recorded at the push, without parameters.
    pub media_type: String,
    /// Bytes of the body.
    pub size: u64,
    /// 0 for an image, 1 + the greatest depth of its present children for an index.
    pub depth: u8,
    /// The distinct blobs it refers to.
    pub blobs: Vec<AnyDigest>,
    /// The distinct manifests it lists.
    pub children: Vec<AnyDigest>,
    /// The manifest it refers to.
    pub subject: Option<AnyDigest>,
    /// Sequence of its last push.
    pub sequence: u64,
    /// When it was pushed last, in Unix milliseconds.
    pub pushed_ms: u64,
    /// Running second since which no tag points at it; `None` while one does.
    pub untagged_since: Option<u64>,
    /// The stored bytes did not hash to the digest. It answers as if absent until a push heals it.
    pub corrupt: bool,
    /// Bytes of the image: those of the body and of all that it refers to, as its first push found them.
    pub content_bytes: u64,
    /// For people: `linux/amd64`, several of an index; empty where nothing tells.
    pub platform: String,
}

/// How often a manifest was pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulls {
    /// Times.
    pub count: u64,
    /// The last time, in Unix milliseconds.
    pub last_ms: u64,
}

/// A manifest that names another one as its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// The referrer's media type.
    pub media_type: String,
    /// The referrer's size in bytes.
    pub size: u64,
    /// Its artifact type, or the type of its config (distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    /// Its annotations, or where they are.
    pub annotations: ReferrerAnnotations,
}

/// The annotations of a referrer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferrerAnnotations {
    /// There are none.
    None,
    /// A JSON object.
    Short(String),
    /// Too long for a row: the JSON object is these bytes of the body.
    Long {
        /// The first byte.
        start: u32,
        /// The byte behind the last one.
        end: u32,
    },
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The digest under which the tag was set.
    pub digest: Digest,
    /// Sequence of the last change.
    pub sequence: u64,
    /// When it was set last, in Unix milliseconds.
    pub pushed_ms: u64,
    /// Who set it.
    pub by: String,
    /// `content_bytes` of the manifest: a list of tags reads no manifests.
    pub content_bytes: u64,
    /// `platform` of the manifest.
    pub platform: String,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagChange {
    /// Where it pointed before.
    pub old: Option<Digest>,
    /// Where it pointed afterwards; `None` when it was deleted.
    pub new: Option<Digest>,
    /// Who changed it.
    pub by: String,
    /// From which address.
    pub address: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// What a repository or a project holds. Each blob counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Bytes of the blobs that are held nowhere else: what removing all of it would give back.
    pub unique_bytes: u64,
    /// Manifests.
    pub manifests: u64,
    /// Bytes of these manifests.
    pub manifest_bytes: u64,
    /// Tags.
    pub tags: u64,
}

/// Whose an upload session is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// A caller without a sign-in, in an open registry.
    Anonymous,
    /// A user who signed in with the password.
    User(UserId),
    /// A user's token.
    Token(u64),
}

/// The committed state of an upload session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where the blob goes.
    pub repository: RepoId,
    /// The only one who may go on with it.
    pub owner: Owner,
    /// Bytes that are durable in the staged file.
    pub offset: u64,
    /// The hash that runs over them: [`Algorithm::byte`](crate::model::digest::Algorithm::byte).
    pub algorithm: u8,
    /// The hash's state at `offset`, where the algorithm can save one.
    pub hash_state: Option<Vec<u8>>,
    /// Running second of the last checkpoint.
    pub active_s: u64,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name to sign in with.
    pub name: String,
    /// The password as an argon2id string (RFC 9106).
    pub password_hash: String,
    /// May do everything.
    pub admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// When the user was made, in Unix milliseconds.
    pub created_ms: u64,
    /// Raised with every new password: what was signed in with an older one is not valid any more.
    pub password_version: u64,
    /// Sequence of the last change. It never comes back, so a change that was meant for an older state is noticed.
    pub changed: u64,
}

#[cfg(test)]
impl User {
    /// A user without rights, who has no password.
    pub(crate) fn sample(name: &str) -> Self {
        let (name, password_hash, password_version) = (name.to_owned(), String::new(), 1);
        let (admin, disabled, created_ms, changed) = (false, false, 0, 0);
        Self { name, password_hash, admin, disabled, created_ms, password_version, changed }
    }
}

/// A personal token: a user's right to sign in without the password, within scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is.
    pub user: UserId,
    /// What the owner calls it.
    pub name: String,
    /// SHA-256 of the secret. 160 random bits need no slower hash (reliability S-6).
    pub hash: [u8; 32],
    /// What it may be used for, as bits.
    pub scopes: u8,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
    /// From when on it is not valid any more, in Unix milliseconds; `None`: never.
    pub expires_ms: Option<u64>,
    /// When it was used last, to the hour, in Unix milliseconds.
    pub last_used_ms: Option<u64>,
    /// From which address it was used last.
    pub last_address: String,
}

/// A refresh token of the token endpoint: what `docker login` keeps instead of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// Who signed in.
    pub user: UserId,
    /// With which personal token; `None`: with the password.
    pub token: Option<u64>,
    /// The user's `password_version` at that time.
    pub password_version: u64,
    /// When it was used last, to the day, by the latest time known then.
    pub used_ms: u64,
    /// Sequence of that use: its place in `refresh_by_user`.
    pub sequence: u64,
}

/// An event that waits for its consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry(pub Event);

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Who.
    pub actor: String,
    /// From which address; empty for the server itself.
    pub address: String,
    /// What was done, e.g. `tag.delete`.
    pub action: String,
    /// To what, e.g. `library/alpine:3.22`.
    pub target: String,
}

impl Record for Format {}
impl Record for Clock {}
impl Record for Project {}
impl Record for Repository {}
impl Record for Blob {}
impl Record for Disk {}
impl Record for Link {}
impl Record for Listed {}
impl Record for Manifest {}
impl Record for Pulls {}
impl Record for Referrer {}
impl Record for Tag {}
impl Record for TagChange {}
impl Record for Usage {}
impl Record for Upload {}
impl Record for User {}
impl Record for Token {}
impl Record for Refresh {}
impl Record for OutboxEntry {}
impl Record for AuditEntry {}
impl Record for u64 {}
impl Record for String {}

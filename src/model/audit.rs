//! What the audit log calls the things that people do.

/// Something that is worth an entry of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// A user was made.
    UserCreate,
    /// A user got another password.
    UserPassword,
    /// A user may not sign in any more.
    UserDisable,
    /// A user may sign in again.
    UserEnable,
    /// A user was removed.
    UserDelete,
    /// A personal token was made.
    TokenCreate,
    /// A personal token was revoked.
    TokenRevoke,
    /// A repository was deleted with everything in it.
    RepositoryDelete,
    /// A manifest was deleted.
    ManifestDelete,
    /// A tag was deleted.
    TagDelete,
    /// A blob was taken out of a repository.
    BlobDelete,
}

impl AuditAction {
    /// The name that is stored: what was acted on, and what was done.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserCreate => "user.create",
            Self::UserPassword => "user.password",
            Self::UserDisable => "user.disable",
            Self::UserEnable => "user.enable",
            Self::UserDelete => "user.delete",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
            Self::RepositoryDelete => "repository.delete",
            Self::ManifestDelete => "manifest.delete",
            Self::TagDelete => "tag.delete",
            Self::BlobDelete => "blob.delete",
        }
    }
}

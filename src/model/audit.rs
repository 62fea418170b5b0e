//! The actions that the audit log records, and the actors that perform them.

use std::net::IpAddr;

/// Who performs an action, as events and the audit log name it.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The name of a user of the registry, of a user of this computer (on the admin socket), or of a worker.
    pub name: &'a str,
    /// From where; `None`: the server itself, or a caller on the same computer.
    pub address: Option<IpAddr>,
}

impl Actor<'_> {
    /// The server, where it acts for no caller.
    pub const SYSTEM: Actor<'static> = Actor { name: "system", address: None };

    /// The address as it is stored; empty when there is none.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// An action that the audit log records.
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
    /// Something was restored from the trash.
    TrashRestore,
    /// Something was removed from the trash.
    TrashEmpty,
    /// A job was started.
    JobStart,
    /// A job was asked to end.
    JobCancel,
    /// The schedule of a job was set.
    ScheduleSet,
    /// The schedule of a job became that of the settings again.
    ScheduleReset,
    /// The bytes of something damaged were removed.
    QuarantineDrop,
    /// A pin was set.
    PinSet,
    /// A pin was removed before its end.
    PinRemove,
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
            Self::TrashRestore => "trash.restore",
            Self::TrashEmpty => "trash.empty",
            Self::JobStart => "job.start",
            Self::JobCancel => "job.cancel",
            Self::ScheduleSet => "schedule.set",
            Self::ScheduleReset => "schedule.reset",
            Self::QuarantineDrop => "quarantine.drop",
            Self::PinSet => "pin.set",
            Self::PinRemove => "pin.remove",
        }
    }
}

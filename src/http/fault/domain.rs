//! Maps the errors of lower modules to codes. Every match names every variant, so that a new one does not
//! compile until it has a code.

use serde_json::json;

use super::{Code, Fault, Item};
use crate::access::{Refusal, ScopeError};
use crate::auth::SignInError;
use crate::http::reason;
use crate::lifecycle::{JobError, ScheduleError};
use crate::limits::LimitReached;
use crate::model::digest::{AnyDigest, DigestError};
use crate::model::manifest::ManifestError;
use crate::model::names::{NameError, ReferenceError, TagError};
use crate::people::{TokenError, UserError};
use crate::registry::{MissingReference, RegistryError};
use crate::store::meta::{CompactError, StoreError};

/// The system's own words for a full disk. docker retries every 5xx five times in 50 s, except those with
/// these words.
const NO_SPACE: &str = "(no space left on device): free some space or ask its admin to";
const DISK_FULL: &str =
    "the registry's disk is full (no space left on device): free some space or ask its admin to";

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::Withdrawn => Self::new(Code::Withdrawn, message),
            RegistryError::TooManyTags { .. } => Self::new(Code::Denied, message),
            RegistryError::RepositoryUnknown(_) => Self::new(Code::RepositoryUnknown, message),
            RegistryError::BlobUnknown(_) => Self::new(Code::BlobUnknown, message),
            RegistryError::ManifestUnknown(_) => Self::new(Code::ManifestUnknown, message),
            RegistryError::ContentUnknown(_) => Self::new(Code::ContentUnknown, message),
            RegistryError::NotDamaged(_) => Self::new(Code::NotDamaged, message),
            RegistryError::Pinned(_) => Self::new(Code::Pinned, message),
            RegistryError::PinUnknown(_) => Self::new(Code::PinUnknown, message),
            RegistryError::PinName | RegistryError::PinLength => Self::new(Code::PinInvalid, message),
            RegistryError::TooManyPins(_) => Self::new(Code::TooManyPins, message),
            RegistryError::UploadUnknown => Self::new(Code::UploadUnknown, message),
            RegistryError::RangeInvalid { .. } | RegistryError::UploadInUse { .. } => {
                Self::new(Code::RangeInvalid, message)
            }
            RegistryError::SizeInvalid { .. } | RegistryError::Cut { .. } => {
                Self::new(Code::SizeInvalid, message)
            }
            RegistryError::DigestMismatch { expected, actual } => Self::new(Code::DigestInvalid, message)
                .detail(json!({ "expected": expected, "actual": actual })),
            RegistryError::BlobReferenced(_) => Self::new(Code::BlobReferenced, message),
            RegistryError::Manifest(error) => Self::from(error),
            RegistryError::ReferencesMissing(references) => Self::missing(references, |_, _| None),
            RegistryError::ReferenceSize { .. }
            | RegistryError::ReferenceType { .. }
            | RegistryError::ListedOtherwise { .. }
            | RegistryError::TooDeep(_) => Self::new(Code::ManifestInvalid, message),
            RegistryError::SaidOtherwise { .. } => Self::new(Code::SizeConflict, message),
            RegistryError::PreconditionFailed { .. } => Self::new(Code::PreconditionFailed, message),
            RegistryError::TrashUnknown(_) => Self::new(Code::TrashUnknown, message),
            RegistryError::NameTaken(_) => Self::new(Code::TrashNameTaken, message),
            RegistryError::RestoredName(_) => Self::new(Code::TrashNameInvalid, message),
            RegistryError::RepositoryInTrash(_)
            | RegistryError::UploadsIntoTrash(_)
            | RegistryError::NotInTrash(_) => Self::new(Code::TrashConflict, message),
            RegistryError::LittleSpace(shortage) => Self::new(Code::NoSpace, message)
                .reason(reason::kept(format!("{shortage} {NO_SPACE}"), DISK_FULL))
                .retry_after("60"),
            RegistryError::DiskFull => Self::new(Code::NoSpace, message).reason(DISK_FULL).retry_after("60"),
            RegistryError::ReadOnly => Self::new(Code::ReadOnly, message),
            RegistryError::Limit(reached) => Self::from(reached),
            RegistryError::Io(detail) => Self::new(Code::Failed, "the registry's disk failed; see its log")
                .reason("the registry's disk failed: see its log")
                .cause(RegistryError::Io(detail)),
            RegistryError::Store(error) => Self::from(error),
            RegistryError::Interrupted => Self::new(Code::Failed, message),
        }
    }
}

impl Fault {
    /// The error for content to which a manifest refers and which its repository does not have. `copy` is a
    /// command that copies a manifest with everything that it refers to from another repository.
    pub(crate) fn missing(
        references: Vec<MissingReference>,
        copy: impl Fn(&str, &AnyDigest) -> Option<String>,
    ) -> Self {
        let items = references.into_iter().map(|missing| {
            let MissingReference { digest, manifest, elsewhere } = missing;
            let what = if manifest { "manifest" } else { "blob" };
            let hint = match &elsewhere {
                Some(name) if manifest => match copy(name, &digest) {
                    Some(command) => format!("{name} has it, copy it first: {command}"),
                    None => format!("{name} has it, copy it first"),
                },
                Some(name) => format!("mount it from {name} or push it first"),
                None => "push it first".to_owned(),
            };
            Item {
                message: format!(
                    "the manifest refers to the {what} {digest}, which the repository does not have: {hint}"
                ),
                detail: Some(json!({ "digest": digest, "from": elsewhere })),
            }
        });
        Self { items: items.collect(), ..Self::new(Code::ManifestBlobUnknown, "") }
    }

    /// A failed sign-in. `message` says why; a 401 gets its challenge from the caller.
    pub(crate) fn sign_in(error: SignInError, message: String) -> Self {
        match error {
            SignInError::Missing { .. }
            | SignInError::Malformed
            | SignInError::Wrong
            | SignInError::Stale
            | SignInError::Foreign
            | SignInError::RegistryToken
            | SignInError::Revoked
            | SignInError::Expired { .. }
            | SignInError::Disabled { .. }
            | SignInError::Anothers { .. } => Self::new(Code::Unauthorized, message),
            SignInError::RateLimited { retry_after_s } | SignInError::PasswordQueueFull { retry_after_s } => {
                Self::new(Code::TooManyRequests, message).retry_after(&retry_after_s.to_string())
            }
            SignInError::Store(error) => Self::from(error),
        }
    }
}

impl From<Refusal> for Fault {
    /// A 401 gets its challenge from the caller.
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Scope(_) => Self::new(Code::Unauthorized, message),
            Refusal::Hidden => Self::new(Code::RepositoryHidden, message),
            Refusal::Denied(_) | Refusal::Forbidden(_) => Self::new(Code::Denied, message),
            Refusal::Store(error) => Self::from(error),
        }
    }
}

impl From<LimitReached> for Fault {
    /// Of a 5xx, docker prints the status line and not the body, so the reason phrase says the limit.
    fn from(reached: LimitReached) -> Self {
        Self::new(Code::Unavailable, reached.to_string()).reason(reached.resource.reason()).retry_after("5")
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::from(RegistryError::DiskFull),
            StoreError::ReadOnly => Self::from(RegistryError::ReadOnly),
            StoreError::Displaced => Self::new(Code::ReadOnly, error.to_string()),
            StoreError::Unavailable => Self::new(Code::Unavailable, error.to_string()).retry_after("2"),
            StoreError::OutcomeUnknown => Self::new(Code::Failed, error.to_string()),
            StoreError::Corrupt { .. } | StoreError::Io(_) | StoreError::Failed => {
                Self::new(Code::Failed, "the registry's database failed; see its log").cause(error)
            }
        }
    }
}

impl From<ManifestError> for Fault {
    fn from(error: ManifestError) -> Self {
        let code = match error {
            ManifestError::TooLarge { .. } => Code::ManifestTooLarge,
            ManifestError::NotUtf8 { .. }
            | ManifestError::TooDeep
            | ManifestError::NotJson { .. }
            | ManifestError::Invalid { .. }
            | ManifestError::Schema1
            | ManifestError::ArtifactManifest
            | ManifestError::UnknownType { .. }
            | ManifestError::Untyped
            | ManifestError::Conflict { .. }
            | ManifestError::SchemaVersion { .. }
            | ManifestError::Missing { .. }
            | ManifestError::Ambiguous { .. } => Code::ManifestInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<UserError> for Fault {
    fn from(error: UserError) -> Self {
        let message = error.to_string();
        match error {
            UserError::Store(error) => Self::from(error),
            UserError::File { .. } => {
                tracing::error!(detail = %message, "a password file failed");
                Self::new(Code::PasswordFileFailed, "the server's disk failed; its log says more")
            }
            UserError::Changed(_) => Self::new(Code::Changed, message),
            UserError::Withdrawn => Self::new(Code::Withdrawn, message),
            UserError::Unknown(_) => Self::new(Code::UserUnknown, message),
            UserError::Exists(_) => Self::new(Code::UserExists, message),
            UserError::Name(_) => Self::new(Code::UserNameInvalid, message),
            UserError::Password(_) => Self::new(Code::PasswordInvalid, message),
            UserError::LastAdmin(_) => Self::new(Code::LastAdmin, message),
        }
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::User(error) => Self::from(error),
            TokenError::Unknown(_) => Self::new(Code::TokenUnknown, message),
            TokenError::Exists { .. } => Self::new(Code::TokenExists, message),
            TokenError::Name => Self::new(Code::TokenNameInvalid, message),
            TokenError::NoScope => Self::new(Code::ScopeInvalid, message),
        }
    }
}

impl From<JobError> for Fault {
    fn from(error: JobError) -> Self {
        let message = error.to_string();
        match error {
            JobError::Runs { .. } => Self::new(Code::CheckRuns, message),
            JobError::Withdrawn => Self::new(Code::Withdrawn, message),
            JobError::Compact(error) => Self::from(error),
            JobError::Pinned(_) => Self::new(Code::Pinned, message),
            JobError::Store(error) => Self::from(error),
        }
    }
}

impl From<CompactError> for Fault {
    fn from(error: CompactError) -> Self {
        let message = error.to_string();
        match error {
            CompactError::Store(error) => Self::from(error),
            CompactError::NoRoom { .. } | CompactError::Copy(StoreError::Full) => {
                Self::new(Code::NoSpace, message)
            }
            CompactError::Runs => Self::new(Code::CheckRuns, message),
            CompactError::Busy | CompactError::Link { .. } | CompactError::Foreign(_) => {
                Self::new(Code::CompactRefused, message)
            }
            CompactError::Copy(_) | CompactError::Differs(_) | CompactError::Ended => {
                Self::new(Code::Failed, message)
            }
        }
    }
}

impl From<ScheduleError> for Fault {
    fn from(error: ScheduleError) -> Self {
        let message = error.to_string();
        match error {
            ScheduleError::Unknown(_) => Self::new(Code::ScheduleUnknown, message),
            ScheduleError::When(_) => Self::new(Code::WhenInvalid, message),
            ScheduleError::Withdrawn => Self::new(Code::Withdrawn, message),
            ScheduleError::Job(error) => Self::from(error),
            ScheduleError::Store(error) => Self::from(error),
        }
    }
}

impl From<ReferenceError> for Fault {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag(error) => Self::from(error),
            ReferenceError::Digest(error) => Self::from(error),
        }
    }
}

macro_rules! one_code {
    ($($error:ident $code:ident;)*) => { $(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::new(Code::$code, error.to_string())
            }
        }
    )* };
}

one_code! {
    DigestError DigestInvalid;
    NameError RepositoryNameInvalid;
    ScopeError ScopeInvalid;
    TagError TagNameInvalid;
}

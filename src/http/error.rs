//! What goes wrong, as HTTP tells it: a code of the distribution-spec, a sentence that says what to do, and a status.
//! The cause goes to the log, never into the answer.

use std::error::Error;
use std::fmt;

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::ResponseError;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, RETRY_AFTER};
use actix_web::http::header::{HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::json;

use super::reason;
use crate::limits::LimitReached;
use crate::model::digest::{AnyDigest, DigestError};
use crate::model::manifest::ManifestError;
use crate::model::names::{NameError, ReferenceError, TagError};
use crate::registry::MissingReference;
use crate::registry::RegistryError;
use crate::store::meta::StoreError;

/// The system's own words: docker repeats every 5xx five times in 50 s, but for those that hold them.
const NO_SPACE: &str = "(no space left on device): free some space or ask its admin to";
const DISK_FULL: &str =
    "the registry's disk is full (no space left on device): free some space or ask its admin to";

macro_rules! codes {
    ($($name:ident $text:literal $status:ident;)*) => {
        /// The error codes of the distribution-spec and of distribution, with their usual status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $( #[doc = concat!("`", $text, "`")] $name, )* }

        impl Code {
            const fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            const fn status(self) -> StatusCode {
                match self { $( Self::$name => StatusCode::$status, )* }
            }
        }
    };
}

codes! {
    BlobUnknown "BLOB_UNKNOWN" NOT_FOUND;
    BlobUploadUnknown "BLOB_UPLOAD_UNKNOWN" NOT_FOUND;
    Denied "DENIED" FORBIDDEN;
    DigestInvalid "DIGEST_INVALID" BAD_REQUEST;
    ManifestBlobUnknown "MANIFEST_BLOB_UNKNOWN" BAD_REQUEST;
    ManifestInvalid "MANIFEST_INVALID" BAD_REQUEST;
    ManifestUnknown "MANIFEST_UNKNOWN" NOT_FOUND;
    NameInvalid "NAME_INVALID" BAD_REQUEST;
    NameUnknown "NAME_UNKNOWN" NOT_FOUND;
    PaginationNumberInvalid "PAGINATION_NUMBER_INVALID" BAD_REQUEST;
    RangeInvalid "RANGE_INVALID" RANGE_NOT_SATISFIABLE;
    SizeInvalid "SIZE_INVALID" BAD_REQUEST;
    TagInvalid "TAG_INVALID" BAD_REQUEST;
    TooManyRequests "TOOMANYREQUESTS" TOO_MANY_REQUESTS;
    Unauthorized "UNAUTHORIZED" UNAUTHORIZED;
    Unavailable "UNAVAILABLE" SERVICE_UNAVAILABLE;
    Unknown "UNKNOWN" INTERNAL_SERVER_ERROR;
    Unsupported "UNSUPPORTED" METHOD_NOT_ALLOWED;
}

/// One thing that went wrong.
#[derive(Debug)]
struct Item {
    code: Code,
    message: String,
    detail: Option<Value>,
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    items: Vec<Item>,
    headers: Vec<(HeaderName, HeaderValue)>,
    reason: Option<&'static str>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What an [`ApiError`] says.
pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// An error with the usual status of its code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            items: vec![Item { code, message: message.into(), detail: None }],
            headers: Vec::new(),
            reason: None,
            cause: None,
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The same with a reason phrase: docker prints nothing else of a 5xx.
    fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same with what the log shall say and the client shall not hear.
    fn cause(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    fn detail(mut self, detail: Value) -> Self {
        if let Some(item) = self.items.first_mut() {
            item.detail = Some(detail);
        }
        self
    }

    /// The same with the seconds after which another try makes sense.
    pub(crate) fn retry_after(self, seconds: &str) -> Self {
        self.header(RETRY_AFTER, seconds)
    }

    /// Its parts, for another form of the same answer. The cause goes to the log.
    pub(crate) fn into_parts(self) -> Parts {
        self.log_cause();
        let first = self.items.into_iter().next();
        let (code, message) = first.map_or((Code::Unknown, String::new()), |item| (item.code, item.message));
        Parts { status: self.status, code: code.text(), message, headers: self.headers }
    }

    fn log_cause(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(%cause, status = self.status.as_u16(), "a request failed");
        }
    }

    /// What a manifest refers to and its repository does not have. `copy` is the command that copies a manifest with all
    /// that it refers to from another repository.
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
                code: Code::ManifestBlobUnknown,
                message: format!(
                    "the manifest refers to the {what} {digest}, which the repository does not have: {hint}"
                ),
                detail: Some(json!({ "digest": digest, "from": elsewhere })),
            }
        });
        Self { items: items.collect(), ..Self::new(Code::ManifestBlobUnknown, "") }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.items.first().map_or("", |item| item.message.as_str());
        write!(f, "{} {first}", self.status.as_u16())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.log_cause();
        let mut response = HttpResponse::build(self.status);
        if let Some(reason) = self.reason {
            response.reason(reason);
        }
        for header in &self.headers {
            append_header(&mut response, header);
        }
        let errors: Vec<Value> = self.items.iter().map(Item::json).collect();
        response.json(json!({ "errors": errors }))
    }
}

/// The web framework decides by itself about `Connection`, and sends none that is among the headers.
pub(crate) fn append_header(response: &mut HttpResponseBuilder, header: &(HeaderName, HeaderValue)) {
    if header.0 == CONNECTION {
        response.force_close();
    } else {
        response.append_header(header.clone());
    }
}

impl Item {
    fn json(&self) -> Value {
        let mut item = json!({ "code": self.code.text(), "message": self.message });
        if let Some(detail) = &self.detail {
            item["detail"] = detail.clone();
        }
        item
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::Withdrawn | RegistryError::TooManyTags { .. } => Self::new(Code::Denied, message),
            RegistryError::RepositoryUnknown(_) => Self::new(Code::NameUnknown, message),
            RegistryError::BlobUnknown(_) => Self::new(Code::BlobUnknown, message),
            RegistryError::ManifestUnknown(_) => Self::new(Code::ManifestUnknown, message),
            RegistryError::UploadUnknown => Self::new(Code::BlobUploadUnknown, message),
            RegistryError::RangeInvalid { .. } | RegistryError::UploadInUse { .. } => {
                Self::new(Code::RangeInvalid, message)
            }
            RegistryError::SizeInvalid { .. } | RegistryError::Cut { .. } => {
                Self::new(Code::SizeInvalid, message)
            }
            RegistryError::DigestMismatch { expected, actual } => Self::new(Code::DigestInvalid, message)
                .detail(json!({ "expected": expected, "actual": actual })),
            RegistryError::BlobReferenced(_) => {
                Self::new(Code::Denied, message).status(StatusCode::METHOD_NOT_ALLOWED)
            }
            RegistryError::Manifest(error) => Self::from(error),
            RegistryError::ReferencesMissing(references) => Self::missing(references, |_, _| None),
            RegistryError::ReferenceSize { .. }
            | RegistryError::ReferenceType { .. }
            | RegistryError::ListedOtherwise { .. }
            | RegistryError::TooDeep(_) => Self::new(Code::ManifestInvalid, message),
            RegistryError::SaidOtherwise { .. } => {
                Self::new(Code::SizeInvalid, message).status(StatusCode::CONFLICT)
            }
            RegistryError::PreconditionFailed { .. } => {
                Self::new(Code::Denied, message).status(StatusCode::PRECONDITION_FAILED)
            }
            RegistryError::LittleSpace(shortage) => Self::new(Code::Denied, message)
                .status(StatusCode::INSUFFICIENT_STORAGE)
                .reason(reason::kept(format!("{shortage} {NO_SPACE}"), DISK_FULL))
                .retry_after("60"),
            RegistryError::DiskFull => Self::new(Code::Denied, message)
                .status(StatusCode::INSUFFICIENT_STORAGE)
                .reason(DISK_FULL)
                .retry_after("60"),
            RegistryError::ReadOnly => Self::new(Code::Unsupported, message),
            RegistryError::Limit(reached) => Self::from(reached),
            RegistryError::Io(detail) => Self::new(Code::Unknown, "the registry's disk failed; see its log")
                .reason("the registry's disk failed: see its log")
                .cause(RegistryError::Io(detail)),
            RegistryError::Store(error) => Self::from(error),
            RegistryError::Interrupted => Self::new(Code::Unknown, message),
        }
    }
}

impl ApiError {
    /// The answer on `path` to a client that met a limit of connections: its connection ends with it.
    pub(crate) fn too_many_connections(path: &str, reached: LimitReached) -> Self {
        let error = if path.starts_with("/v2") {
            Self::from(reached)
        } else {
            Self::new(Code::TooManyRequests, reached.to_string()).retry_after("5")
        };
        error.header(CONNECTION, "close")
    }
}

impl From<LimitReached> for ApiError {
    /// docker prints the status line of an answer of class 5xx, not its body.
    fn from(reached: LimitReached) -> Self {
        Self::new(Code::Unavailable, reached.to_string()).reason(reached.resource.reason()).retry_after("5")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::from(RegistryError::DiskFull),
            StoreError::ReadOnly => Self::from(RegistryError::ReadOnly),
            StoreError::Displaced => Self::new(Code::Unsupported, error.to_string()),
            StoreError::Unavailable => Self::new(Code::Unavailable, error.to_string()).retry_after("2"),
            StoreError::OutcomeUnknown => Self::new(Code::Unknown, error.to_string()),
            StoreError::Corrupt { .. } | StoreError::Io(_) | StoreError::Failed => {
                Self::new(Code::Unknown, "the registry's database failed; see its log").cause(error)
            }
        }
    }
}

impl From<ManifestError> for ApiError {
    fn from(error: ManifestError) -> Self {
        let api = Self::new(Code::ManifestInvalid, error.to_string());
        match error {
            ManifestError::TooLarge { .. } => api.status(StatusCode::PAYLOAD_TOO_LARGE),
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
            | ManifestError::Ambiguous { .. } => api,
        }
    }
}

impl From<DigestError> for ApiError {
    fn from(error: DigestError) -> Self {
        Self::new(Code::DigestInvalid, error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(Code::NameInvalid, error.to_string())
    }
}

impl From<TagError> for ApiError {
    fn from(error: TagError) -> Self {
        Self::new(Code::TagInvalid, error.to_string())
    }
}

impl From<ReferenceError> for ApiError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Tag(error) => Self::from(error),
            ReferenceError::Digest(error) => Self::from(error),
        }
    }
}

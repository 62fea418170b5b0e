//! Refusals: one table of codes, each with its status, and [`Fault`], the common form of every refusal before
//! an API renders it. [`domain`] maps the errors of lower modules to codes.

mod domain;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::Value;

use crate::limits::LimitReached;

/// A row of the table.
struct Row {
    text: &'static str,
    registry: &'static str,
    status: StatusCode,
    title: &'static str,
    fix: &'static str,
}

macro_rules! codes {
    ($($name:ident $text:literal $(| $registry:literal)? $status:ident $title:literal $($fix:literal)?;)*) => {
        /// The codes of all refusals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $( #[doc = $title] $name, )* }

        impl Code {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),*];

            const fn row(self) -> Row {
                match self { $( Self::$name => Row {
                    text: $text,
                    registry: first(&[$($registry,)? $text]),
                    status: StatusCode::$status,
                    title: $title,
                    fix: first(&[$($fix,)? ""]),
                }, )* }
            }
        }
    };
}

const fn first(texts: &[&'static str]) -> &'static str {
    texts[0]
}

// For each code: its name in the source; its text in the admin API; its text in the registry's API if that
// differs; the status; the title; and what to do about it. Texts of codes never change, because programs act
// on them. Those of the registry's API are from the distribution-spec and from CNCF Distribution.
codes! {
    BlobReferenced "DENIED" METHOD_NOT_ALLOWED "Method Not Allowed";
    BlobUnknown "BLOB_UNKNOWN" NOT_FOUND "Not Found";
    BodyInvalid "BODY_INVALID" BAD_REQUEST "The body is not valid";
    BodyTooLarge "BODY_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large";
    BrowserRefused "BROWSER_REFUSED" | "DENIED" FORBIDDEN "Browsers are refused" "send neither Origin nor Sec-Fetch-Site";
    Changed "CHANGED" PRECONDITION_FAILED "It was changed meanwhile" "look again, and send the new ETag";
    CheckRuns "CHECK_RUNS" CONFLICT "One of this kind is under way" "wait for it, or end it";
    CompactRefused "COMPACT_REFUSED" CONFLICT "The database cannot be compacted now";
    ContentType "CONTENT_TYPE" UNSUPPORTED_MEDIA_TYPE "The body has a wrong type";
    ContentUnknown "CONTENT_UNKNOWN" NOT_FOUND "The digest is unknown" "stowage manifest list REPOSITORY";
    CursorInvalid "CURSOR_INVALID" BAD_REQUEST "The cursor is not valid" "begin again without cursor";
    Denied "DENIED" FORBIDDEN "Forbidden";
    DigestInvalid "DIGEST_INVALID" BAD_REQUEST "The digest is not valid" "write it as sha256:<64 hexadecimal digits>";
    Failed "UNKNOWN" INTERNAL_SERVER_ERROR "Internal Server Error";
    FormInvalid "UNSUPPORTED" BAD_REQUEST "Bad Request";
    FormTooLarge "UNSUPPORTED" PAYLOAD_TOO_LARGE "Payload Too Large";
    IfMatchInvalid "IF_MATCH_INVALID" BAD_REQUEST "If-Match is not valid";
    JobKindInvalid "JOB_KIND_INVALID" BAD_REQUEST "There is no such kind of job";
    JobUnknown "JOB_UNKNOWN" NOT_FOUND "The job is unknown" "stowage jobs list";
    LastAdmin "LAST_ADMIN" CONFLICT "It is the last admin";
    LifetimeInvalid "LIFETIME_INVALID" BAD_REQUEST "The lifetime is not valid";
    LimitInvalid "LIMIT_INVALID" BAD_REQUEST "The limit is not valid";
    ManifestBlobUnknown "MANIFEST_BLOB_UNKNOWN" BAD_REQUEST "Bad Request";
    ManifestInvalid "MANIFEST_INVALID" BAD_REQUEST "Bad Request";
    ManifestTooLarge "MANIFEST_INVALID" PAYLOAD_TOO_LARGE "Payload Too Large";
    ManifestUnknown "MANIFEST_UNKNOWN" NOT_FOUND "The manifest is unknown" "stowage manifest list REPOSITORY";
    MethodNotAllowed "METHOD_NOT_ALLOWED" | "UNSUPPORTED" METHOD_NOT_ALLOWED "The method is not possible";
    NoSpace "DENIED" INSUFFICIENT_STORAGE "Insufficient Storage";
    NotDamaged "NOT_DAMAGED" NOT_FOUND "Nothing damaged has the digest" "stowage scrub quarantine list";
    NotFound "NOT_FOUND" NOT_FOUND "Nothing is here";
    PaginationNumberInvalid "PAGINATION_NUMBER_INVALID" BAD_REQUEST "Bad Request";
    ParameterInvalid "PARAMETER_INVALID" BAD_REQUEST "The parameter is not valid";
    ParameterUnknown "PARAMETER_UNKNOWN" BAD_REQUEST "The parameter is unknown";
    PasswordFileFailed "UNKNOWN" INTERNAL_SERVER_ERROR "The server failed";
    PasswordInvalid "PASSWORD_INVALID" BAD_REQUEST "The password is too short or too long";
    PathUnknown "NAME_UNKNOWN" NOT_FOUND "Not Found";
    PinInvalid "PIN_INVALID" BAD_REQUEST "The pin is not valid";
    PinUnknown "PIN_UNKNOWN" NOT_FOUND "The pin is unknown" "stowage gc pins";
    Pinned "PINNED" CONFLICT "A pin holds everything" "stowage gc pins";
    PreconditionFailed "DENIED" PRECONDITION_FAILED "Precondition Failed";
    RangeInvalid "RANGE_INVALID" RANGE_NOT_SATISFIABLE "Range Not Satisfiable";
    ReadOnly "UNSUPPORTED" METHOD_NOT_ALLOWED "Method Not Allowed";
    RepositoryHidden "NAME_UNKNOWN" NOT_FOUND "Not Found";
    RepositoryNameInvalid "REPOSITORY_NAME_INVALID" | "NAME_INVALID" BAD_REQUEST "The name is not valid";
    RepositoryUnknown "REPOSITORY_UNKNOWN" | "NAME_UNKNOWN" NOT_FOUND "The repository is unknown" "stowage repo list";
    ScheduleUnknown "SCHEDULE_UNKNOWN" NOT_FOUND "The job has no schedule" "stowage schedule list";
    ScopeInvalid "SCOPE_INVALID" BAD_REQUEST "The scopes are not valid";
    SizeConflict "SIZE_INVALID" CONFLICT "Conflict";
    SizeInvalid "SIZE_INVALID" BAD_REQUEST "Bad Request";
    TagNameInvalid "TAG_NAME_INVALID" | "TAG_INVALID" BAD_REQUEST "The tag is not valid";
    TagUnknown "TAG_UNKNOWN" | "MANIFEST_UNKNOWN" NOT_FOUND "The tag is unknown" "stowage tag list REPOSITORY";
    TokenExists "TOKEN_EXISTS" CONFLICT "The user has a token of this name";
    TokenNameInvalid "TOKEN_NAME_INVALID" BAD_REQUEST "The name is not valid";
    TokenUnknown "TOKEN_UNKNOWN" NOT_FOUND "The token is unknown" "stowage token list";
    TooManyPins "TOO_MANY_PINS" CONFLICT "There are too many pins" "stowage gc pins";
    TooManyRequests "TOOMANYREQUESTS" TOO_MANY_REQUESTS "Too Many Requests";
    TooManyTags "MANIFEST_INVALID" URI_TOO_LONG "URI Too Long";
    TrashConflict "TRASH_CONFLICT" CONFLICT "It cannot be restored now" "stowage trash list";
    TrashNameInvalid "TRASH_NAME_INVALID" BAD_REQUEST "The new name is not valid";
    TrashNameTaken "TRASH_NAME_TAKEN" CONFLICT "The name is taken" "delete what has the name, or restore under another one";
    TrashUnknown "TRASH_UNKNOWN" NOT_FOUND "It is not in the trash" "stowage trash list";
    Unauthorized "UNAUTHORIZED" UNAUTHORIZED "Unauthorized";
    Unavailable "UNAVAILABLE" SERVICE_UNAVAILABLE "Service Unavailable";
    UploadUnknown "BLOB_UPLOAD_UNKNOWN" NOT_FOUND "Not Found";
    UpgradeRefused "UNSUPPORTED" BAD_REQUEST "Bad Request";
    UserExists "USER_EXISTS" CONFLICT "The name is taken" "choose another name";
    UserNameInvalid "USER_NAME_INVALID" BAD_REQUEST "The name is not valid";
    UserUnknown "USER_UNKNOWN" NOT_FOUND "The user is unknown" "stowage user list";
    WaitInvalid "WAIT_INVALID" BAD_REQUEST "The wait is not valid";
    WhenInvalid "WHEN_INVALID" BAD_REQUEST "The schedule is not valid";
    Withdrawn "WITHDRAWN" | "DENIED" FORBIDDEN "The permission was withdrawn";
}

impl Code {
    /// The status of the response.
    pub(crate) const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The text of the code in the admin API.
    pub(crate) const fn text(self) -> &'static str {
        self.row().text
    }

    /// The text of the code in the registry's API.
    pub(crate) const fn registry_text(self) -> &'static str {
        self.row().registry
    }

    /// What is wrong, in a few words.
    pub(crate) const fn title(self) -> &'static str {
        self.row().title
    }

    /// What to do about it; empty if nothing helps in every case.
    pub(crate) const fn fix(self) -> &'static str {
        self.row().fix
    }

    /// The anchor in `docs/errors.md`, and the last part of the `type` of a problem.
    pub(crate) fn page(self) -> String {
        self.text().to_ascii_lowercase().replace('_', "-")
    }
}

/// One error of a refusal.
#[derive(Debug)]
pub(crate) struct Item {
    /// What is wrong, and what to do about it.
    pub(crate) message: String,
    /// Details for programs.
    pub(crate) detail: Option<Value>,
}

/// A refusal. Its cause goes to the log, never into the response.
#[derive(Debug)]
pub struct Fault {
    code: Code,
    /// At least one.
    items: Vec<Item>,
    headers: Vec<(HeaderName, HeaderValue)>,
    reason: Option<&'static str>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let item = Item { message: message.into(), detail: None };
        Self { code, items: vec![item], headers: Vec::new(), reason: None, cause: None }
    }

    /// A limit that falls when other requests of the same client end: the client has to wait.
    pub(crate) fn wait(reached: &LimitReached) -> Self {
        Self::new(Code::TooManyRequests, reached.to_string()).retry_after("5")
    }

    /// The response on `path` to a client at a limit of connections; the connection ends with it.
    pub(crate) fn too_many_connections(path: &str, reached: LimitReached) -> Self {
        let fault = if path.starts_with("/v2") { Self::from(reached) } else { Self::wait(&reached) };
        fault.header(CONNECTION, "close")
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds the number of seconds after which a retry makes sense.
    pub(crate) fn retry_after(self, seconds: &str) -> Self {
        self.header(RETRY_AFTER, seconds)
    }

    /// Adds a reason phrase, because docker prints nothing else of a 5xx.
    fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds the cause, which is logged and not sent to the client.
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

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// The errors in it, at least one.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The first message.
    pub(crate) fn message(&self) -> &str {
        self.items.first().map_or("", |item| item.message.as_str())
    }

    /// The reason phrase, if it is not the usual one.
    pub(crate) const fn reason_phrase(&self) -> Option<&'static str> {
        self.reason
    }

    /// The response without a body. This logs the cause.
    pub(crate) fn answer(&self) -> HttpResponseBuilder {
        let status = self.code.status();
        if let Some(cause) = &self.cause {
            tracing::error!(%cause, status = status.as_u16(), "a request failed");
        }
        let mut response = HttpResponse::build(status);
        for header in &self.headers {
            // The web framework controls `Connection` itself, and drops it from the headers.
            if header.0 == CONNECTION {
                response.force_close();
            } else {
                response.append_header(header.clone());
            }
        }
        response
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.status().as_u16(), self.message())
    }
}

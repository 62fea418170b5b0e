//! What goes wrong in the admin API, as `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::HttpResponse;
use actix_web::Responder;
use actix_web::ResponseError;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, WWW_AUTHENTICATE};

use crate::access::ScopeError;
use crate::http::error::{ApiError, append_header};
use crate::model::names::{NameError, TagError};
use crate::people::{TokenError, UserError};
use crate::registry::RegistryError;
use crate::wire;

macro_rules! codes {
    ($($name:ident $text:literal $status:ident $title:literal $fix:literal;)*) => {
        /// The names of what goes wrong; they never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code { $( #[doc = $title] $name, )* }

        impl Code {
            const fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }

            const fn status(self) -> StatusCode {
                match self { $( Self::$name => StatusCode::$status, )* }
            }

            const fn title(self) -> &'static str {
                match self { $( Self::$name => $title, )* }
            }

            const fn fix(self) -> &'static str {
                match self { $( Self::$name => $fix, )* }
            }
        }
    };
}

codes! {
    BodyInvalid "BODY_INVALID" BAD_REQUEST "The body is not valid" "";
    BodyTooLarge "BODY_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large" "";
    BrowserRefused "BROWSER_REFUSED" FORBIDDEN "Browsers are refused" "send no Origin header";
    Changed "CHANGED" PRECONDITION_FAILED "It was changed meanwhile" "look again, and send the new ETag";
    CheckRuns "CHECK_RUNS" CONFLICT "A check is under way" "wait for it, or end it";
    ContentType "CONTENT_TYPE" UNSUPPORTED_MEDIA_TYPE "The body has a wrong type" "";
    CursorInvalid "CURSOR_INVALID" BAD_REQUEST "The cursor is not valid" "begin again without cursor";
    DigestInvalid "DIGEST_INVALID" BAD_REQUEST "The digest is not valid" "write it as sha256:<64 hexadecimal digits>";
    IfMatchInvalid "IF_MATCH_INVALID" BAD_REQUEST "If-Match is not valid" "";
    JobUnknown "JOB_UNKNOWN" NOT_FOUND "The job is unknown" "";
    LastAdmin "LAST_ADMIN" CONFLICT "It is the last admin" "";
    LimitInvalid "LIMIT_INVALID" BAD_REQUEST "The limit is not valid" "";
    LifetimeInvalid "LIFETIME_INVALID" BAD_REQUEST "The lifetime is not valid" "";
    ManifestUnknown "MANIFEST_UNKNOWN" NOT_FOUND "The manifest is unknown" "stowage manifest list REPOSITORY";
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED "The method is not possible" "";
    NotFound "NOT_FOUND" NOT_FOUND "Nothing is here" "";
    ParameterInvalid "PARAMETER_INVALID" BAD_REQUEST "The parameter is not valid" "";
    ParameterUnknown "PARAMETER_UNKNOWN" BAD_REQUEST "The parameter is unknown" "";
    PasswordInvalid "PASSWORD_INVALID" BAD_REQUEST "The password is too short or too long" "";
    RepositoryNameInvalid "REPOSITORY_NAME_INVALID" BAD_REQUEST "The name is not valid" "";
    RepositoryUnknown "REPOSITORY_UNKNOWN" NOT_FOUND "The repository is unknown" "stowage repo list";
    ScopeInvalid "SCOPE_INVALID" BAD_REQUEST "The scopes are not valid" "";
    TagNameInvalid "TAG_NAME_INVALID" BAD_REQUEST "The tag is not valid" "";
    TagUnknown "TAG_UNKNOWN" NOT_FOUND "The tag is unknown" "stowage tag list REPOSITORY";
    TokenExists "TOKEN_EXISTS" CONFLICT "The user has a token of this name" "";
    TokenNameInvalid "TOKEN_NAME_INVALID" BAD_REQUEST "The name is not valid" "";
    TokenUnknown "TOKEN_UNKNOWN" NOT_FOUND "The token is unknown" "stowage token list";
    Unknown "UNKNOWN" INTERNAL_SERVER_ERROR "The server failed" "";
    UserExists "USER_EXISTS" CONFLICT "The name is taken" "choose another name";
    UserNameInvalid "USER_NAME_INVALID" BAD_REQUEST "The name is not valid" "";
    UserUnknown "USER_UNKNOWN" NOT_FOUND "The user is unknown" "stowage user list";
    WaitInvalid "WAIT_INVALID" BAD_REQUEST "The wait is not valid" "";
    Withdrawn "WITHDRAWN" FORBIDDEN "The permission was withdrawn" "";
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    fix: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code: code.text(),
            title: code.title(),
            detail: detail.into(),
            fix: code.fix(),
            headers: Vec::new(),
        }
    }

    /// The same with a header.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn document(&self) -> wire::Problem {
        let kind = self.code.to_ascii_lowercase().replace('_', "-");
        wire::Problem {
            kind: format!("urn:stowage:error:{kind}"),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            fix: self.fix.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            append_header(&mut response, header);
        }
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("application/problem+json")
            .json(self.document())
    }
}

impl Responder for Problem {
    type Body = BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse<BoxBody> {
        self.error_response()
    }
}

impl From<ApiError> for Problem {
    /// A caller who was not recognised signs in with a name and a password here, not with a registry token.
    fn from(error: ApiError) -> Self {
        let parts = error.into_parts();
        let mut headers = parts.headers;
        for (name, value) in &mut headers {
            if *name == WWW_AUTHENTICATE {
                *value = HeaderValue::from_static("Basic realm=\"Stowage\"");
            }
        }
        let title = parts.status.canonical_reason().unwrap_or("The request failed");
        Self { status: parts.status, code: parts.code, title, detail: parts.message, fix: "", headers }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let detail = error.to_string();
        match error {
            UserError::Store(error) => Self::from(ApiError::from(error)),
            UserError::File { .. } => {
                tracing::error!(%detail, "a password file failed");
                Self::new(Code::Unknown, "the server's disk failed; its log says more")
            }
            UserError::Changed(_) => Self::new(Code::Changed, detail),
            UserError::Withdrawn => Self::new(Code::Withdrawn, detail),
            UserError::Unknown(_) => Self::new(Code::UserUnknown, detail),
            UserError::Exists(_) => Self::new(Code::UserExists, detail),
            UserError::Name(_) => Self::new(Code::UserNameInvalid, detail),
            UserError::Password(_) => Self::new(Code::PasswordInvalid, detail),
            UserError::LastAdmin(_) => Self::new(Code::LastAdmin, detail),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let detail = error.to_string();
        match error {
            TokenError::User(error) => Self::from(error),
            TokenError::Unknown(_) => Self::new(Code::TokenUnknown, detail),
            TokenError::Exists { .. } => Self::new(Code::TokenExists, detail),
            TokenError::Name => Self::new(Code::TokenNameInvalid, detail),
            TokenError::NoScope => Self::new(Code::ScopeInvalid, detail),
        }
    }
}

impl From<ScopeError> for Problem {
    fn from(error: ScopeError) -> Self {
        Self::new(Code::ScopeInvalid, error.to_string())
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(Code::RepositoryNameInvalid, error.to_string())
    }
}

impl From<TagError> for Problem {
    fn from(error: TagError) -> Self {
        Self::new(Code::TagNameInvalid, error.to_string())
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        match error {
            RegistryError::RepositoryUnknown(_) => Self::new(Code::RepositoryUnknown, detail),
            RegistryError::ManifestUnknown(_) => Self::new(Code::TagUnknown, detail),
            RegistryError::Withdrawn => Self::new(Code::Withdrawn, detail),
            other => Self::from(ApiError::from(other)),
        }
    }
}

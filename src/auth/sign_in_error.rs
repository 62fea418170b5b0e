//! Why a sign-in failed, in sentences that name the fix.

use jiff::Timestamp;

use crate::model::units::counted;
use crate::store::meta::StoreError;

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The request has no credential.
    #[error("authentication required: sign in with docker login")]
    Missing {
        /// Whether an anonymous token is enough to pull.
        anonymous_pull: bool,
    },
    /// The header is not one that this registry understands.
    #[error(
        "the Authorization header is neither `Basic` with a base64 of name:password nor `Bearer` with a token"
    )]
    Malformed,
    /// The name or the password is wrong, or the user is disabled.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// A registry or refresh token of this server that has expired, or whose owner's rights were withdrawn.
    #[error("your sign-in is no longer valid: docker login")]
    Stale,
    /// A token that this server did not issue.
    #[error("this is not a Stowage token (stw_pat_...)")]
    Foreign,
    /// A registry token at the admin API.
    #[error("a registry token counts at /v2/ alone: use a personal token (stw_pat_...) or a password")]
    RegistryToken,
    /// A personal token that does not exist or was revoked.
    #[error("this token is unknown or was revoked")]
    Revoked,
    /// A personal token that has expired. Its secret is known to be correct, so this reveals nothing.
    #[error("this token expired on {}", date(*.at_ms))]
    Expired {
        /// When, in Unix milliseconds.
        at_ms: u64,
    },
    /// A personal token of a user who may not sign in.
    #[error("the user {user} of this token is disabled")]
    Disabled {
        /// The user's name.
        user: String,
    },
    /// A personal token that was presented with the name of another user.
    #[error("this token belongs to {owner}: docker login -u {owner}")]
    Anothers {
        /// Its owner.
        owner: String,
    },
    /// The rate limit on wrong passwords of this name or address was reached.
    #[error("too many wrong sign-ins; try again in {}", seconds(*.retry_after_s))]
    RateLimited {
        /// Seconds until the next attempt is permitted.
        retry_after_s: u64,
    },
    /// The queue of verifications is full; this password was not verified.
    #[error("the server is busy verifying other passwords; try again in {}", seconds(*.retry_after_s))]
    PasswordQueueFull {
        /// Seconds after which to try again.
        retry_after_s: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SignInError {
    /// The sentence for a client that reaches this registry as `host` and its token endpoint as `realm`.
    pub fn told(&self, host: &str, realm: &str) -> String {
        match self {
            Self::Missing { anonymous_pull: true } => format!(
                "authentication required: get an anonymous token to pull from {realm}, or sign in: docker login {host}"
            ),
            Self::Missing { anonymous_pull: false } | Self::Stale | Self::Anothers { .. } => {
                format!("{self} {host}")
            }
            Self::Foreign => format!("{self}: docker login {host}"),
            _ => self.to_string(),
        }
    }
}

/// The day of a time, as people read it.
fn date(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map(|time| time.strftime("%F").to_string()).unwrap_or_default()
}

fn seconds(count: u64) -> String {
    counted(count, "second", "seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_names_the_fix_with_the_host_that_the_client_knows() {
        let told = |error: SignInError| error.told("reg.lan", "https://reg.lan/token");
        assert_eq!(told(SignInError::Stale), "your sign-in is no longer valid: docker login reg.lan");
        let limited = SignInError::RateLimited { retry_after_s: 1 };
        assert_eq!(told(limited), "too many wrong sign-ins; try again in 1 second");
        assert_eq!(
            told(SignInError::Expired { at_ms: 1_795_824_000_000 }),
            "this token expired on 2026-11-28"
        );
        let owner = "hanna".to_owned();
        let told_owner = told(SignInError::Anothers { owner });
        assert_eq!(told_owner, "this token belongs to hanna: docker login -u hanna reg.lan");
        for anonymous_pull in [true, false] {
            let missing = told(SignInError::Missing { anonymous_pull });
            assert!(missing.starts_with("authentication required: "), "{missing}");
            assert_eq!(
                missing.contains("anonymous token to pull from https://reg.lan/token"),
                anonymous_pull
            );
        }
    }
}

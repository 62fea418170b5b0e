//! Authentication: recognises the sender of a request, and issues registry tokens by which the sender is
//! recognised later.

mod attempt;
mod credential_cache;
mod credentials;
mod failures;
mod issue;
mod jwt;
mod password;
mod refresh;
mod scope_request;
mod secret;
mod sign_in;
mod sign_in_error;
mod sign_in_limiter;
mod user_name;

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle as Runtime;

pub use credential_cache::{LONGEST_REMEMBERED, MOST_REMEMBERED};
pub use credentials::{Basic, Header};
pub use issue::{Applicant, Issued, MAX_SCOPES};
pub use jwt::key_file;
pub(crate) use password::generate as generate_password;
pub use password::{LENGTH as PASSWORD_LENGTH, length_problem as password_length_problem};
pub use scope_request::ScopeRequest;
pub(crate) use secret::{SecretKind, hash as hash_secret};
pub use sign_in::Door;
pub use sign_in_error::SignInError;
pub(crate) use user_name::{MAX_USER_NAME, folded};

use crate::access::Access;
use crate::config::Config;
use crate::store::meta::{Meta, StoreError};
use crate::telemetry::Secret;
use credential_cache::CredentialCache;
use failures::Failures;
use jwt::Signer;
use password::Passwords;
use sign_in_limiter::SignInLimiter;

/// The name of this service in challenges and tokens.
pub const SERVICE: &str = "stowage";

/// The settings, which a reload can change.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long registry tokens are valid, in seconds.
    pub token_ttl_s: u64,
    /// How long after its expiry a registry token is still accepted for an upload that it began, in seconds.
    pub upload_idle_s: u64,
    /// The most refresh tokens of one user.
    pub refresh_tokens: usize,
}

impl Settings {
    /// Takes them from the configuration.
    pub const fn of(config: &Config) -> Self {
        Self {
            token_ttl_s: config.auth.token_ttl.as_secs(),
            upload_idle_s: config.storage.gc.upload_idle.as_secs(),
            refresh_tokens: config.limits.refresh_tokens,
        }
    }
}

/// Authenticates callers, and issues registry tokens.
pub struct Auth {
    meta: Arc<Meta>,
    access: Arc<Access>,
    settings: ArcSwap<Settings>,
    cache: CredentialCache,
    passwords: Passwords,
    limiter: SignInLimiter,
    failures: Failures,
    signer: Signer,
}

impl Auth {
    /// Uses the users in `meta` and the key in the data directory, which the first start creates.
    ///
    /// # Errors
    /// The key at [`key_file`] cannot be read or created.
    pub fn new(
        meta: Arc<Meta>,
        access: Arc<Access>,
        data_dir: &Path,
        settings: Settings,
        runtime: Runtime,
    ) -> io::Result<Self> {
        Ok(Self {
            signer: Signer::open(data_dir)?,
            meta,
            access,
            settings: ArcSwap::from_pointee(settings),
            cache: CredentialCache::new(),
            passwords: Passwords::new(runtime),
            limiter: SignInLimiter::default(),
            failures: Failures::default(),
        })
    }

    /// Applies other settings from the next request on.
    pub fn reconfigure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The stored form of a new password. Hashing waits in the same queue as verifications.
    pub(crate) async fn hash_password(&self, password: Secret<String>) -> Result<String, StoreError> {
        self.passwords.hash(password).await
    }
}

#[cfg(test)]
mod tests;

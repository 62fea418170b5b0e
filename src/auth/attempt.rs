//! The verification of one password. It runs in a task of its own, so that a client that disconnects early
//! changes neither the count of attempts nor the number of verifications that run at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Auth;
use super::credential_cache::{CredentialKind, Key, Verified};
use super::credentials::Basic;
use super::password::{QueueFull, Running};
use super::sign_in_error::SignInError;
use super::user_name::folded;
use crate::access::{Credential, Principal};
use crate::store::meta::{StoreError, Tx as _, schema};

/// How long a verified credential is accepted from the cache.
pub(super) const REMEMBER_MS: u64 = 5 * 60 * 1000;
/// The `Retry-After` when the queue of verifications was full, in seconds.
const QUEUE_FULL_S: u64 = 5;

struct Attempt {
    auth: Arc<Auth>,
    sent: Basic,
    /// The name, folded.
    name: String,
    key: Key,
    address: Option<IpAddr>,
}

impl Auth {
    /// Authenticates a name with a password. A password in the cache needs no hash and does not wait in the
    /// queue of verifications.
    pub(super) async fn by_password(
        self: &Arc<Self>,
        sent: Basic,
        address: Option<IpAddr>,
    ) -> Result<Principal, SignInError> {
        let name = folded(&sent.name);
        let key = self.cache.key(&[&name, &sent.password]);
        if let Some(principal) = self.recall(CredentialKind::Password, &key)? {
            return Ok(principal);
        }
        self.may_try(address, &name)?;
        let queued = self.passwords.queue().map_err(|QueueFull| queue_full())?;
        let attempt = Attempt { auth: Arc::clone(self), sent, name, key, address };
        let verified = self.passwords.spawn(async move {
            // Held until the attempt is counted, so that the next attempt is judged by all verifications
            // before it.
            let running = attempt.auth.passwords.start(queued).await;
            attempt.verify(&running).await
        });
        verified.await.unwrap_or_else(|_| Err(queue_full()))
    }

    fn may_try(&self, address: Option<IpAddr>, name: &str) -> Result<(), SignInError> {
        match self.limiter.wait(address, name, Instant::now()) {
            Some(wait) => Err(SignInError::RateLimited { retry_after_s: wait.as_secs().max(1) }),
            None => Ok(()),
        }
    }
}

const fn queue_full() -> SignInError {
    SignInError::PasswordQueueFull { retry_after_s: QUEUE_FULL_S }
}

impl Attempt {
    async fn verify(self, running: &Running) -> Result<Principal, SignInError> {
        let auth = &self.auth;
        // While this one waited, another verification may have cached the same password, or have reached the
        // limit of wrong ones.
        if let Some(principal) = auth.recall(CredentialKind::Password, &self.key)? {
            return Ok(principal);
        }
        auth.may_try(self.address, &self.name)?;
        let epoch = auth.meta.auth_epoch();
        let Some(principal) = self.owner(running).await? else {
            auth.limiter.wrong(self.address, &self.name, Instant::now());
            auth.failures.tell(&self.sent.name, self.address, &SignInError::Wrong);
            return Err(SignInError::Wrong);
        };
        auth.limiter.right(self.address, &self.name, Instant::now());
        let until_ms = auth.meta.latest_ms() + REMEMBER_MS;
        auth.cache.put(
            CredentialKind::Password,
            self.key,
            Verified { principal: principal.clone(), until_ms, epoch },
        );
        Ok(principal)
    }

    /// The user with this name, if the password is correct.
    async fn owner(&self, running: &Running) -> Result<Option<Principal>, SignInError> {
        let user = self.auth.meta.get(|tx| {
            let Some(id) = tx.get(&schema::USER_NAME, &*self.name)? else { return Ok(None) };
            Ok::<_, StoreError>(tx.get(&schema::USER, id)?.map(|user| (id, user)))
        })?;
        let stored =
            user.as_ref().filter(|(_, user)| !user.disabled).map(|(_, user)| user.password_hash.clone());
        let right = self.auth.passwords.verify(running, stored, self.sent.password.clone()).await;
        match user {
            Some((id, user)) if right => {
                Ok(self.auth.user_principal(id, Credential::Password(user.password_version), None)?)
            }
            _ => Ok(None),
        }
    }
}

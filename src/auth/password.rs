//! Passwords: argon2id (RFC 9106) on at most two threads at a time, and a generator of memorable ones.

use std::ops::RangeInclusive;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::store::meta::StoreError;
use crate::telemetry::Secret;

/// The most verifications at once. Each takes 19 MiB and tens of milliseconds of a core.
pub(super) const AT_ONCE: usize = 2;
/// The most verifications that wait. More are refused, so that a flood of wrong passwords takes a bounded
/// amount of memory.
pub(super) const WAITING: usize = 64;
/// A stored password of no user, with the same parameters as those of users.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGZvciBpdA$c29tZSBoYXNoIG9mIHRoaXJ0eS10d28gYnl0ZXMhISE";
/// The most characters of a password.
pub(super) const MAX_LENGTH: usize = 1024;
/// The permitted lengths of a new password, in characters.
pub const LENGTH: RangeInclusive<usize> = 12..=MAX_LENGTH;

/// What is wrong with a new password of this length.
pub fn length_problem(length: usize) -> String {
    let problem = if length < *LENGTH.start() { "short" } else { "long" };
    format!("the password is too {problem} ({length}): it needs 12 to 1,024 characters")
}

/// The bounded thread pool that hashes and verifies passwords.
pub(super) struct Passwords {
    runtime: Runtime,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// Verified for names that do not exist, so that the response takes as long as for those that do.
    decoy: String,
}

/// A verification in the queue.
pub(super) struct Queued {
    _permit: OwnedSemaphorePermit,
}

/// A verification that runs. It must be kept until the hash ends: dropping it lets the next verification
/// start.
pub(super) struct Running {
    _queued: Queued,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The queue of verifications is full.
#[derive(Debug)]
pub(super) struct QueueFull;

impl Passwords {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            running: Arc::new(Semaphore::new(AT_ONCE)),
            admitted: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            decoy: DECOY.to_owned(),
        }
    }

    /// The stored form of a new password. It fails while the server stops, because the hash may not have been
    /// computed.
    pub(super) async fn hash(&self, password: Secret<String>) -> Result<String, StoreError> {
        // The semaphore is never closed; without the permit, one verification more would run at a time.
        let permit = Arc::clone(&self.running).acquire_owned().await;
        let task = self.runtime.spawn_blocking(move || {
            let _held = permit;
            hash(password.expose())
        });
        task.await.map_err(|_| StoreError::Unavailable)
    }

    /// Enters the queue of verifications.
    pub(super) fn queue(&self) -> Result<Queued, QueueFull> {
        Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map(|permit| Queued { _permit: permit })
            .map_err(|_| QueueFull)
    }

    /// Waits for one of the [`AT_ONCE`] permits.
    pub(super) async fn start(&self, queued: Queued) -> Running {
        // The semaphore is never closed; without the permit, one verification more would run at a time.
        let permit = Arc::clone(&self.running).acquire_owned().await;
        Running { _queued: queued, _permit: permit.ok() }
    }

    /// Runs work that continues when its caller no longer waits for it.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Whether `password` matches the hash `stored`. Without `stored` the result is false, after the same
    /// time.
    pub(super) async fn verify(&self, _: &Running, stored: Option<String>, password: String) -> bool {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let task = self.runtime.spawn_blocking(move || matches(&stored, &password));
        task.await.unwrap_or(false) && known
    }
}

fn argon2() -> Argon2<'static> {
    // The parameters of the OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
    let params = Params::new(19 * 1024, 2, 1, None).expect("these parameters are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The stored form of a password.
fn hash(password: &str) -> String {
    argon2()
        .hash_password(password.as_bytes())
        .expect("argon2 fails only for parameters or lengths outside its limits, which are fixed here")
        .to_string()
}

fn matches(stored: &str, password: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
}

/// Generates a password that can be read aloud: four words and a number, 57 bits of entropy.
pub(crate) fn generate() -> String {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).expect("the system's random source answers");
    let mut bits = u64::from_le_bytes(random);
    let mut take = |count: u64| {
        let value = bits % count;
        bits /= count;
        usize::try_from(value).expect("a small number fits")
    };
    let words: Vec<String> = (0..4).map(|_| word(&mut take)).collect();
    let number = 10 + take(90);
    format!("{}-{}-{number}-{}-{}", words[0], words[1], words[2], words[3])
}

/// A pronounceable word of four letters: one of 6,400.
fn word(take: &mut impl FnMut(u64) -> usize) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 5] = b"aeiou";
    let mut word = String::with_capacity(4);
    for _ in 0..2 {
        word.push(char::from(CONSONANTS[take(16)]));
        word.push(char::from(VOWELS[take(5)]));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_matches_its_hash_and_no_other() {
        let password = generate();
        let stored = hash(&password);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(matches(&stored, &password));
        assert!(!matches(&stored, "another"));
        assert_ne!(generate(), password);
    }

    #[test]
    fn the_decoy_costs_as_much_as_a_real_password_and_matches_none() {
        let parameters = |stored: &str| stored.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(DECOY), parameters(&hash("a password")));
        assert!(PasswordHash::new(DECOY).is_ok());
        assert!(!matches(DECOY, ""));
    }
    #[test]
    fn a_password_that_is_not_hashed_has_no_stored_form() {
        let stopped = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let passwords = Passwords::new(stopped.handle().clone());
        stopped.shutdown_background();
        let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hashed = waiting.block_on(passwords.hash(Secret::new("a long password".to_owned())));
        assert!(matches!(hashed, Err(StoreError::Unavailable)), "{hashed:?}");
    }
}

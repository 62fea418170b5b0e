//! Tests of sign-ins, each on a store of its own.

use tempfile::TempDir;
use tokio::runtime::Runtime as Running;

use super::*;
use crate::access::Policy;
use crate::access::tests::open_store;
use crate::model::names::UserId;
use crate::store::meta::StoreError;
use crate::store::meta::schema::{self, User};

struct Gate {
    auth: Arc<Auth>,
    runtime: Running,
    _directory: TempDir,
}

impl Gate {
    /// A store with one user, hanna.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (meta, runtime) = open_store(&directory, || 4_000_000_000_000);
        let access = Access::new(Arc::clone(&meta), Policy::SignIn { anonymous_pull: false }).unwrap();
        let settings = Settings { token_ttl_s: 300, upload_idle_s: 3600, refresh_tokens: 4 };
        let handle = runtime.handle().clone();
        let auth =
            Auth::new(Arc::clone(&meta), Arc::new(access), directory.path(), settings, handle).unwrap();
        let password_hash =
            runtime.block_on(auth.hash_password(Secret::new("a long password".to_owned()))).unwrap();
        let user = User { password_hash, ..User::sample("hanna") };
        let stored = meta.write(move |tx| {
            tx.put(&schema::USER, UserId(7), &user)?;
            tx.put(&schema::USER_NAME, "hanna", &UserId(7))?;
            tx.raise_epoch()
        });
        runtime.block_on(stored).map_err(|error: StoreError| error).unwrap();
        Self { auth: Arc::new(auth), runtime, _directory: directory }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// Signs in with these passwords at the same time, as many as the queue takes; returns how many were right
/// and how many wrong.
fn sign_in_together(gate: &Gate, name: &str, password: impl Fn(usize) -> String) -> (usize, usize) {
    gate.wait(async {
        let mut together = tokio::task::JoinSet::new();
        for number in 0..password::AT_ONCE + password::WAITING {
            let (auth, name, password) = (Arc::clone(&gate.auth), name.to_owned(), password(number));
            let address = Some([192, 0, 2, 7].into());
            together.spawn(async move { auth.basic(Basic { name, password }, address).await });
        }
        let results = together.join_all().await;
        let wrong = results.iter().filter(|result| matches!(result, Err(SignInError::Wrong))).count();
        (results.iter().filter(|result| result.is_ok()).count(), wrong)
    })
}

#[test]
fn guesses_that_are_sent_together_are_heard_no_more_often_than_others_and_right_passwords_all_are() {
    let gate = Gate::new();
    let all = password::AT_ONCE + password::WAITING;
    assert_eq!(sign_in_together(&gate, "hanna", |_| "a long password".to_owned()), (all, 0));
    let started = std::time::Instant::now();
    let (_, heard) = sign_in_together(&gate, "omar", |number| format!("guess number {number}"));
    let promised =
        sign_in_limiter::NAME.burst + sign_in_limiter::NAME.refill * started.elapsed().as_secs_f64();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let most = promised + number(password::AT_ONCE - 1);
    assert!(number(heard) <= most, "{heard} were heard, {promised} were promised");
    assert!(number(heard) >= sign_in_limiter::NAME.burst, "{heard}");
}

#[test]
fn a_right_password_that_finds_the_queue_full_is_not_called_wrong() {
    let gate = Gate::new();
    let sign_in = || {
        let (name, password) = ("hanna".to_owned(), "a long password".to_owned());
        gate.wait(gate.auth.basic(Basic { name, password }, None))
    };
    let waiting: Vec<_> = std::iter::from_fn(|| gate.auth.passwords.queue().ok()).collect();
    assert_eq!(waiting.len(), password::AT_ONCE + password::WAITING);
    let refused = sign_in().unwrap_err().to_string();
    assert_eq!(refused, "the server is busy verifying other passwords; try again in 5 seconds");
    drop(waiting);
    assert!(sign_in().is_ok());
}

//! Tests of users and tokens, and of sign-ins with them, each on a store of its own.

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::access::tests::{local, open_store};
use crate::access::{Access, Action, Grant, Policy, Principal, Scopes, Site};
use crate::auth::{Applicant, Door, Settings, SignInError, hash_secret};
use crate::store::meta::{StoreError, Tx as _, schema};
use crate::telemetry::Secret;

/// Refresh tokens that a user may have.
const REFRESH_TOKENS: usize = 4;

fn password(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

struct Gate {
    access: Arc<Access>,
    auth: Arc<Auth>,
    people: People,
    runtime: Runtime,
    directory: TempDir,
}

/// The time that the store's clock shows at the start of a test. Thread-local state would not do: the writer
/// of the store is a thread of its own.
const USUAL_MS: u64 = 4_000_000_000_000;

impl Gate {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), || USUAL_MS)
    }

    /// Another server on the same store.
    fn again(self, wall: fn() -> u64) -> Self {
        let Self { access, auth, people, runtime, directory } = self;
        people.meta.close();
        drop((access, auth, people, runtime));
        Self::open(directory, wall)
    }

    fn open(directory: TempDir, wall: fn() -> u64) -> Self {
        let (meta, runtime) = open_store(&directory, wall);
        let access = Access::new(Arc::clone(&meta), Policy::SignIn { anonymous_pull: false }).unwrap();
        let access = Arc::new(access);
        let settings = Settings { token_ttl_s: 300, upload_idle_s: 3600, refresh_tokens: REFRESH_TOKENS };
        let handle = runtime.handle().clone();
        let auth = Auth::new(Arc::clone(&meta), Arc::clone(&access), directory.path(), settings, handle);
        let auth = Arc::new(auth.unwrap());
        let people = People::new(meta, Arc::clone(&auth), directory.path(), "admin");
        Self { access, auth, people, runtime, directory }
    }

    fn manager<A: Action<Target = Site>>(&self) -> Grant<A> {
        self.access.site(&local()).unwrap()
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn refresh_token(&self, name: &str, password: &str) -> String {
        let applicant = Applicant::Password(name.to_owned(), password.to_owned());
        self.wait(self.auth.issue(applicant, None, &[], true)).unwrap().refresh.unwrap()
    }

    fn expire(&self) -> usize {
        self.wait(self.auth.expire_refresh_tokens(&self.access.system("test"))).unwrap()
    }
}

#[test]
fn refresh_tokens_of_an_old_password_and_of_a_removed_user_are_swept_and_others_stay() {
    let gate = Gate::new();
    let manager = gate.manager();
    for name in ["hanna", "omar", "dev"] {
        gate.wait(gate.people.add_user(&manager, name, password("a long password"), false)).unwrap();
    }
    gate.refresh_token("hanna", "a long password");
    gate.refresh_token("omar", "a long password");
    let kept = gate.refresh_token("dev", "a long password");
    assert_eq!(gate.expire(), 0);
    let change = UserChange::Password(password("another password"));
    gate.wait(gate.people.change_user(&manager, "hanna", None, change)).unwrap();
    gate.wait(gate.people.delete_user(&manager, "omar", None)).unwrap();
    assert_eq!(gate.expire(), 2);
    assert_eq!(gate.expire(), 0);
    assert!(gate.wait(gate.auth.issue(Applicant::Refresh(kept), None, &[], false)).is_ok());
}

#[test]
fn a_user_keeps_as_many_refresh_tokens_as_are_permitted_and_loses_the_one_unused_for_longest() {
    let gate = Gate::new();
    let manager = gate.manager();
    for name in ["hanna", "omar"] {
        gate.wait(gate.people.add_user(&manager, name, password("a long password"), false)).unwrap();
    }
    let other = gate.refresh_token("omar", "a long password");
    let tokens: Vec<String> =
        (0..REFRESH_TOKENS + 2).map(|_| gate.refresh_token("hanna", "a long password")).collect();
    for (number, token) in tokens.iter().enumerate() {
        let redeemed =
            gate.wait(gate.auth.issue(Applicant::Refresh(token.clone()), None, &[], false)).is_ok();
        assert_eq!(redeemed, number >= 2, "token {number}");
    }
    assert!(
        gate.wait(gate.auth.issue(Applicant::Refresh(other), None, &[], false)).is_ok(),
        "another user's stay"
    );
    let rows = gate.people.meta.read_blocking(|tx| {
        Ok::<_, StoreError>((tx.count(&schema::REFRESH)?, tx.count(&schema::REFRESH_BY_USER)?))
    });
    let expected = REFRESH_TOKENS as u64 + 1;
    assert_eq!(rows.unwrap(), (expected, expected));
}

#[test]
fn an_acknowledged_change_raises_the_epoch_even_if_nobody_waits_for_its_answer() {
    let gate = Gate::new();
    let manager = gate.manager();
    gate.wait(gate.people.add_user(&manager, "hanna", password("a long password"), false)).unwrap();
    let stored = || gate.people.meta.get(|tx| tx.get(&schema::AUTH_EPOCH, ())).unwrap().unwrap();
    let before = stored();
    assert_eq!(gate.people.meta.auth_epoch(), before);
    gate.wait(async {
        let change = gate.people.change_user(&manager, "hanna", None, UserChange::Disable);
        // The client disconnects as soon as the change was sent to the writer.
        assert!(tokio::time::timeout(std::time::Duration::ZERO, change).await.is_err() || stored() > before);
    });
    // The writer works in order: when a later change is committed, the earlier one is too.
    gate.wait(gate.people.meta.write(|_| Ok::<_, StoreError>(()))).unwrap();
    assert_eq!((stored(), gate.people.meta.auth_epoch()), (before + 1, before + 1));
}

#[test]
fn the_version_of_a_user_never_comes_back() {
    let gate = Gate::new();
    let manager = gate.manager();
    let made =
        gate.wait(gate.people.add_user(&manager, "hanna", password("a long password"), false)).unwrap();
    for change in [UserChange::Disable, UserChange::Enable] {
        gate.wait(gate.people.change_user(&manager, "hanna", None, change)).unwrap();
    }
    let deleted = gate.wait(gate.people.delete_user(&manager, "hanna", Some(made.version)));
    assert!(matches!(deleted, Err(UserError::Changed(_))), "{deleted:?}");
    let now = gate.people.user(&gate.manager(), "hanna").unwrap();
    gate.wait(gate.people.delete_user(&manager, "hanna", Some(now.version))).unwrap();
}

#[test]
fn the_file_of_the_first_password_goes_when_its_admin_can_not_sign_in_with_it_any_more() {
    for end in ["password", "disable", "delete"] {
        let gate = Gate::new();
        let file = gate.directory.path().join("initial-admin-password");
        gate.wait(gate.people.ensure_admin(None)).unwrap();
        let manager = gate.manager();
        gate.wait(gate.people.add_user(&manager, "omar", password("a long password"), true)).unwrap();
        gate.wait(gate.people.change_user(&manager, "omar", None, UserChange::Disable)).unwrap();
        gate.wait(gate.people.change_user(&manager, "omar", None, UserChange::Enable)).unwrap();
        assert!(file.exists(), "another admin's changes leave it");
        match end {
            "password" => {
                let change = UserChange::Password(password("another password"));
                gate.wait(gate.people.change_user(&manager, "Admin", None, change)).map(drop)
            }
            "disable" => {
                gate.wait(gate.people.change_user(&manager, "admin", None, UserChange::Disable)).map(drop)
            }
            _ => gate.wait(gate.people.delete_user(&manager, "admin", None)),
        }
        .unwrap();
        assert!(!file.exists(), "{end}");
    }
}

const HOUR_MS: u64 = 3_600_000;
/// A time two centuries ahead, which a clock without a battery may show once.
const AHEAD_MS: u64 = USUAL_MS * 2;

fn personal(gate: &Gate, lifetime_s: Option<u64>) -> String {
    let new = NewToken {
        user: "hanna".to_owned(),
        name: format!("for {lifetime_s:?}"),
        scopes: Scopes::READ_REGISTRY,
        lifetime_s,
    };
    gate.wait(gate.people.create_token(&gate.manager(), new)).map(|made| made.secret.into_inner()).unwrap()
}

fn sign_in(gate: &Gate, secret: &str) -> Result<Principal, SignInError> {
    gate.wait(gate.auth.authenticate(Some(&format!("Bearer {secret}")), None, Door::Registry))
}

fn add_hanna(gate: &Gate) {
    gate.wait(gate.people.add_user(&gate.manager(), "hanna", password("a long password"), false)).unwrap();
}

#[test]
fn a_clock_that_is_set_back_makes_no_expired_token_valid_again() {
    let gate = Gate::new();
    add_hanna(&gate);
    let secret = personal(&gate, Some(3600));
    sign_in(&gate, &secret).unwrap();
    let gate = gate.again(|| USUAL_MS + 2 * HOUR_MS);
    assert!(matches!(sign_in(&gate, &secret), Err(SignInError::Expired { .. })));
    // Writes something, as the server does once a minute anyway, so that the store records this time.
    personal(&gate, Some(7200));
    let gate = gate.again(|| USUAL_MS);
    assert!(matches!(sign_in(&gate, &secret), Err(SignInError::Expired { .. })));
}

#[test]
fn a_clock_that_is_set_back_makes_no_expired_registry_token_valid_again_and_new_ones_work() {
    let gate = Gate::new();
    add_hanna(&gate);
    let registry_token = |gate: &Gate| {
        let applicant = Applicant::Password("hanna".to_owned(), "a long password".to_owned());
        gate.wait(gate.auth.issue(applicant, None, &[], false)).unwrap().token
    };
    let old = registry_token(&gate);
    sign_in(&gate, &old).unwrap();
    let gate = gate.again(|| AHEAD_MS);
    assert!(matches!(sign_in(&gate, &old), Err(SignInError::Stale)));
    let ahead = registry_token(&gate);
    // Writes something, as the server does once a minute anyway, so that the store records this time.
    personal(&gate, None);
    let gate = gate.again(|| USUAL_MS);
    assert!(matches!(sign_in(&gate, &old), Err(SignInError::Stale)), "it has expired once");
    sign_in(&gate, &ahead).unwrap();
    sign_in(&gate, &registry_token(&gate)).unwrap();
}

#[test]
fn a_clock_that_was_ahead_once_leaves_nothing_that_never_ends() {
    let gate = Gate::new();
    add_hanna(&gate);
    let gate = gate.again(|| AHEAD_MS);
    let (short, long) = (personal(&gate, Some(3600)), personal(&gate, None));
    sign_in(&gate, &short).unwrap();
    sign_in(&gate, &long).unwrap();
    let refresh = gate.refresh_token("hanna", "a long password");
    let gate = gate.again(|| USUAL_MS);
    // The store's latest time did not go back with the clock, and advances from there.
    let row = gate.people.meta.get(|tx| tx.get(&schema::REFRESH, &hash_secret(&refresh))).unwrap().unwrap();
    let now = gate.people.meta.latest_ms();
    assert!(now >= AHEAD_MS && row.used_ms <= now, "{now} {}", row.used_ms);
    sign_in(&gate, &short).unwrap();
    // A new token has its full lifetime.
    sign_in(&gate, &personal(&gate, Some(60))).unwrap();
    // The last use is recorded by the clock, although it is earlier than the use before.
    sign_in(&gate, &long).unwrap();
    let views = gate.wait(gate.people.tokens(&gate.manager(), None, None, 10)).unwrap();
    let long = views.iter().find(|view| view.expires_ms.is_none()).unwrap();
    assert_eq!(long.last_used_ms, Some(USUAL_MS));
    let short = views.iter().find(|view| view.name == "for Some(3600)").unwrap();
    assert!(short.expires_ms.unwrap() - now <= HOUR_MS, "it ends within an hour of running time");
}

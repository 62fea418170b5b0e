//! The gate on a store of its own.

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::access::{
    AccessEntry, Action, Caller, Catalog, Claims, Credential, Delete, Grant, Manage, Policy, Principal, Pull,
    Push, Scopes,
};
use crate::model::names::{RepoId, RepoName};
use crate::store::meta;
use crate::store::meta::{Options, StoreError, Tx as _, schema};
use crate::telemetry::Secret;

/// Refresh tokens that a user may have.
const REFRESH_TOKENS: usize = 4;

fn password(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

struct Gate {
    access: Arc<Access>,
    auth: Arc<Auth>,
    runtime: Runtime,
    directory: TempDir,
}

/// What the clock of a gate shows: each test has a thread of its own, and the writer of its store another one.
const USUAL_MS: u64 = 4_000_000_000_000;

impl Gate {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), || USUAL_MS)
    }

    /// Another server on the same store.
    fn again(self, wall: fn() -> u64) -> Self {
        let Self { access, auth, runtime, directory } = self;
        auth.meta.close();
        drop((access, auth, runtime));
        Self::open(directory, wall)
    }

    fn open(dir: TempDir, wall: fn() -> u64) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options {
            data_dir: dir.path().to_owned(),
            cache_bytes: 1 << 20,
            wall,
            sync_shard: Arc::new(|_| Ok(())),
            runtime: runtime.handle().clone(),
            on_repair: meta::log_repair,
            faults: None,
        };
        let settings = Settings { token_ttl_s: 300, upload_idle_s: 3600, refresh_tokens: REFRESH_TOKENS };
        let meta = Arc::new(Meta::open(options).unwrap());
        let policy = Policy::SignIn { anonymous_pull: false };
        let access = Arc::new(Access::new(Arc::clone(&meta), policy).unwrap());
        let (admin, runner) = ("admin".to_owned(), runtime.handle().clone());
        let auth = Auth::new(meta, Arc::clone(&access), dir.path(), admin, settings, runner).unwrap();
        Self { access, auth: Arc::new(auth), runtime, directory: dir }
    }

    fn manager(&self) -> Grant<Manage> {
        let principal = Principal::Local { name: "root".into() };
        self.access.site(&Caller { principal, address: None }).unwrap()
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
        gate.wait(gate.auth.add_user(&manager, name, password("a long password"), false)).unwrap();
    }
    gate.refresh_token("hanna", "a long password");
    gate.refresh_token("omar", "a long password");
    let kept = gate.refresh_token("dev", "a long password");
    assert_eq!(gate.expire(), 0);
    let change = UserChange::Password(password("another password"));
    gate.wait(gate.auth.change_user(&manager, "hanna", None, change)).unwrap();
    gate.wait(gate.auth.delete_user(&manager, "omar", None)).unwrap();
    assert_eq!(gate.expire(), 2);
    assert_eq!(gate.expire(), 0);
    assert!(gate.wait(gate.auth.issue(Applicant::Refresh(kept), None, &[], false)).is_ok());
}

#[test]
fn a_user_keeps_as_many_refresh_tokens_as_are_permitted_and_loses_the_one_unused_for_longest() {
    let gate = Gate::new();
    let manager = gate.manager();
    for name in ["hanna", "omar"] {
        gate.wait(gate.auth.add_user(&manager, name, password("a long password"), false)).unwrap();
    }
    let other = gate.refresh_token("omar", "a long password");
    let tokens: Vec<String> =
        (0..REFRESH_TOKENS + 2).map(|_| gate.refresh_token("hanna", "a long password")).collect();
    for (number, token) in tokens.iter().enumerate() {
        let redeemed = gate.wait(gate.auth.redeem(token)).is_ok();
        assert_eq!(redeemed, number >= 2, "token {number}");
    }
    assert!(gate.wait(gate.auth.redeem(&other)).is_ok(), "another user's stay");
    let rows = gate.auth.meta.read_blocking(|tx| {
        Ok::<_, StoreError>((tx.count(&schema::REFRESH)?, tx.count(&schema::REFRESH_BY_USER)?))
    });
    let expected = REFRESH_TOKENS as u64 + 1;
    assert_eq!(rows.unwrap(), (expected, expected));
}

/// Signs in with these passwords at the same time, as many as wait at most; how many were right, and how many wrong.
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
    add_hanna(&gate);
    let all = password::AT_ONCE + password::WAITING;
    assert_eq!(sign_in_together(&gate, "hanna", |_| "a long password".to_owned()), (all, 0));
    let started = std::time::Instant::now();
    let (_, heard) = sign_in_together(&gate, "omar", |number| format!("guess number {number}"));
    let promised = buckets::NAME.burst + buckets::NAME.refill * started.elapsed().as_secs_f64();
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let most = promised + number(password::AT_ONCE - 1);
    assert!(number(heard) <= most, "{heard} were heard, {promised} were promised");
    assert!(number(heard) >= buckets::NAME.burst, "{heard}");
}

#[test]
fn a_right_password_that_finds_the_queue_full_is_not_called_wrong() {
    let gate = Gate::new();
    add_hanna(&gate);
    let sign_in = || {
        let (name, password) = ("hanna".to_owned(), "a long password".to_owned());
        gate.wait(gate.auth.basic(Basic { name, password }, None))
    };
    let waiting: Vec<_> = std::iter::from_fn(|| gate.auth.passwords.place().ok()).collect();
    assert_eq!(waiting.len(), password::AT_ONCE + password::WAITING);
    let refused = sign_in().unwrap_err().to_string();
    assert_eq!(refused, "the server is busy verifying other passwords; try again in 5 seconds");
    drop(waiting);
    assert!(sign_in().is_ok());
}

/// A caller with the password of a user, or with a registry token that covers this.
fn caller(gate: &Gate, name: &str, entries: Option<Vec<AccessEntry>>) -> Caller {
    let id = gate.auth.meta.get(|tx| tx.get(&schema::USER_NAME, name)).unwrap().unwrap();
    let principal = Principal::User {
        id,
        name: name.into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: entries.map(|entries| Arc::new(Claims(entries))),
    };
    Caller { principal, address: None }
}

fn entry(kind: &str, name: &str, action: &str) -> AccessEntry {
    AccessEntry {
        kind: kind.to_owned(),
        name: name.to_owned(),
        actions: vec![action.to_owned()],
        ..AccessEntry::default()
    }
}

fn is_withdrawn<A: Action>(gate: &Gate, grant: &Grant<A>) -> bool {
    let grant = grant.carry();
    gate.wait(gate.auth.meta.write(move |tx| grant.recheck(tx))).unwrap().is_err()
}

fn rename_into(gate: &Gate, name: &'static str, id: RepoId) {
    gate.wait(gate.auth.meta.write(move |tx| tx.put(&schema::REPOSITORY_NAME, name, &id))).unwrap();
}

#[test]
fn what_a_caller_sees_goes_by_rights_and_not_by_what_the_registry_token_covers() {
    let gate = Gate::new();
    let manager = gate.manager();
    gate.wait(gate.auth.add_user(&manager, "hanna", password("a long password"), false)).unwrap();
    let listing = caller(&gate, "hanna", Some(vec![entry("registry", "catalog", "*")]));
    let grant = gate.access.site::<Catalog>(&listing).unwrap();
    let sees = || gate.auth.meta.get(|tx| Ok::<_, StoreError>(grant.sight(0, tx)?.sees("team/app"))).unwrap();
    assert!(sees(), "the bearer could ask for a token that covers it");
    gate.wait(gate.auth.change_user(&manager, "hanna", None, UserChange::Disable)).unwrap();
    assert!(!sees(), "no token would do any more");
}

#[test]
fn an_acknowledged_change_raises_the_epoch_even_if_nobody_waits_for_its_answer() {
    let gate = Gate::new();
    let manager = gate.manager();
    gate.wait(gate.auth.add_user(&manager, "hanna", password("a long password"), false)).unwrap();
    let stored = || gate.auth.meta.get(|tx| tx.get(&schema::AUTH_EPOCH, ())).unwrap().unwrap();
    let before = stored();
    assert_eq!(gate.auth.meta.auth_epoch(), before);
    gate.wait(async {
        let change = gate.auth.change_user(&manager, "hanna", None, UserChange::Disable);
        // The client goes away as soon as the change is on its way.
        assert!(tokio::time::timeout(std::time::Duration::ZERO, change).await.is_err() || stored() > before);
    });
    // A later commit follows all that was sent before.
    gate.wait(gate.auth.meta.write(|_| Ok::<_, StoreError>(()))).unwrap();
    assert_eq!((stored(), gate.auth.meta.auth_epoch()), (before + 1, before + 1));
}

#[test]
fn a_grant_is_checked_again_by_the_present_policy() {
    let gate = Gate::new();
    let set = |anonymous_pull| {
        let mut config = Config::default();
        config.auth.anonymous_pull = anonymous_pull;
        gate.access.reconfigure(&config);
    };
    set(true);
    let claims = Arc::new(Claims(vec![entry("repository", "team/app", "pull")]));
    let anonymous = Caller { principal: Principal::Anonymous { claims }, address: None };
    let grant: Grant<Pull> = gate.access.repository(&anonymous, &"team/app".parse().unwrap()).unwrap();
    assert!(!is_withdrawn(&gate, &grant));
    set(false);
    assert!(is_withdrawn(&gate, &grant));
}

#[test]
fn a_grant_is_for_the_repository_that_had_the_name_when_it_was_made() {
    let gate = Gate::new();
    let manager = gate.manager();
    gate.wait(gate.auth.add_user(&manager, "hanna", password("a long password"), true)).unwrap();
    let name: RepoName = "team/app".parse().unwrap();
    let by_password = caller(&gate, "hanna", None);
    let early: Grant<Push> = gate.access.repository(&by_password, &name).unwrap();
    rename_into(&gate, "team/app", RepoId(71));
    assert!(!is_withdrawn(&gate, &early), "it was made by another push of the same image meanwhile");
    let delete: Grant<Delete> = gate.access.repository(&by_password, &name).unwrap();
    let push: Grant<Push> = gate.access.repository(&by_password, &name).unwrap();
    let bound = AccessEntry { id: 71, ..entry("repository", "team/app", "push") };
    let by_token: Grant<Push> =
        gate.access.repository(&caller(&gate, "hanna", Some(vec![bound])), &name).unwrap();
    assert!(!is_withdrawn(&gate, &delete) && !is_withdrawn(&gate, &by_token));
    rename_into(&gate, "team/app", RepoId(72));
    assert!(is_withdrawn(&gate, &delete), "what was to be deleted is gone");
    assert!(is_withdrawn(&gate, &by_token), "the token is for another repository");
    assert!(!is_withdrawn(&gate, &push), "the user may push to this one as well");
}

#[test]
fn the_version_of_a_user_never_comes_back() {
    let gate = Gate::new();
    let manager = gate.manager();
    let made = gate.wait(gate.auth.add_user(&manager, "hanna", password("a long password"), false)).unwrap();
    for change in [UserChange::Disable, UserChange::Enable] {
        gate.wait(gate.auth.change_user(&manager, "hanna", None, change)).unwrap();
    }
    let deleted = gate.wait(gate.auth.delete_user(&manager, "hanna", Some(made.version)));
    assert!(matches!(deleted, Err(UserError::Changed(_))), "{deleted:?}");
    let now = gate.auth.user(&gate.access.site(&local()).unwrap(), "hanna").unwrap();
    gate.wait(gate.auth.delete_user(&manager, "hanna", Some(now.version))).unwrap();
}

fn local() -> Caller {
    Caller { principal: Principal::Local { name: "root".into() }, address: None }
}

#[test]
fn the_file_of_the_first_password_goes_when_its_admin_can_not_sign_in_with_it_any_more() {
    for end in ["password", "disable", "delete"] {
        let gate = Gate::new();
        let file = gate.directory.path().join("initial-admin-password");
        gate.wait(gate.auth.ensure_admin("admin", None, gate.directory.path())).unwrap();
        let manager = gate.manager();
        gate.wait(gate.auth.add_user(&manager, "omar", password("a long password"), true)).unwrap();
        gate.wait(gate.auth.change_user(&manager, "omar", None, UserChange::Disable)).unwrap();
        gate.wait(gate.auth.change_user(&manager, "omar", None, UserChange::Enable)).unwrap();
        assert!(file.exists(), "another admin's changes leave it");
        match end {
            "password" => {
                let change = UserChange::Password(password("another password"));
                gate.wait(gate.auth.change_user(&manager, "Admin", None, change)).map(drop)
            }
            "disable" => {
                gate.wait(gate.auth.change_user(&manager, "admin", None, UserChange::Disable)).map(drop)
            }
            _ => gate.wait(gate.auth.delete_user(&manager, "admin", None)),
        }
        .unwrap();
        assert!(!file.exists(), "{end}");
    }
}

const HOUR_MS: u64 = 3_600_000;
/// The end of the century after next, which a clock without a battery may show once.
const AHEAD_MS: u64 = USUAL_MS * 2;

fn personal(gate: &Gate, lifetime_s: Option<u64>) -> String {
    let new = NewToken {
        user: "hanna".to_owned(),
        name: format!("for {lifetime_s:?}"),
        scopes: Scopes::READ_REGISTRY,
        lifetime_s,
    };
    gate.wait(gate.auth.create_token(&gate.manager(), new)).map(|made| made.secret.into_inner()).unwrap()
}

fn sign_in(gate: &Gate, secret: &str) -> Result<Principal, SignInError> {
    gate.wait(gate.auth.authenticate(Some(&format!("Bearer {secret}")), None, Door::Registry))
}

fn add_hanna(gate: &Gate) {
    gate.wait(gate.auth.add_user(&gate.manager(), "hanna", password("a long password"), false)).unwrap();
}

#[test]
fn a_clock_that_is_set_back_makes_no_expired_token_valid_again() {
    let gate = Gate::new();
    add_hanna(&gate);
    let secret = personal(&gate, Some(3600));
    sign_in(&gate, &secret).unwrap();
    let gate = gate.again(|| USUAL_MS + 2 * HOUR_MS);
    assert!(matches!(sign_in(&gate, &secret), Err(SignInError::Expired { .. })));
    // Something is written, as it is once a minute anyway: then the store has seen this time.
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
    // Something is written, as it is once a minute anyway: then the store has seen this time.
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
    // The time that the store goes by did not go back with the clock, and goes on from there.
    let row = gate.auth.meta.get(|tx| tx.get(&schema::REFRESH, &secret::hash(&refresh))).unwrap().unwrap();
    let now = gate.auth.meta.latest_ms();
    assert!(now >= AHEAD_MS && row.used_ms <= now, "{now} {}", row.used_ms);
    sign_in(&gate, &short).unwrap();
    // A token that is made now lives as long as it should.
    sign_in(&gate, &personal(&gate, Some(60))).unwrap();
    // The last use is told by the clock, though it is earlier than the one before.
    sign_in(&gate, &long).unwrap();
    let views = gate.wait(gate.auth.tokens(&gate.access.site(&local()).unwrap(), None, None, 10)).unwrap();
    let long = views.iter().find(|view| view.expires_ms.is_none()).unwrap();
    assert_eq!(long.last_used_ms, Some(USUAL_MS));
    let short = views.iter().find(|view| view.name == "for Some(3600)").unwrap();
    assert!(short.expires_ms.unwrap() - now <= HOUR_MS, "it ends within an hour of running time");
}

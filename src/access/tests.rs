//! Tests of the policy and of grants, each on a store of its own.

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::model::names::{RepoId, UserId};
use crate::store::meta::schema::User;
use crate::store::meta::{self, Options, WallClock};

/// A store in a directory, whose clock shows the time `wall`.
pub(crate) fn open_store(directory: &TempDir, wall: WallClock) -> (Arc<Meta>, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = Options {
        data_dir: directory.path().to_owned(),
        cache_bytes: 1 << 20,
        wall,
        sync_barrier: Arc::new(|_| Ok(())),
        runtime: runtime.handle().clone(),
        on_repair: meta::log_repair,
        faults: None,
    };
    (Arc::new(Meta::open(options).unwrap()), runtime)
}

/// A caller at the admin socket.
pub(crate) fn local() -> Caller {
    Caller { principal: Principal::Local { name: "root".into() }, address: None }
}

struct Gate {
    access: Access,
    runtime: Runtime,
    _directory: TempDir,
}

impl Gate {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (meta, runtime) = open_store(&directory, || 4_000_000_000_000);
        let access = Access::new(meta, Policy::SignIn { anonymous_pull: false }).unwrap();
        Self { access, runtime, _directory: directory }
    }

    fn change(&self, change: impl Fn(&meta::WriteTx<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.runtime.block_on(self.access.meta.write(change)).unwrap();
    }

    /// Makes or changes the user hanna.
    fn set_hanna(&self, user: User) {
        self.change(move |tx| {
            tx.put(&schema::USER, HANNA, &user)?;
            tx.raise_epoch()
        });
    }

    fn name(&self, name: &'static str, id: RepoId) {
        self.change(move |tx| tx.put(&schema::REPOSITORY_NAME, name, &id));
    }

    fn is_withdrawn<A: Action>(&self, grant: &Grant<A>) -> bool {
        let grant = grant.carry();
        self.runtime.block_on(self.access.meta.write(move |tx| grant.recheck(tx))).unwrap().is_err()
    }
}

const HANNA: UserId = UserId(7);

/// Hanna, with her password or with a registry token that has these entries.
fn hanna(entries: Option<Vec<AccessEntry>>) -> Caller {
    let principal = Principal::User {
        id: HANNA,
        name: "hanna".into(),
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

#[test]
fn what_a_caller_sees_goes_by_rights_and_not_by_what_the_registry_token_covers() {
    let gate = Gate::new();
    gate.set_hanna(User::sample("hanna"));
    let listing = hanna(Some(vec![entry("registry", "catalog", "*")]));
    let grant = gate.access.site::<Catalog>(&listing).unwrap();
    let sees =
        || gate.access.meta.get(|tx| Ok::<_, StoreError>(grant.rights(0, tx)?.sees("team/app"))).unwrap();
    assert!(sees(), "the bearer could ask for a token that covers it");
    gate.set_hanna(User { disabled: true, ..User::sample("hanna") });
    assert!(!sees(), "no token would do any more");
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
    assert!(!gate.is_withdrawn(&grant));
    set(false);
    assert!(gate.is_withdrawn(&grant));
}

#[test]
fn a_grant_is_for_the_repository_that_had_the_name_when_it_was_made() {
    let gate = Gate::new();
    gate.set_hanna(User { admin: true, ..User::sample("hanna") });
    let name: RepoName = "team/app".parse().unwrap();
    let by_password = hanna(None);
    let early: Grant<Push> = gate.access.repository(&by_password, &name).unwrap();
    gate.name("team/app", RepoId(71));
    assert!(!gate.is_withdrawn(&early), "it was made by another push of the same image meanwhile");
    let delete: Grant<Delete> = gate.access.repository(&by_password, &name).unwrap();
    let push: Grant<Push> = gate.access.repository(&by_password, &name).unwrap();
    let bound = AccessEntry { id: 71, ..entry("repository", "team/app", "push") };
    let by_token: Grant<Push> = gate.access.repository(&hanna(Some(vec![bound])), &name).unwrap();
    assert!(!gate.is_withdrawn(&delete) && !gate.is_withdrawn(&by_token));
    gate.name("team/app", RepoId(72));
    assert!(gate.is_withdrawn(&delete), "what was to be deleted is gone");
    assert!(gate.is_withdrawn(&by_token), "the token is for another repository");
    assert!(!gate.is_withdrawn(&push), "the user may push to this one as well");
}

const KINDS: [Kind; 12] = [
    Kind::Pull,
    Kind::Push,
    Kind::Delete,
    Kind::Catalog,
    Kind::ReadUsers,
    Kind::ManageUsers,
    Kind::ReadTokens,
    Kind::ManageTokens,
    Kind::ReadServer,
    Kind::RunJobs,
    Kind::ManageTrash,
    Kind::System,
];

/// The actions that `principal` may perform: a letter for each of [`KINDS`] that the policy permits.
fn permitted(gate: &Gate, principal: &Principal) -> String {
    let letters = "lsdcuUtTrjbS".chars();
    let may = |kind| {
        let resource = match kind {
            Kind::Pull | Kind::Push | Kind::Delete => Resource::Repository { name: "team/app", id: None },
            _ => Resource::Site,
        };
        gate.access.allows(principal, kind, resource).unwrap()
    };
    KINDS.into_iter().zip(letters).filter(|(kind, _)| may(*kind)).map(|(_, letter)| letter).collect()
}

#[test]
fn each_caller_may_what_the_table_says_and_nothing_else() {
    let gate = Gate::new();
    let anonymous = Principal::Anonymous { claims: Arc::default() };
    let user = |scopes| {
        let Caller { principal: Principal::User { id, name, credential, claims, .. }, .. } = hanna(None)
        else {
            panic!("a user")
        };
        Principal::User { id, name, credential, scopes, claims }
    };
    let scoped = |names: &str| user(Scopes::named(names.split(',')).unwrap());
    assert_eq!(permitted(&gate, &user(Scopes::ALL)), "", "no user has this number");
    gate.set_hanna(User::sample("hanna"));
    for (principal, expected) in [
        (Principal::Anybody, ""),
        (anonymous.clone(), ""),
        (local().principal, "lsdcuUtTrjb"),
        (user(Scopes::ALL), "lsc"),
        (scoped("read_registry"), "lc"),
        (scoped("write_registry"), "ls"),
        (scoped("delete_registry,read_api,api"), ""),
    ] {
        assert_eq!(permitted(&gate, &principal), expected, "{principal:?}");
    }
    gate.set_hanna(User { admin: true, ..User::sample("hanna") });
    for (scopes, expected) in [
        ("read_registry", "lc"),
        ("write_registry", "ls"),
        ("delete_registry", "d"),
        ("read_api", "utr"),
        ("api", "uUtTrjb"),
        ("read_registry,write_registry,delete_registry,read_api,api", "lsdcuUtTrjb"),
    ] {
        assert_eq!(permitted(&gate, &scoped(scopes)), expected, "{scopes}");
    }
    gate.set_hanna(User { admin: true, disabled: true, ..User::sample("hanna") });
    assert_eq!(permitted(&gate, &user(Scopes::ALL)), "");
    gate.access.policy.store(Arc::new(Policy::SignIn { anonymous_pull: true }));
    assert_eq!(permitted(&gate, &anonymous), "l");
    gate.access.policy.store(Arc::new(Policy::Open));
    assert_eq!(permitted(&gate, &Principal::Anybody), "lsdc");
    assert_eq!(permitted(&gate, &local().principal), "lsdcuUtTrjb");
}

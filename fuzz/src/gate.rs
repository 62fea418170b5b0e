//! An `Auth` with one user, one personal token, one refresh token and one registry token, on a store in
//! memory whose clock stands still.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use stowage::access::{Access, Caller, Policy, Principal, Scopes};
use stowage::auth::{Applicant, Auth, Door, ScopeRequest, Settings};
use stowage::people::{NewToken, People};
use stowage::store::meta::{self, Meta};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The time that the clock shows, in seconds.
pub const NOW_S: u64 = 1_800_000_000;

/// An `Auth`, and valid credentials for it.
pub struct Gate {
    /// The authentication under test.
    pub auth: Arc<Auth>,
    /// The runtime of its work.
    pub runtime: Runtime,
    /// Its signing key.
    pub key: EcdsaKeyPair,
    /// The number of the user.
    pub user: u64,
    /// The registry token, for `repository:team/app:pull,push`.
    pub token: String,
    /// The personal token.
    pub personal: String,
    /// The refresh token.
    pub refresh: String,
}

/// The gate of this process, created once.
pub static GATE: LazyLock<Gate> = LazyLock::new(Gate::new);

/// A directory in memory, where syncs cost nothing.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a temporary directory")
}

impl Gate {
    /// Its files are unlinked once they are open, because the process may end at any time.
    fn new() -> Self {
        let directory = scratch();
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let options = meta::Options {
            data_dir: directory.path().to_owned(),
            cache_bytes: 4 << 20,
            wall: || NOW_S * 1000,
            sync_barrier: Arc::new(|_| Ok(())),
            runtime: runtime.handle().clone(),
            faults: None,
            on_repair: meta::log_repair,
        };
        let settings = Settings { token_ttl_s: 300, upload_idle_s: 3600, refresh_tokens: 256 };
        let policy = Policy::SignIn { anonymous_pull: true };
        let meta = Arc::new(Meta::open(options).expect("a store"));
        let access = Arc::new(Access::new(Arc::clone(&meta), policy).expect("a store"));
        let (store, handle) = (Arc::clone(&meta), runtime.handle().clone());
        let auth = Auth::new(store, Arc::clone(&access), directory.path(), settings, handle);
        let auth = Arc::new(auth.expect("a gate"));
        let people = People::new(meta, Arc::clone(&auth), directory.path(), "admin");
        let pkcs8 = fs::read(directory.path().join("keys/registry-token.p8")).expect("the key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new());
        let [token, personal, refresh] = runtime.block_on(credentials(&access, &auth, &people));
        let bearer = format!("Bearer {personal}");
        let owner = runtime.block_on(auth.authenticate(Some(&bearer), None, Door::Registry));
        let Ok(Principal::User { id, .. }) = owner else { panic!("{owner:?}") };
        Self { auth, runtime, key: key.expect("a key of this kind"), user: id.0, token, personal, refresh }
    }
}

async fn credentials(access: &Access, auth: &Arc<Auth>, people: &People) -> [String; 3] {
    let admin = people.ensure_admin(None).await.expect("a user").expect("the first");
    let local = Caller { principal: Principal::Local { name: "root".into() }, address: None };
    let grant = access.site(&local).expect("the admin socket may do everything");
    let new = NewToken {
        user: "admin".to_owned(),
        name: "of the gate".to_owned(),
        scopes: Scopes::READ_REGISTRY,
        lifetime_s: None,
    };
    let personal = people.create_token(&grant, new).await.expect("a token").secret;
    let applicant = Applicant::Password(admin.name, admin.password.expose().clone());
    let scope: ScopeRequest = "repository:team/app:pull,push".parse().expect("a scope");
    let issued = auth.issue(applicant, None, &[scope], true).await.expect("a registry token");
    [issued.token, personal.expose().clone(), issued.refresh.expect("a refresh token")]
}

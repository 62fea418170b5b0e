//! The gate on a store of its own.

use std::sync::atomic::AtomicU64;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::store::meta::{Options, log_repair};
use crate::telemetry::Secret;

fn password(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

struct Gate {
    auth: Auth,
    runtime: Runtime,
    _dir: TempDir,
}

impl Gate {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options {
            data_dir: dir.path().to_owned(),
            cache_bytes: 1 << 20,
            wall: || 4_000_000_000_000,
            sync_shard: Arc::new(|_| Ok(())),
            runtime: runtime.handle().clone(),
            faults: None,
            on_repair: log_repair,
        };
        let settings = Settings {
            data_dir: dir.path().to_owned(),
            initial_admin: "admin".to_owned(),
            token_ttl_s: AtomicU64::new(300),
            upload_idle_s: 3600,
        };
        let meta = Arc::new(Meta::open(options).unwrap());
        let policy = Policy::SignIn { anonymous_pull: false };
        let auth = Auth::new(meta, policy, settings, runtime.handle().clone()).unwrap();
        Self { auth, runtime, _dir: dir }
    }

    fn manager(&self) -> Grant<Manage> {
        let principal = Principal::Local { name: "root".into() };
        self.auth.manage(&Caller { principal, address: None }).unwrap()
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn refresh_token(&self, name: &str, password: &str) -> String {
        let applicant = Applicant::Password(name.to_owned(), password.to_owned());
        self.wait(self.auth.issue(applicant, None, &[], true)).unwrap().refresh.unwrap()
    }

    fn expire(&self) -> usize {
        self.wait(self.auth.expire_refresh_tokens(&self.auth.system("test"))).unwrap()
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
    gate.wait(gate.auth.change_user(&manager, "hanna", change)).unwrap();
    gate.wait(gate.auth.delete_user(&manager, "omar")).unwrap();
    assert_eq!(gate.expire(), 2);
    assert_eq!(gate.expire(), 0);
    assert!(gate.wait(gate.auth.issue(Applicant::Refresh(kept), None, &[], false)).is_ok());
}

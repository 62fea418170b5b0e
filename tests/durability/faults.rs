//! A push and a pull in which the n-th call to the disk fails, for every n: what was acknowledged is there,
//! the rest can be repeated, and the server needs no restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};

use stowage::app::{App, FirstAdmin, Hooks, Older, Start};
use stowage::model::media_type::OCI_MANIFEST;
use stowage::store::faulty::{Fault, Faults, Plan};

use crate::exchange::exchange;
use crate::process::{assert_whole, directory_in_memory, note};
use crate::support::content::{bytes, image, sha256};
use crate::support::{Client, Response, Setup, TestStowage};

const EIO: i32 = libc::EIO;
const ENOSPC: i32 = libc::ENOSPC;
/// More calls than any script makes.
const ENDLESS: u64 = 5_000;

/// A server whose disk fails on demand.
struct Rig {
    server: TestStowage,
    blobs: Arc<Faults>,
    meta: Arc<Faults>,
    books: BTreeMap<String, Vec<u8>>,
}

impl Rig {
    fn in_directory(dir: &Path) -> Self {
        let (meta, blobs) = (Arc::new(Faults::default()), Arc::new(Faults::default()));
        let hooks = Hooks { meta_faults: Some(Arc::clone(&meta)), blob_faults: Some(Arc::clone(&blobs)) };
        let setup = Setup { hooks, directory: Some(dir.to_owned()), ..Setup::default() };
        let server = TestStowage::with(setup);
        Self { server, blobs, meta, books: BTreeMap::new() }
    }

    /// Pushes an image as docker does, up to the first response that is not a success, and records what was
    /// acknowledged.
    fn push(&mut self, name: &str, seed: u64) -> Result<(), Response> {
        let client = self.server.client();
        let layer = bytes(seed, 40_000);
        let base = format!("/v2/{name}/blobs");
        let digest = sha256(&layer);
        let upload = good(client.post(&format!("{base}/uploads/"), b""))?.location();
        good(client.patch(&upload, &layer[..30_000]))?;
        good(client.put(&format!("{upload}?digest={digest}"), &layer[30_000..]))?;
        self.book(format!("{base}/{digest}"), &layer);
        let config = sha256(b"{}");
        good(client.post(&format!("{base}/uploads/?digest={config}"), b"{}"))?;
        self.book(format!("{base}/{config}"), b"{}");
        let manifest = image(&[&layer]);
        let path = format!("/v2/{name}/manifests/latest");
        good(client.send("PUT", &path, &[("Content-Type", OCI_MANIFEST)], &manifest))?;
        self.book(format!("/v2/{name}/manifests/{}", sha256(&manifest)), &manifest);
        self.book(path, &manifest);
        Ok(())
    }

    fn book(&mut self, path: String, content: &[u8]) {
        self.books.insert(path, content.to_vec());
    }

    /// Asserts that everything acknowledged in a repository is there, and that the interrupted push can be
    /// repeated.
    fn recovers(&mut self, name: &str, seed: u64, case: &str) {
        check(&self.server.client(), self.books.iter().filter(|(path, _)| path.contains(name)), case);
        if let Err(answer) = self.push(name, seed) {
            panic!("{case}: the repeated push: {answer:?}");
        }
        check(&self.server.client(), self.books.iter().filter(|(path, _)| path.contains(name)), case);
    }

    /// Asserts that everything is there after a restart.
    fn ends(self, dir: &Path) {
        let Self { server, books, .. } = self;
        server.stop();
        let server = TestStowage::in_directory(dir);
        check(&server.client(), books.iter(), "after a restart");
        server.stop();
        assert_whole(dir);
        let panics = panics().lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(panics.is_empty(), "{panics:#?}");
    }
}

fn check<'a>(client: &Client, books: impl Iterator<Item = (&'a String, &'a Vec<u8>)>, case: &str) {
    for (path, content) in books {
        let answer = client.get(path);
        assert!(answer.status == 200 && answer.body == *content, "{case}: {path}: {}", answer.status);
    }
}

fn good(answer: Response) -> Result<Response, Response> {
    if answer.status < 300 { Ok(answer) } else { Err(answer) }
}

/// Asserts that a response of a server with a failing disk is one of the permitted ones.
fn assert_honest(refused: &Response, case: &str) {
    assert!(matches!(refused.status, 500 | 503 | 507), "{case}: {refused:?}");
    assert!(!refused.message().is_empty(), "{case}: {refused:?}");
}

/// Panics of the server's threads since the first call of this.
fn panics() -> &'static Mutex<Vec<String>> {
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            if thread.name().is_none_or(|name| name.starts_with("stowage-") || name.starts_with("actix")) {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
            }
            before(panic);
        }));
    });
    &PANICS
}

#[test]
fn a_push_survives_an_error_of_any_call_of_the_blob_store() {
    panics();
    let dir = directory_in_memory();
    let mut rig = Rig::in_directory(dir.path());
    for (kind, fault) in [Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::ShortWrite].into_iter().enumerate()
    {
        let mut clean = false;
        for n in 1..ENDLESS {
            let (name, seed) = (format!("blobs/{kind}/n{n}"), (kind as u64) << 32 | n);
            rig.blobs.set_plan(Some(Plan { fail_at: n, kind: fault }));
            let result = rig.push(&name, seed);
            let fired = rig.blobs.fired();
            rig.blobs.set_plan(None);
            let case = format!("{fault:?} at call {n}");
            match &result {
                Err(refused) if fired => assert_honest(refused, &case),
                Err(refused) => panic!("{case}: no error, but {refused:?}"),
                Ok(()) => {}
            }
            rig.recovers(&name, seed, &case);
            if !fired {
                note(&format!("{case}: the first that never came"));
                clean = true;
                break;
            }
        }
        assert!(clean, "the push never ended");
    }
    rig.ends(dir.path());
}

#[test]
fn a_push_survives_an_io_error_of_any_call_of_the_database_file() {
    push_with_faults_of_the_database("EIO", |faults, n| faults.fail_after(n, EIO));
}

#[test]
fn a_push_survives_a_full_disk_at_any_call_of_the_database_file() {
    push_with_faults_of_the_database("ENOSPC", |faults, n| faults.fail_after(n, ENOSPC));
}

#[test]
fn a_push_survives_a_short_write_at_any_call_of_the_database_file() {
    push_with_faults_of_the_database("a short write", Faults::tear_after);
}

fn push_with_faults_of_the_database(kind: &str, plan: impl Fn(&Faults, u64)) {
    panics();
    let dir = directory_in_memory();
    let mut rig = Rig::in_directory(dir.path());
    let mut clean = false;
    for n in 1..ENDLESS {
        let name = format!("meta/n{n}");
        let last = rig.meta.calls() + n;
        plan(&rig.meta, n);
        let result = rig.push(&name, n);
        let fired = rig.meta.calls() >= last;
        let case = format!("{kind} at call {n}");
        match &result {
            Err(refused) if fired => assert_honest(refused, &case),
            Err(refused) => panic!("{case}: no error, but {refused:?}"),
            Ok(()) => {}
        }
        if !fired {
            // The plan stays set for the next push, in which no fault is expected.
            note(&format!("{case}: the first that never came"));
            clean = true;
            break;
        }
        rig.recovers(&name, n, &case);
    }
    assert!(clean, "the push never ended");
    rig.ends(dir.path());
}

#[test]
fn a_pull_survives_an_error_of_any_call_of_the_blob_store() {
    panics();
    let dir = directory_in_memory();
    let mut rig = Rig::in_directory(dir.path());
    rig.push("pulls", 1).unwrap();
    for fault in [Fault::Errno(EIO), Fault::ShortWrite] {
        let mut clean = false;
        for n in 1..ENDLESS {
            let case = format!("{fault:?} at call {n}");
            rig.blobs.set_plan(Some(Plan { fail_at: n, kind: fault }));
            for (path, content) in &rig.books {
                let pulled = exchange(rig.server.address, "GET", path, &[], b"");
                match pulled {
                    Ok(answer) if answer.status == 200 => assert!(answer.body == *content, "{case}: {path}"),
                    Ok(answer) => assert!(matches!(answer.status, 500 | 503), "{case}: {path}: {answer:?}"),
                    // Cut off before its end, so the client knows that it is incomplete.
                    Err(_) => {}
                }
            }
            let fired = rig.blobs.fired();
            rig.blobs.set_plan(None);
            // A temporary error says nothing about the bytes.
            check(&rig.server.client(), rig.books.iter(), &case);
            if !fired {
                note(&format!("{case}: the first that never came"));
                clean = true;
                break;
            }
        }
        assert!(clean, "the pull never ended");
    }
    rig.ends(dir.path());
}

#[test]
fn a_start_whose_disk_fails_is_refused_and_loses_nothing() {
    panics();
    let dir = directory_in_memory();
    let start = |faults: &Arc<Faults>| {
        App::open(Start {
            config: Setup::default().config,
            data_dir: dir.path().to_owned(),
            open_registry: true,
            first_admin: FirstAdmin::No,
            older: Older::CopyAndMigrate,
            hooks: Hooks { meta_faults: Some(Arc::clone(faults)), ..Hooks::default() },
        })
    };
    let mut refused = 0;
    for round in ["the first start", "a later start"] {
        for n in 1..ENDLESS {
            let faults = Arc::new(Faults::default());
            faults.fail_after(n, if n % 2 == 0 { EIO } else { ENOSPC });
            let opened = start(&faults);
            let fired = faults.calls() >= n;
            match opened {
                Ok(app) => {
                    app.close();
                    if round == "the first start" || !fired {
                        break;
                    }
                }
                Err(error) => {
                    assert!(fired, "{round}, call {n}: {error}");
                    refused += 1;
                }
            }
        }
        let mut rig = Rig::in_directory(dir.path());
        rig.push(&format!("after/{round}").replace(' ', "-"), 7).unwrap();
        rig.ends(dir.path());
    }
    assert!(refused > 0);
}

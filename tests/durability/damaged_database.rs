//! A damaged database is refused with a clear message and is not changed.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};
use stowage::store::meta::{Tx as _, schema};
use tempfile::TempDir;

use crate::behind::{change_rows, tree};
use crate::dice::{self, Dice};
use crate::exchange::exchange;
use crate::process::{Ended, Stowage, assert_whole, directory_in_memory, refused_start, run};
use crate::support::content::{bytes, push_image, sha256};

const MANIFEST: &str = "/v2/team/app/manifests/latest";

/// A store with an image, closed cleanly or by a crash.
struct Store {
    dir: TempDir,
    database: PathBuf,
    whole: Vec<u8>,
    manifest: Vec<u8>,
}

impl Store {
    fn new(crashed: bool) -> Self {
        let dir = directory_in_memory();
        let server = Stowage::start(dir.path());
        let manifest = push_image(&server.client(), "team/app", "latest", &bytes(1, 100_000));
        if crashed {
            server.kill();
        } else {
            server.stop();
        }
        let database = dir.path().join("stowage.redb");
        let whole = fs::read(&database).expect("the database is there");
        Self { dir, database, whole, manifest }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn replace(&self, content: &[u8]) {
        fs::write(&self.database, content).expect("the database is replaced");
    }

    /// Replaces the database by `content`. The start and the check must say what is wrong, and change
    /// nothing.
    #[track_caller]
    fn assert_refused(&self, content: &[u8], code: i32, case: &str) {
        self.replace(content);
        let blobs = tree(&self.path().join("blobs"));
        let assert = |ended: &Ended, text: &str| {
            assert_eq!(ended.code, Some(code), "{case}: {ended:?}");
            assert!(!text.is_empty() && !text.contains("panicked"), "{case}: {ended:?}");
            assert!(
                fs::read(&self.database).expect("it is there") == content,
                "{case}: the database was changed"
            );
            assert!(tree(&self.path().join("blobs")) == blobs, "{case}: blobs were changed");
            assert!(!self.path().join("stowage.redb.new").exists(), "{case}");
        };
        for _ in 0..2 {
            let start = refused_start(self.path());
            assert(&start, &start.stderr);
            let name = self.path().display().to_string();
            assert!(start.stderr.contains(&name) && start.stderr.contains("fix:"), "{case}: {start:?}");
        }
        let check = run("fsck", &["--json"], self.path());
        assert(&check, &check.stdout);
    }

    /// With the right bytes restored, everything is there again.
    fn assert_healed(&self) {
        self.replace(&self.whole);
        let server = Stowage::start(self.path());
        assert!(server.client().get(MANIFEST).expect(200).body == self.manifest);
        server.stop();
        assert_whole(self.path());
    }
}

fn flipped(whole: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let mut content = whole.to_vec();
    content[range].iter_mut().for_each(|byte| *byte ^= 0xff);
    content
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    for crashed in [false, true] {
        let store = Store::new(crashed);
        let whole = &store.whole;
        let cases = [
            ("empty", Vec::new()),
            ("one byte", vec![0]),
            ("cut off in its header", whole[..100].to_vec()),
            ("cut off behind its header", whole[..4096].to_vec()),
            ("garbage", bytes(7, whole.len())),
            ("zeros", vec![0; whole.len()]),
            ("text", b"this is not a database\n".repeat(1000)),
            ("another magic number", flipped(whole, 0..4)),
            ("another page size", flipped(whole, 12..16)),
            ("both commit slots flipped", flipped(whole, 64..320)),
        ];
        for (case, content) in cases {
            store.assert_refused(&content, 7, &format!("{case}, crashed: {crashed}"));
        }
        store.assert_healed();
    }
}

#[test]
fn damaged_pages_end_nobody_and_show_nobody_wrong_bytes() {
    const ROUNDS: u64 = 10;
    let store = Store::new(false);
    let lock = fs::read(store.path().join("LOCK")).unwrap();
    let blob = format!("/v2/team/app/blobs/{}", sha256(&bytes(1, 100_000)));
    let mut dice = Dice::new(dice::seed());
    for round in 0..ROUNDS {
        let mut content = store.whole.clone();
        if round % 2 == 0 {
            let page = 4096 * dice.size(content.len() as u64 / 4096 - 1);
            content[page..page + 4096].copy_from_slice(&bytes(dice.below(u64::MAX), 4096));
        } else {
            for _ in 0..100 {
                let position = 320 + dice.size(content.len() as u64 - 321);
                content[position] ^= 1 << dice.below(8);
            }
        }
        store.replace(&content);
        let checked = run("fsck", &["--json"], store.path());
        // 3: a damaged format row looks like an unknown format.
        assert!(matches!(checked.code, Some(0 | 3 | 7)), "{round}: {checked:?}");
        store.replace(&content);
        fs::write(store.path().join("LOCK"), &lock).unwrap();
        let mut server = match Stowage::try_start_on_damage(store.path()) {
            Ok(server) => server,
            Err(refused) => {
                // redb itself aborts a process when it panics twice, which cannot be prevented.
                let expected = if refused.code.is_none() { Some(7) } else { refused.code };
                assert!(expected == checked.code && expected != Some(0), "{round}: {refused:?} {checked:?}");
                continue;
            }
        };
        for (path, content) in [(MANIFEST, &store.manifest), (&blob, &bytes(1, 100_000))] {
            let Ok(answer) = exchange(server.address, "GET", path, &[], b"") else {
                assert_eq!(server.wait().signal(), Some(6), "{round}: {}", server.log());
                break;
            };
            assert!(answer.status != 200 || answer.body == *content, "{round}: {path}");
            assert!(
                answer.status == 200 || checked.code == Some(7),
                "{round}: {path}: {answer:?} {checked:?}"
            );
        }
        if server.ended().is_none() {
            server.stop();
        }
    }
    fs::write(store.path().join("LOCK"), &lock).unwrap();
    store.assert_healed();
}

#[test]
fn half_a_database_is_refused_and_left_as_it_is() {
    let store = Store::new(false);
    store.assert_refused(&store.whole[..store.whole.len() / 2], 7, "half");
    store.assert_healed();
}

#[test]
fn a_store_without_its_database_is_refused_and_gets_no_new_one() {
    for crashed in [false, true] {
        let store = Store::new(crashed);
        fs::remove_file(&store.database).unwrap();
        let files = tree(store.path());
        for _ in 0..2 {
            let refused = refused_start(store.path());
            assert_eq!(refused.code, Some(7), "{refused:?}");
            assert!(refused.stderr.contains("missing") && refused.stderr.contains("backup"), "{refused:?}");
        }
        let refused = run("fsck", &[], store.path());
        assert_eq!(refused.code, Some(7), "{refused:?}");
        assert_eq!(tree(store.path()), files);
        store.assert_healed();
    }
}

#[test]
fn a_format_of_the_future_is_refused_untouched() {
    for crashed in [false, true] {
        let store = Store::new(crashed);
        change_rows(store.path(), |tx| {
            let mut format = tx.get(&schema::FORMAT, ())?.expect("a format");
            (format.schema, format.min_reader, format.min_writer) = (99, 98, 98);
            format.written_by = "9.9.9".to_owned();
            tx.put(&schema::FORMAT, (), &format)
        });
        let future = fs::read(&store.database).unwrap();
        store.assert_refused(&future, 3, "a format of the future");
        let refused = refused_start(store.path());
        assert!(refused.stderr.contains("99") && refused.stderr.contains("9.9.9"), "{refused:?}");
        store.assert_healed();
    }
}

#[test]
fn damage_that_the_first_read_of_a_start_meets_is_refused_as_damage() {
    const AUTH_EPOCH: TableDefinition<'_, (), &[u8]> = TableDefinition::new("auth_epoch");
    let store = Store::new(false);
    let database = Database::open(&store.database).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(AUTH_EPOCH).unwrap().insert((), &[0xff; 32][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = refused_start(store.path());
    assert_eq!(refused.code, Some(7), "{refused:?}");
    let name = store.database.display().to_string();
    assert!(refused.stderr.contains(&name) && refused.stderr.contains("auth_epoch"), "{refused:?}");
}

#[test]
fn somebody_elses_database_is_refused_untouched() {
    const THEIRS: TableDefinition<'_, u64, &str> = TableDefinition::new("theirs");
    let store = Store::new(false);
    let other = TempDir::new().unwrap();
    let path = other.path().join("other.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(THEIRS).unwrap().insert(1, "something").unwrap();
    transaction.commit().unwrap();
    drop(database);
    store.assert_refused(&fs::read(&path).unwrap(), 3, "another program's");
    store.assert_healed();
}

#[test]
fn blobs_of_another_store_are_refused() {
    let (first, second) = (Store::new(false), Store::new(false));
    first.replace(&second.whole);
    let refused = refused_start(first.path());
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("another database"), "{refused:?}");
    first.assert_healed();
}

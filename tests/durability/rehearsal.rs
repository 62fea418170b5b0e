//! The worst case: the database is lost or damaged, and the store is rebuilt from its last dump and its
//! blobs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::behind::{Damage, blob_file, tree};
use crate::dice::{self, Dice};
use crate::process::{Ended, Stowage, assert_whole, directory_in_memory, run, run_with};
use crate::support::content::{bytes, open_upload, push_image, send_chunk, sha256, touch};
use crate::support::{Client, eventually};
use crate::volume::Volume;

const OFTEN: &[(&str, &str)] = &[("STOWAGE__STORAGE__DUMPS__EVERY", "1s")];
const NEVER: &[(&str, &str)] = &[("STOWAGE__STORAGE__DUMPS__EVERY", "0")];

/// Dumps, the newest last.
fn dumps(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data.join("dumps")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let dumps: BTreeSet<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "dump")).collect();
    dumps.into_iter().collect()
}

/// Waits until all that was acknowledged is in a dump: the second from now on began later. A dump follows a
/// change alone, so each gets one, in a repository that is there.
fn wait_for_dump(client: &Client, repository: &str, data: &Path) {
    for _ in 0..2 {
        let before = dumps(data).pop();
        touch(client, repository);
        eventually("another dump", || dumps(data).pop() > before);
    }
}

/// A store with images from before and after its last dump.
struct Store {
    parent: TempDir,
    data: PathBuf,
    images: Vec<(String, Vec<u8>, Vec<u8>)>,
    later: Vec<Vec<u8>>,
    dump: PathBuf,
}

impl Store {
    fn new(crashed: bool) -> Self {
        let parent = directory_in_memory();
        let data = parent.path().join("data");
        let server = Stowage::start_with(&data, OFTEN);
        let client = server.client();
        let mut images = Vec::new();
        for number in 0..5 {
            let (name, layer) = (format!("team/app{}", number % 2), bytes(number, 70_000));
            let manifest = push_image(&client, &name, &format!("v{number}"), &layer);
            images.push((format!("{name}/manifests/v{number}"), manifest, layer));
            if number == 2 {
                wait_for_dump(&client, "team/app0", &data);
            }
        }
        let upload = open_upload(&client, "team/app0");
        send_chunk(&client, &upload, 0, &bytes(50, 1000)).expect(202);
        wait_for_dump(&client, "team/app0", &data);
        server.stop();
        let server = Stowage::start_with(&data, NEVER);
        let later = vec![bytes(100, 50_000), bytes(101, 60_000)];
        for (number, layer) in later.iter().enumerate() {
            push_image(&server.client(), "team/later", &format!("v{number}"), layer);
        }
        if crashed {
            server.kill();
        } else {
            server.stop();
        }
        let dump = dumps(&data).pop().expect("a dump");
        Self { parent, data, images, later, dump }
    }

    fn database(&self) -> PathBuf {
        self.data.join("stowage.redb")
    }

    fn rebuild(&self, name: &str, more: &[&str]) -> (Ended, Value, PathBuf) {
        let into = self.parent.path().join(name);
        let path = into.display().to_string();
        let ended = run("rebuild", &[&["--json", "--into", &path], more].concat(), &self.data);
        let document = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        (ended, document, into)
    }

    /// Asserts that a server on the new store has everything from before the dump, and accepts later images
    /// again.
    fn assert_back(&self, into: &Path, document: &Value, case: &str) {
        let data = &document["data"];
        assert_eq!(data["dump"]["path"], self.dump.display().to_string(), "{case}");
        assert_eq!(data["missing"]["count"], 0, "{case}: {document}");
        let listed: BTreeSet<&str> = data["later"]["blobs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|blob| blob["digest"].as_str().expect("a digest"))
            .collect();
        for layer in &self.later {
            assert!(listed.contains(sha256(layer).as_str()), "{case}: {document}");
        }
        for (_, _, layer) in &self.images {
            assert!(!listed.contains(sha256(layer).as_str()), "{case}: {document}");
        }
        assert_whole(into);
        let server = Stowage::start(into);
        let client = server.client();
        for (path, manifest, layer) in &self.images {
            assert!(client.get(&format!("/v2/{path}")).expect(200).body == *manifest, "{case}: {path}");
            let name = path.split("/manifests/").next().unwrap_or_default();
            let blob = format!("/v2/{name}/blobs/{}", sha256(layer));
            assert!(client.get(&blob).expect(200).body == *layer, "{case}: {blob}");
        }
        client.get("/v2/team/later/manifests/v0").expect(404);
        push_image(&client, "team/later", "v0", &self.later[0]);
        client.get("/v2/team/later/manifests/v0").expect(200);
        server.stop();
        assert_whole(into);
    }
}

#[test]
fn a_database_that_is_deleted_cut_off_or_has_a_flipped_page_is_made_again() {
    let mut dice = Dice::new(dice::seed());
    for crashed in [false, true] {
        let store = Store::new(crashed);
        let whole = fs::read(store.database()).unwrap();
        let cut = dice.size(whole.len() as u64);
        let mut flipped = whole.clone();
        let page = 4096 * dice.size(whole.len() as u64 / 4096 - 1);
        flipped[page..page + 4096].iter_mut().for_each(|byte| *byte ^= 0xff);
        let cases = [
            ("deleted", None),
            ("empty", Some(Vec::new())),
            ("cut off", Some(whole[..cut].to_vec())),
            ("a flipped page", Some(flipped)),
        ];
        for (case, content) in cases {
            match content {
                None => fs::remove_file(store.database()).unwrap(),
                Some(content) => fs::write(store.database(), content).unwrap(),
            }
            let before = (tree(&store.data), fs::read(store.database()).ok());
            let (ended, document, into) = store.rebuild(&case.replace(' ', "-"), &[]);
            assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
            let after = (tree(&store.data), fs::read(store.database()).ok());
            assert!(before == after, "{case}: the old directory was changed");
            store.assert_back(
                &into,
                &document,
                &format!("{case}, crashed: {crashed}, cut {cut}, page {page}"),
            );
        }
    }
}

#[test]
fn a_damaged_dump_is_passed_over_for_the_one_before() {
    let mut store = Store::new(false);
    fs::remove_file(store.database()).unwrap();
    Damage::CutOff.apply(&store.dump);
    let all = dumps(&store.data);
    let (newest, before) = (&all[all.len() - 1], &all[all.len() - 2]);
    let (ended, document, into) = store.rebuild("new", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let refused = document["data"]["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["path"], newest.display().to_string());
    store.dump.clone_from(before);
    store.assert_back(&into, &document, "the dump before");
}

#[test]
fn without_a_good_dump_nothing_is_made_and_every_reason_is_told() {
    let store = Store::new(false);
    for path in dumps(&store.data) {
        Damage::LastByte.apply(&path);
    }
    let (ended, document, into) = store.rebuild("new", &[]);
    assert_eq!((ended.code, document["error"]["code"].as_str()), (Some(7), Some("NO_DUMP")), "{ended:?}");
    for path in dumps(&store.data) {
        assert!(ended.stdout.contains(&path.display().to_string()), "{ended:?}");
    }
    assert_eq!(tree(&into), []);
}

#[test]
fn a_blob_that_is_gone_is_listed_with_who_needs_it_and_comes_back_with_a_push() {
    let store = Store::new(false);
    fs::remove_file(store.database()).unwrap();
    let (path, _, layer) = &store.images[0];
    Damage::Removed.apply(&blob_file(&store.data, &sha256(layer)));
    let (ended, document, into) = store.rebuild("new", &[]);
    assert_eq!((ended.code, &document["ok"]), (Some(7), &Value::Bool(false)), "{ended:?}");
    let missing = &document["data"]["missing"];
    assert_eq!(missing["count"], 1, "{document}");
    assert_eq!(missing["blobs"][0]["digest"], sha256(layer));
    assert_eq!(missing["blobs"][0]["repositories"][0], "team/app0");
    let server = Stowage::start(&into);
    let blob = format!("/v2/team/app0/blobs/{}", sha256(layer));
    assert_eq!(server.client().head(&blob).status, 404, "so that clients push it again");
    push_image(&server.client(), "team/app0", "v0", layer);
    assert!(server.client().get(&blob).expect(200).body == *layer);
    server.client().get(&format!("/v2/{path}")).expect(200);
    server.stop();
    assert_whole(&into);
}

#[test]
fn nothing_is_made_where_something_is_or_while_a_server_runs() {
    let store = Store::new(false);
    let (ended, document, _) = store.rebuild("data", &[]);
    assert_eq!((ended.code, document["error"]["code"].as_str()), (Some(6), Some("NOT_EMPTY")), "{ended:?}");
    let server = Stowage::start_with(&store.data, NEVER);
    let (ended, document, into) = store.rebuild("new", &[]);
    assert_eq!(ended.code, Some(9), "{ended:?}");
    assert_eq!(document["error"]["code"], "STORE_IN_USE");
    assert_eq!(tree(&into), []);
    server.stop();
}

#[test]
fn a_store_whose_database_is_lost_is_never_told_as_one_to_remove() {
    let store = Store::new(false);
    fs::remove_file(store.database()).unwrap();
    for inside in ["data/rebuild.new", "data/rebuild.new/deeper"] {
        let before = tree(&store.data);
        let (ended, document, _) = store.rebuild(inside, &[]);
        let said = (ended.code, document["error"]["code"].as_str());
        assert_eq!(said, (Some(2), Some("INVALID_DIRECTORY")), "{ended:?}");
        assert_eq!(tree(&store.data), before);
    }
    fs::create_dir(store.data.join("rebuild.new")).unwrap();
    for command in ["serve", "fsck"] {
        let ended = run(command, &[], &store.data);
        assert_eq!(ended.code, Some(7), "{ended:?}");
        let said = [&*ended.stdout, &*ended.stderr].concat();
        assert!(said.contains("the file is missing") && !said.contains("rm -r"), "{ended:?}");
    }
}

#[test]
fn what_a_rebuild_is_at_work_on_is_in_use() {
    let store = Store::new(false);
    let into = store.parent.path().join("new");
    fs::create_dir_all(into.join("rebuild.new")).unwrap();
    let lock = fs::File::create(into.join("LOCK")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let (again, document, _) = store.rebuild("new", &[]);
    assert_eq!(document["error"]["code"], "STORE_IN_USE", "{again:?}");
    for ended in [again, run("serve", &[], &into), run("fsck", &[], &into)] {
        assert_eq!(ended.code, Some(9), "{ended:?}");
        let said = [&*ended.stdout, &*ended.stderr].concat();
        assert!(!said.contains("remove") && !said.contains("rm -r"), "{ended:?}");
    }
    drop(lock);
    let (again, ..) = store.rebuild("new", &[]);
    assert_eq!(again.code, Some(6), "{again:?}");
}

#[test]
fn a_command_that_removes_a_directory_is_quoted() {
    let store = Store::new(false);
    let into = store.parent.path().join("my new store");
    fs::create_dir_all(into.join("rebuild.new")).unwrap();
    let (ended, ..) = store.rebuild("my new store", &[]);
    assert!(ended.stdout.contains(&format!("rm -r '{}'", into.display())), "{ended:?}");
}

#[test]
fn dumps_are_for_their_owner_alone_and_hold_no_more_than_so_many() {
    let dir = directory_in_memory();
    let variables = [OFTEN, &[("STOWAGE__STORAGE__DUMPS__KEEP", "2")]].concat();
    let server = Stowage::start_with(dir.path(), &variables);
    push_image(&server.client(), "team/app", "latest", b"layer");
    for _ in 0..2 {
        wait_for_dump(&server.client(), "team/app", dir.path());
    }
    server.stop();
    assert!(dumps(dir.path()).len() <= 3, "{:?}", dumps(dir.path()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("dumps")), 0o700);
    for (path, _) in tree(&dir.path().join("dumps")) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_server_at_rest_makes_no_dump() {
    let dir = directory_in_memory();
    let server = Stowage::start_with(dir.path(), OFTEN);
    let client = server.client();
    push_image(&client, "team/app", "latest", b"layer");
    // One that follows the last change, and then none, however long it is waited for.
    eventually("the dumps end", || {
        let newest = dumps(dir.path()).pop();
        std::thread::sleep(Duration::from_secs(3));
        newest.is_some() && dumps(dir.path()).pop() == newest
    });
    let newest = dumps(dir.path()).pop();
    let jobs = || {
        let listed = run("jobs", &["list", "--kind", "dump", "--limit", "500", "--json"], dir.path());
        let document: Value = serde_json::from_str(&listed.stdout).expect("a document");
        document["data"]["jobs"].as_array().expect("a list").clone()
    };
    let before = jobs().len();
    assert!(jobs().iter().all(|job| job["by"] == "system" && job["state"] == "done"), "{:?}", jobs());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((dumps(dir.path()).pop(), jobs().len()), (newest.clone(), before));
    touch(&client, "team/app");
    eventually("another dump", || dumps(dir.path()).pop() > newest);
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn blobs_in_a_directory_of_their_own_stay_there() {
    let parent = directory_in_memory();
    let (data, blobs, into) =
        (parent.path().join("data"), parent.path().join("blobs"), parent.path().join("new"));
    let (blob_dir, new) = (blobs.display().to_string(), into.display().to_string());
    let elsewhere = ("STOWAGE__STORAGE__BLOB_DIR", blob_dir.as_str());
    let server = Stowage::start_with(&data, &[OFTEN, &[elsewhere]].concat());
    let manifest = push_image(&server.client(), "team/app", "latest", b"layer");
    wait_for_dump(&server.client(), "team/app", &data);
    server.kill();
    fs::remove_file(data.join("stowage.redb")).unwrap();
    let before = tree(&blobs);
    let ended = run_with("rebuild", &["--into", &new], &data, &[elsewhere]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in [&new, &blob_dir, "no problem found", "next: stowage serve"] {
        assert!(ended.stdout.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(tree(&blobs), before);
    assert!(!into.join("blobs").exists());
    let server = Stowage::start_with(&into, &[elsewhere]);
    let client = server.client();
    assert!(client.get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    client.get(&format!("/v2/team/app/blobs/{}", sha256(b"layer"))).expect(200);
    server.stop();
    let refused = run_with("rebuild", &["--into", &new], &data, &[elsewhere]);
    assert_eq!(refused.code, Some(6), "{refused:?}");
}

#[test]
fn a_dump_on_a_full_disk_fails_with_a_warning_and_leaves_the_others() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    let server = Stowage::start_with(&data, OFTEN);
    push_image(&server.client(), "team/app", "v1", b"layer 1");
    wait_for_dump(&server.client(), "team/app", &data);
    fs::write(&filler, vec![1; 50 << 20]).unwrap();
    touch(&server.client(), "team/app");
    eventually("a warning", || server.log().contains("could not be dumped"));
    let kept = dumps(&data);
    push_image(&server.client(), "team/app", "v2", b"layer 2");
    let warnings = || server.log().matches("could not be dumped").count();
    let so_far = warnings();
    eventually("another attempt", || warnings() > so_far);
    assert_eq!(dumps(&data), kept);
    assert!(tree(&data.join("dumps")).iter().all(|(path, _)| !path.ends_with(".new")));
    fs::remove_file(&filler).unwrap();
    wait_for_dump(&server.client(), "team/app", &data);
    server.stop();
    assert_whole(&data);
}

#[test]
fn on_another_file_system_it_is_made_when_the_blobs_may_stay() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let store = Store::new(false);
    fs::remove_file(store.database()).unwrap();
    let into = volume.path().join("new");
    let path = into.display().to_string();
    let refused = run("rebuild", &["--json", "--into", &path], &store.data);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("OTHER_FILE_SYSTEM"), "{refused:?}");
    assert_eq!(tree(&into), []);
    let old = store.data.display().to_string();
    let stay = ("STOWAGE__STORAGE__BLOB_DIR", old.as_str());
    let made = run_with("rebuild", &["--json", "--into", &path], &store.data, &[stay]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let server = Stowage::start_with(&into, &[stay]);
    for (path, manifest, _) in &store.images {
        assert!(server.client().get(&format!("/v2/{path}")).expect(200).body == *manifest, "{path}");
    }
    server.stop();
}

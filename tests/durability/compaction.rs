//! Compaction of the database of a running server: clients go on, a kill at any moment loses nothing, and a
//! disk that has no room or takes no writes is named.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stowage::model::media_type::OCI_MANIFEST;

use crate::dice::{self, Dice};
use crate::exchange::{Answer, exchange, exchange_on};
use crate::full_disk::{MIB, fill};
use crate::process::{Stowage, assert_whole, command, directory_in_memory, note, run};
use crate::support::content::{push_blob, push_manifest, sha256};
use crate::support::{Client, eventually};
use crate::volume::Volume;

/// Manifests in a store that is to be compacted, and the bytes of each.
const MANIFESTS: usize = 120;
const BYTES: usize = 60_000;
/// Of so many manifests one stays.
const KEPT: usize = 12;
const KILLS: u64 = 30;
/// Tags of a client that pushes all the while.
const TAGS: usize = 7;

/// A manifest of this size that needs nothing but the config.
fn manifest(number: usize, bytes: usize) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2},
        "layers": [],
        "annotations": {"number": number.to_string(), "filler": "x".repeat(bytes)},
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

/// Fills a store and deletes most of it; returns what is left.
fn sparse(client: &Client) -> Vec<Vec<u8>> {
    push_blob(client, "team/app", b"{}");
    let manifests: Vec<Vec<u8>> = (0..MANIFESTS).map(|number| manifest(number, BYTES)).collect();
    for (number, manifest) in manifests.iter().enumerate() {
        push_manifest(client, "team/app", &format!("v{number}"), OCI_MANIFEST, manifest);
    }
    let (kept, deleted): (Vec<_>, Vec<_>) =
        manifests.into_iter().enumerate().partition(|(number, _)| number % KEPT == 0);
    for (_, manifest) in deleted {
        client.delete(&format!("/v2/team/app/manifests/{}", sha256(&manifest))).expect(202);
    }
    kept.into_iter().map(|(_, manifest)| manifest).collect()
}

/// A server that keeps nothing of what is deleted.
fn serve(dir: &Path) -> Stowage {
    Stowage::start_with(dir, &[("STOWAGE__STORAGE__TRASH", "0")])
}

fn assert_kept(client: &Client, kept: &[Vec<u8>]) {
    for manifest in kept {
        let path = format!("/v2/team/app/manifests/{}", sha256(manifest));
        assert!(client.get(&path).expect(200).body == *manifest, "{path}");
    }
}

fn database(dir: &Path) -> fs::Metadata {
    fs::metadata(dir.join("stowage.redb")).expect("the database is there")
}

/// Asks the server for a compaction at its admin socket.
fn start(dir: &Path) -> Answer {
    let stream = UnixStream::connect(dir.join("admin.sock")).expect("the socket is there");
    exchange_on(stream, "POST", "/api/v1/compact/runs", &[], b"").expect("an answer")
}

fn compact(dir: &Path) -> Value {
    let ended = run("compact", &["--wait", "--json"], dir);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// Pushes until it is told to end, or the server is gone; returns the manifests that were acknowledged.
fn push_all_the_while(address: SocketAddr, seed: usize, over: &AtomicBool, may_fail: bool) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let manifest = manifest(1_000 + seed * 1_000_000 + number, 200);
        let path = format!("/v2/team/app/manifests/w{seed}-{}", number % TAGS);
        match exchange(address, "PUT", &path, &[("Content-Type", OCI_MANIFEST)], &manifest) {
            Ok(answer) if answer.status == 201 => acknowledged.push(manifest),
            other => assert!(may_fail && other.is_err(), "{other:?}"),
        }
        if over.load(Ordering::SeqCst) {
            break;
        }
    }
    acknowledged
}

/// Asserts that each tag of a client points to the last manifest that was acknowledged for it, or to the one
/// whose answer did not come.
fn assert_tags(client: &Client, seed: usize, acknowledged: &[Vec<u8>]) {
    let next = manifest(1_000 + seed * 1_000_000 + acknowledged.len(), 200);
    for (number, last) in acknowledged.iter().enumerate().rev().take(TAGS) {
        let tag = number % TAGS;
        let found = client.get(&format!("/v2/team/app/manifests/w{seed}-{tag}")).expect(200).body;
        let is_next = acknowledged.len() % TAGS == tag && found == next;
        assert!(found == *last || is_next, "w{seed}-{tag} is old");
    }
}

#[test]
fn clients_go_on_while_the_file_gets_smaller() {
    let dir = directory_in_memory();
    let server = serve(dir.path());
    let kept = sparse(&server.client());
    let before = database(dir.path());
    assert!(before.len() > (MANIFESTS * BYTES) as u64, "{}", before.len());
    let (over, pulls, longest) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let pushed = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..2)
            .map(|seed| {
                scope.spawn({
                    let (over, address) = (&over, server.address);
                    move || push_all_the_while(address, seed, over, false)
                })
            })
            .collect();
        let puller = || {
            let client = server.client();
            while !over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                assert_kept(&client, &kept);
                pulls.fetch_add(kept.len(), Ordering::SeqCst);
                longest.fetch_max(usize::try_from(begun.elapsed().as_micros()).unwrap(), Ordering::SeqCst);
            }
        };
        scope.spawn(puller);
        eventually("clients are at work", || pulls.load(Ordering::SeqCst) > 100);
        for _ in 0..3 {
            let done = compact(dir.path());
            let result = &done["data"]["result"];
            assert_eq!(result["compacted"], json!(true), "{done}");
            note(&format!("{result}"));
        }
        over.store(true, Ordering::SeqCst);
        pushers.into_iter().flat_map(|pusher| pusher.join().unwrap()).collect::<Vec<_>>()
    });
    note(&format!("{} pushes, {pulls:?} pulls, the longest round of them {longest:?} us", pushed.len()));
    let after = database(dir.path());
    assert_ne!(after.ino(), before.ino());
    assert!(after.blocks() < before.blocks() / 2, "{} of {}", after.blocks(), before.blocks());
    assert!(!dir.path().join("stowage.redb.new").exists());
    assert_kept(&server.client(), &kept);
    assert_kept(&server.client(), &pushed);
    server.stop();
    assert_whole(dir.path());
    let server = serve(dir.path());
    assert_kept(&server.client(), &pushed);
    server.stop();
}

#[test]
fn a_kill_at_any_moment_of_it_loses_nothing() {
    let mut dice = Dice::new(dice::seed());
    let dir = directory_in_memory();
    let mut server = serve(dir.path());
    let kept = sparse(&server.client());
    let begun = Instant::now();
    compact(dir.path());
    let whole_us = u64::try_from(begun.elapsed().as_micros()).unwrap() + 20_000;
    let mut pushed = Vec::new();
    let mut killed_in_it = 0;
    for kill in 0..KILLS {
        let over = AtomicBool::new(false);
        let address = server.address;
        let new = std::thread::scope(|scope| {
            let client =
                scope.spawn(|| push_all_the_while(address, 10 + usize::try_from(kill).unwrap(), &over, true));
            let begun = start(dir.path());
            assert_eq!(begun.status, 202, "{begun:?}");
            std::thread::sleep(Duration::from_micros(dice.below(whole_us)));
            killed_in_it += u64::from(dir.path().join("stowage.redb.new").exists());
            over.store(true, Ordering::SeqCst);
            server.kill();
            client.join().unwrap()
        });
        server = serve(dir.path());
        assert!(!dir.path().join("stowage.redb.new").exists(), "a start removes what is not complete");
        let client = server.client();
        assert_tags(&client, 10 + usize::try_from(kill).unwrap(), &new);
        pushed.extend(new);
        assert_kept(&client, &kept);
        assert_kept(&client, &pushed);
    }
    note(&format!(
        "{killed_in_it} of {KILLS} kills came while the new file was there, {} pushes",
        pushed.len()
    ));
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_command_without_a_server_may_be_killed_too() {
    let mut dice = Dice::new(dice::seed());
    let dir = directory_in_memory();
    let server = serve(dir.path());
    let kept = sparse(&server.client());
    server.stop();
    let before = database(dir.path()).blocks();
    for _ in 0..6 {
        let mut killed = command("compact").arg("--data-dir").arg(dir.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(400_000)));
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let done = compact(dir.path());
    assert!(database(dir.path()).blocks() < before / 2, "{done}");
    assert_whole(dir.path());
    let server = serve(dir.path());
    assert_kept(&server.client(), &kept);
    server.stop();
}

#[test]
fn a_disk_without_room_for_a_second_file_is_named_and_nothing_changes() {
    let Some(volume) = Volume::in_memory(128) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    let server = serve(&data);
    let kept = sparse(&server.client());
    fill(&filler, 4 * MIB);
    let file = database(&data).ino();
    let refused = run("compact", &["--wait"], &data);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in ["the new database file and storage.min_free need", "are free; free some space"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    let answer = start(&data);
    assert_eq!(answer.status, 507, "{answer:?}");
    let shown = run("compact", &["--dry-run"], &data);
    assert!(shown.code == Some(0) && shown.stdout.contains("refused"), "{shown:?}");
    assert_kept(&server.client(), &kept);
    assert_eq!(database(&data).ino(), file);
    server.client().delete("/v2/team/app/manifests/v0").expect(202);
    fs::remove_file(&filler).unwrap();
    let done = compact(&data);
    assert_ne!(database(&data).ino(), file, "{done}");
    assert_kept(&server.client(), &kept);
    server.stop();
    assert_whole(&data);
}

#[test]
fn a_disk_that_turned_read_only_is_named() {
    let Some(volume) = Volume::on_device(64) else { return };
    let data = volume.path().join("data");
    let server = serve(&data);
    let kept = sparse(&server.client());
    volume.break_down();
    server.client().delete("/v2/team/app/manifests/v0").expect_error(405, "UNSUPPORTED");
    let refused = run("compact", &["--wait"], &data);
    assert!(refused.code == Some(1) && refused.stderr.contains("read-only"), "{refused:?}");
    assert_kept(&server.client(), &kept);
    server.stop();
}

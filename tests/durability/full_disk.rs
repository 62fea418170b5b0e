//! A full disk: pushes are refused with a reason, everything else works, and free space is all that pushes
//! need again.

use std::fs::{self, OpenOptions};
use std::io::{BufReader, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use stowage::model::media_type::OCI_MANIFEST;

use crate::exchange::{Answer, exchange};
use crate::process::{Stowage, assert_whole, offset, refused_or_started, run};
use crate::support::client::read_response;
use crate::support::content::{
    bytes, close_upload, image, open_upload, push_image, put_manifest, send_chunk, sha256,
};
use crate::support::eventually;
use crate::volume::{Kind, Volume};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const REASON: &str =
    "HTTP/1.1 507 the registry's disk is full (no space left on device): free some space or ask its admin to";

/// Fills the disk with a foreign file, up to `left` bytes.
pub(crate) fn fill(path: &Path, left: usize) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the filler opens");
    let block = [1; 4096];
    while file.write_all(&block).is_ok() {}
    let size = file.metadata().expect("the filler is there").len();
    file.set_len(size.saturating_sub(left as u64)).expect("it can be cut off");
}

/// Lets the foreign file grow until this many bytes are free.
fn leave(path: &Path, left: usize) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the filler opens");
    let space = rustix::fs::fstatvfs(&file).expect("the file system tells");
    let free = usize::try_from(space.f_bavail * space.f_frsize).expect("a small volume");
    file.write_all(&vec![1; free - left]).expect("there is room");
}

/// Asserts a refusal for lack of space, with the words after which docker does not retry.
#[track_caller]
pub(crate) fn assert_full(answer: &Answer) {
    let line = answer.status_line();
    assert!(line.starts_with("HTTP/1.1 507 ") && line.contains("(no space left on device)"), "{line}");
}

pub(crate) fn push(server: &Stowage, content: &[u8]) -> Answer {
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", sha256(content));
    exchange(server.address, "POST", &path, &[], content).expect("an answer")
}

/// Pushes until one is refused for lack of space; returns what was acknowledged.
fn push_until_full(server: &Stowage) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    for seed in 1.. {
        let content = bytes(seed, 2 * MIB + 123);
        let answer = push(server, &content);
        if answer.status != 201 {
            assert_full(&answer);
            assert_eq!(answer.header("retry-after"), Some("60"));
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(body.contains("DENIED") && body.contains("free some space"), "{body}");
            return acknowledged;
        }
        acknowledged.push(content);
    }
    acknowledged
}

pub(crate) fn assert_there(server: &Stowage, contents: &[Vec<u8>]) {
    for content in contents {
        let path = format!("/v2/team/app/blobs/{}", sha256(content));
        assert!(server.client().get(&path).expect(200).body == *content, "{path}");
    }
}

fn uploads(data: &Path) -> usize {
    fs::read_dir(data.join("uploads")).expect("a directory").count()
}

#[test]
fn pushes_stop_before_the_disk_is_full_and_go_on_when_there_is_room() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    let server = Stowage::start_with(&data, &[("STOWAGE__STORAGE__MIN_FREE", "10%")]);
    let client = server.client();
    let manifest = push_image(&client, "team/app", "v1", b"layer 1");
    push_image(&client, "team/app", "v2", b"layer 2");
    fs::write(&filler, vec![1; 40 * MIB]).unwrap();
    let contents = push_until_full(&server);
    assert!(contents.len() > 2, "the disk was full from the start");

    // The refused blob was too large; now no byte fits. The free space is read once a second.
    fill(&filler, 4096);
    eventually("no upload is opened", || client.post("/v2/team/app/blobs/uploads/", b"").status == 507);
    for _ in 0..3 {
        client.post("/v2/team/app/blobs/uploads/", b"").expect_error(507, "DENIED");
        let other = image(&[b"layer 1", b"layer 2"]);
        put_manifest(&client, "team/app", "v3", OCI_MANIFEST, &other).expect_error(507, "DENIED");
    }
    assert_there(&server, &contents);
    assert!(client.get("/v2/team/app/manifests/v1").expect(200).body == manifest);
    client.delete("/v2/team/app/manifests/v2").expect(202);
    client.delete(&format!("/v2/team/app/blobs/{}", sha256(&contents[0]))).expect(202);
    client.get("/v2/team/app/manifests/v2").expect(404);
    assert_eq!(uploads(&data), 0, "files of refused uploads");

    fs::remove_file(&filler).unwrap();
    eventually("pushes are taken again", || push(&server, b"something new").status == 201);
    push_image(&client, "team/app", "v2", b"layer 2");
    assert_there(&server, &contents[1..]);
    server.stop();
    assert_whole(&data);
}

#[test]
fn a_warning_comes_before_pushes_are_refused_and_ends_with_room() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    let settings = [
        ("STOWAGE__STORAGE__MIN_FREE", "10%"),
        ("STOWAGE__STORAGE__WARN_FREE", "50%"),
        ("STOWAGE__LOG__LEVEL", "info"),
    ];
    let server = Stowage::start_with(&data, &settings);
    push_image(&server.client(), "team/app", "v1", b"layer");
    let status = || {
        let ended = run("status", &["--json", "--exit-code"], &data);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        (ended.code, document["data"].clone())
    };
    let (code, before) = status();
    assert_eq!((code, &before["space_warning"], &before["attention"]), (Some(0), &Value::Null, &json!([])));

    for left in [24, 20, 16] {
        leave(&filler, left * MIB);
        let near = (left as u64 - 1) * MIB as u64..=left as u64 * MIB as u64;
        eventually("a sample of it", || near.contains(&status().1["free_bytes"].as_u64().unwrap()));
        let (code, low) = status();
        assert_eq!((code, &low["pushes_refused"]), (Some(10), &Value::Null), "{low}");
        let text = low["space_warning"].as_str().unwrap();
        assert!(text.starts_with("less than storage.warn_free (50%) is left: "), "{text}");
        let attention = low["attention"][0].as_str().unwrap();
        assert!(attention.starts_with(text) && attention.ends_with("stowage gc status"), "{low}");
        push_image(&server.client(), "team/app", &format!("left-{left}"), b"layer");
    }
    let told = |what: &str| server.log().matches(what).count();
    assert_eq!(told("less than storage.warn_free (50%) is left"), 1, "{}", server.log());

    leave(&filler, 2 * MIB);
    eventually("pushes are refused", || status().1["pushes_refused"].is_string());
    let (code, short) = status();
    assert_eq!((code, &short["space_warning"]), (Some(10), &Value::Null), "one text is enough: {short}");
    assert_eq!(told("pushes are refused: less than storage.min_free"), 1, "{}", server.log());
    fs::remove_file(&filler).unwrap();
    eventually("both are over", || status().0 == Some(0));
    eventually("the log says so", || told("more than storage.warn_free left again") == 1);
    assert_eq!(told("less than storage.warn_free (50%) is left"), 1, "{}", server.log());
    server.stop();
}

#[test]
fn few_inodes_are_a_warning_too() {
    let Some(volume) = Volume::small(Kind::Tmpfs, 64, 4_000) else { return };
    let data = volume.path().join("data");
    let server = Stowage::start_with(&data, &[("STOWAGE__STORAGE__WARN_FREE", "1MiB")]);
    let warning = || {
        let ended = run("status", &["--json"], &data);
        serde_json::from_str::<Value>(&ended.stdout).unwrap()["data"]["space_warning"].clone()
    };
    assert_eq!(warning(), Value::Null);
    let filler = volume.path().join("filler");
    fs::create_dir(&filler).unwrap();
    let free = || rustix::fs::statvfs(volume.path()).unwrap().f_favail;
    for number in 0..free() - 150 {
        fs::write(filler.join(number.to_string()), b"").unwrap();
    }
    eventually("it is a warning", || {
        warning() == json!("less than 5% of the files (inodes) of the disk are left")
    });
    push_image(&server.client(), "team/app", "v1", b"layer");
    fs::remove_dir_all(&filler).unwrap();
    eventually("it is over", || warning() == Value::Null);
    server.stop();
}

#[test]
fn one_body_that_does_not_end_leaves_what_must_stay_free() {
    let Some(volume) = Volume::in_memory(300) else { return };
    let data = volume.path().join("data");
    let server = Stowage::start_with(&data, &[("STOWAGE__STORAGE__MIN_FREE", "50%")]);
    let client = server.client();
    // A body whose announced length does not fit is refused before it is received.
    let upload = open_upload(&client, "team/app");
    let too_large = (200 * MIB).to_string();
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", &too_large)]);
    stream.write_all(head.as_bytes()).unwrap();
    let refused = read_response(&mut BufReader::new(stream), false).expect_error(507, "DENIED");
    assert!(refused.message().contains("a body of 200 MiB would leave less than storage.min_free (50%)"));
    assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-0"));
    // A body of unknown length is refused at the byte that does not fit.
    let mut stream = client.connect();
    stream.set_write_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let head = client.head_of("PATCH", &upload, &[("Transfer-Encoding", "chunked")]);
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &vec![7; MIB], b"\r\n"].concat();
    // A server that refuses may keep reading for a while, so that its response is read, or close at once.
    for _ in 0..300 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    // The refused body ends before the limit is crossed, so a smaller announced body may still be accepted.
    eventually("it has ended", || {
        let end = client.get(&upload).expect(204).header("range").map(str::to_owned);
        let head = client.head_of("PATCH", &upload, &[("Content-Length", &too_large)]);
        let mut stream = client.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let refused = read_response(&mut BufReader::new(stream), false);
        refused.status == 507 && client.get(&upload).expect(204).header("range").map(str::to_owned) == end
    });
    let space = rustix::fs::statvfs(volume.path()).unwrap();
    // At most a batch, the database and its reserve may go beyond the limit.
    assert!(space.f_bavail * 100 / space.f_blocks > 40, "{} of {}", space.f_bavail, space.f_blocks);
    client.delete(&upload).expect(204);
    eventually("pushes are taken again", || push(&server, b"something new").status == 201);
}

#[test]
fn a_disk_without_a_free_byte_costs_nothing_that_was_acknowledged() {
    let Some(volume) = Volume::in_memory(64) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    let server = Stowage::start(&data);
    let client = server.client();
    let manifest = push_image(&client, "team/app", "v1", b"layer 1");
    fs::write(&filler, vec![1; 40 * MIB]).unwrap();
    let mut contents = push_until_full(&server);
    assert!(contents.len() > 2, "the disk was full from the start");
    // A running upload meets the full disk with its next chunk.
    let layer = bytes(1, 3 * MIB);
    client.delete(&format!("/v2/team/app/blobs/{}", sha256(&contents[0]))).expect(202);
    contents.remove(0);
    fill(&filler, 500_000);
    let upload = open_upload(&client, "team/app");
    send_chunk(&client, &upload, 0, &layer[..300_000]).expect(202);
    fill(&filler, 0);
    for round in 0..5 {
        let refused = push(&server, &bytes(1000 + round, 100_000));
        assert_eq!(refused.status_line(), REASON);
        send_chunk(&client, &upload, 300_000, &layer[300_000..]).expect_error(507, "DENIED");
        assert_eq!(offset(&client, &upload), 300_000);
        assert_there(&server, &contents);
        assert!(client.get("/v2/team/app/manifests/v1").expect(200).body == manifest);
    }
    // Leaves space for a few pages at a time, so that the database meets the full disk, too.
    for left in 1..30_usize {
        fill(&filler, left * 4096);
        let name = format!("team/full-{left}");
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(b"{}"));
        let answer = exchange(server.address, "POST", &path, &[], b"{}").expect("an answer");
        assert!(matches!(answer.status, 201 | 507), "{left} pages left: {answer:?}");
        if answer.status == 201 {
            client.get(&format!("/v2/{name}/blobs/{}", sha256(b"{}"))).expect(200);
        }
        assert!(client.get("/v2/team/app/manifests/v1").expect(200).body == manifest);
    }
    let deleted = client.delete(&format!("/v2/team/app/blobs/{}", sha256(&contents[0])));
    assert!(matches!(deleted.status, 202 | 507), "{deleted:?}");
    if deleted.status == 202 {
        contents.remove(0);
    }

    fs::remove_file(&filler).unwrap();
    eventually("pushes are taken again", || push(&server, b"something new").status == 201);
    push_image(&client, "team/app", "v2", b"layer 2");
    let rest = || send_chunk(&client, &upload, 300_000, &layer[300_000..]).status == 202;
    eventually("the upload goes on", rest);
    close_upload(&client, &upload, &sha256(&layer), b"").expect(201);
    contents.push(layer);
    assert_there(&server, &contents);
    server.stop();
    assert_whole(&data);
    let server = Stowage::start(&data);
    assert_there(&server, &contents);
}

#[test]
fn a_full_disk_takes_no_first_start_and_leaves_nothing_that_hinders_the_next() {
    let Some(volume) = Volume::in_memory(8) else { return };
    let (data, filler) = (volume.path().join("data"), volume.path().join("filler"));
    for pages in [0, 1, 4, 16, 64, 256, 300] {
        fill(&filler, pages * 4096);
        let refused = refused_or_started(&data);
        if let Some(refused) = refused {
            assert_eq!(refused.code, Some(1), "{pages} pages: {refused:?}");
            assert!(refused.stderr.contains("free some space"), "{pages} pages: {refused:?}");
        }
    }
    fs::remove_file(&filler).unwrap();
    let server = Stowage::start(&data);
    push_image(&server.client(), "team/app", "latest", b"layer");
    server.stop();
    assert_whole(&data);
}

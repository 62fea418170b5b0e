//! Blobs whose file was changed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::content::{
    bytes, close_upload, image, open_upload, push_blob, push_image, put_manifest, sha256, sha512,
};
use crate::support::{Client, TestStowage, eventually};

/// The file of a blob.
fn file_of(server: &TestStowage, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').expect("a digest");
    server.directory.join("blobs").join(algorithm).join(&hex[..2]).join(hex)
}

fn flip(server: &TestStowage, digest: &str, at: u64) {
    let file =
        fs::File::options().read(true).write(true).open(file_of(server, digest)).expect("the blob's file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a byte");
}

/// The bytes of a blob that are received before its response ends or breaks off; `None` if it is refused.
fn read(client: &Client, path: &str) -> Option<Vec<u8>> {
    let mut stream = client.connect();
    stream.write_all(client.head_of("GET", path, &[]).as_bytes()).expect("the head is sent");
    let mut received = Vec::new();
    // A connection that breaks off may be reset.
    let _ = stream.read_to_end(&mut received);
    let head = received.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
    (!received.starts_with(b"HTTP/1.1 404")).then(|| received.split_off(head.unwrap_or(received.len())))
}

#[test]
fn a_flipped_byte_never_reaches_a_client_and_hides_the_blob() {
    let server = TestStowage::start();
    let client = server.client();
    for (size, at) in
        [(1, 0), (1000, 999), (65_536, 5), (65_537, 65_536), (3_000_000, 0), (3_000_000, 2_999_999)]
    {
        let content = bytes(size, usize::try_from(size).unwrap());
        for digest in [sha256(&content), sha512(&content)] {
            client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), &content).expect(201);
            let path = format!("/v2/a/blobs/{digest}");
            flip(&server, &digest, at);
            // Either the request is refused, or the connection breaks off before the end.
            assert!(read(&client, &path).is_none_or(|body| body.len() < content.len()), "{size}");
            eventually("the blob is hidden", || client.head(&path).status == 404);
            client.get(&path).expect_error(404, "BLOB_UNKNOWN");
            client.send("GET", &path, &[("Range", "bytes=0-0")], b"").expect_error(404, "BLOB_UNKNOWN");
        }
    }
}

#[test]
fn a_file_that_is_missing_shorter_or_longer_hides_the_blob() {
    let server = TestStowage::start();
    let client = server.client();
    for size in [1000, 200_000] {
        for change in ["missing", "empty", "shorter", "longer", "a directory"] {
            let content = [bytes(size, usize::try_from(size).unwrap()), change.as_bytes().to_vec()].concat();
            let digest = push_blob(&client, "a", &content);
            let (path, file) = (format!("/v2/a/blobs/{digest}"), file_of(&server, &digest));
            let opened = || fs::File::options().write(true).open(&file).unwrap();
            match change {
                "missing" => fs::remove_file(&file).unwrap(),
                "empty" => opened().set_len(0).unwrap(),
                "shorter" => opened().set_len(size - 1).unwrap(),
                "longer" => opened().set_len(size + 100).unwrap(),
                _ => {
                    fs::remove_file(&file).unwrap();
                    fs::create_dir(&file).unwrap();
                    let refused = client.get(&path);
                    assert!(matches!(refused.status, 404 | 500), "{refused:?}");
                    fs::remove_dir(&file).unwrap();
                }
            }
            client.get(&path).expect_error(404, "BLOB_UNKNOWN");
            client.head(&path).expect(404);
            push_blob(&client, "a", &content);
            assert!(client.get(&path).expect(200).body == content, "{change}");
        }
    }
}

#[test]
fn a_new_push_in_every_way_heals_the_blob_in_all_repositories() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 100_000);
    let digest = push_blob(&client, "a", &content);
    push_blob(&client, "b", &content);
    for way in 0..3 {
        flip(&server, &digest, 50_000);
        read(&client, &format!("/v2/a/blobs/{digest}"));
        eventually("the blob is hidden", || client.head(&format!("/v2/b/blobs/{digest}")).status == 404);
        // A damaged blob cannot be mounted, so clients push it again.
        client.post(&format!("/v2/c/blobs/uploads/?mount={digest}&from=a"), b"").expect(202);
        client.post(&format!("/v2/c/blobs/uploads/?mount={digest}"), b"").expect(202);
        match way {
            0 => drop(push_blob(&client, "a", &content)),
            1 => drop(close_upload(&client, &open_upload(&client, "b"), &digest, &content).expect(201)),
            _ => {
                let upload = open_upload(&client, "c");
                client.patch(&upload, &content).expect(202);
                close_upload(&client, &upload, &digest, b"").expect(201);
            }
        }
        for name in ["a", "b"] {
            assert!(client.get(&format!("/v2/{name}/blobs/{digest}")).expect(200).body == content, "{way}");
        }
    }
}

#[test]
fn a_push_heals_damage_that_nobody_has_noticed_yet() {
    let server = TestStowage::start();
    let client = server.client();
    for size in [1000, 100_000] {
        let content = bytes(1, size);
        let digest = push_blob(&client, "a", &content);
        flip(&server, &digest, 500);
        push_blob(&client, "other", &content);
        assert!(client.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == content);
    }
}

#[test]
fn a_manifest_that_refers_to_a_damaged_blob_waits_for_its_new_push() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    flip(&server, &sha256(b"layer"), 0);
    client.get(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(404);
    put_manifest(&client, "a", "u", OCI_MANIFEST, &manifest).expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    push_blob(&client, "a", b"layer");
    put_manifest(&client, "a", "u", OCI_MANIFEST, &image(&[b"layer"])).expect(201);
}

#[test]
fn a_damaged_blob_can_be_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "a", b"blob");
    flip(&server, &digest, 0);
    client.get(&format!("/v2/a/blobs/{digest}")).expect(404);
    client.delete(&format!("/v2/a/blobs/{digest}")).expect(202);
    push_blob(&client, "a", b"blob");
    client.get(&format!("/v2/a/blobs/{digest}")).expect(200);
}

#[test]
fn a_blob_that_was_only_touched_is_sent() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 2_000_000);
    let digest = push_blob(&client, "a", &content);
    flip(&server, &digest, 1000);
    flip(&server, &digest, 1000);
    for _ in 0..2 {
        assert!(client.get(&format!("/v2/a/blobs/{digest}")).expect(200).body == content);
    }
}

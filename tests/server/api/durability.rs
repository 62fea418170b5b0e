//! A restart: everything is still there, and uploads can be continued.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};

use crate::support::content::{
    blake3, bytes, close_upload, index, open_upload, push_blob, push_image, push_manifest, put_manifest,
    referrer, send_chunk, sha256, sha512,
};
use crate::support::{Response, TestStowage, eventually};

fn restart(server: TestStowage, directory: &Path) -> TestStowage {
    server.stop();
    TestStowage::in_directory(directory)
}

/// The parts of a response that must be the same before and after: everything but its time and its id.
fn lasting(response: Response) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let passes = |(name, _): &(String, String)| name != "date" && name != "x-request-id";
    let mut headers: Vec<_> = response.headers.into_iter().filter(passes).collect();
    // Their order does not matter.
    headers.sort_unstable();
    (response.status, headers, response.body)
}

#[test]
fn every_answer_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let client = server.client();
    let large = bytes(1, 300_000);
    let image = push_image(&client, "a", "t", &large);
    push_image(&client, "a", "moved", b"old");
    push_image(&client, "a", "moved", b"new");
    push_image(&client, "a", "deleted", b"deleted");
    client.delete("/v2/a/manifests/deleted").expect(202);
    push_manifest(&client, "a", "index", OCI_INDEX, &index(&[&image]));
    let signature = referrer(&image, "application/sig", &json!({ "a": "b" }));
    put_manifest(&client, "a", &format!("{}?tag=long", sha512(&signature)), OCI_MANIFEST, &signature)
        .expect(201);
    client.post(&format!("/v2/b/blobs/uploads/?mount={}&from=a", sha256(&large)), b"").expect(201);
    client.post(&format!("/v2/b/blobs/uploads/?digest={}", blake3(b"x")), b"x").expect(201);
    push_blob(&client, "b", b"deleted");
    client.delete(&format!("/v2/b/blobs/{}", sha256(b"deleted"))).expect(202);
    let paths = [
        "/v2/_catalog".to_owned(),
        "/v2/a/tags/list".to_owned(),
        "/v2/b/tags/list".to_owned(),
        "/v2/a/manifests/t".to_owned(),
        "/v2/a/manifests/moved".to_owned(),
        "/v2/a/manifests/deleted".to_owned(),
        "/v2/a/manifests/index".to_owned(),
        "/v2/a/manifests/long".to_owned(),
        format!("/v2/a/manifests/{}", sha256(&image)),
        format!("/v2/a/referrers/{}", sha256(&image)),
        format!("/v2/a/blobs/{}", sha256(&large)),
        format!("/v2/b/blobs/{}", sha256(&large)),
        format!("/v2/b/blobs/{}", blake3(b"x")),
        format!("/v2/b/blobs/{}", sha256(b"deleted")),
    ];
    let before = paths.each_ref().map(|path| lasting(client.get(path)));
    let mut server = server;
    for _ in 0..2 {
        server = restart(server, directory.path());
        for (path, answer) in paths.iter().zip(&before) {
            assert!(lasting(server.client().get(path)) == *answer, "{path}");
        }
    }
    // A referenced blob is still protected, and an unreferenced one can still be deleted.
    server.client().delete(&format!("/v2/a/blobs/{}", sha256(&large))).expect_error(405, "DENIED");
    server.client().delete(&format!("/v2/b/blobs/{}", sha256(&large))).expect(202);
}

#[test]
fn an_upload_goes_on_after_a_restart_where_it_stood_with_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = TestStowage::in_directory(directory.path());
    let content = bytes(1, 300_000);
    let cases = [("sha256", sha256(&content)), ("sha512", sha512(&content)), ("blake3", blake3(&content))];
    let open = |(algorithm, digest): (&str, String)| {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
        (server.client().post(&path, b"").expect(202).location(), digest)
    };
    let uploads = cases.map(open);
    for (start, end) in [(0, 70_001), (70_001, 200_000), (200_000, 300_000)] {
        for (upload, _) in &uploads {
            if start > 0 {
                let standing = server.client().get(upload).expect(204);
                assert_eq!(standing.header("range"), Some(format!("0-{}", start - 1).as_str()));
                send_chunk(&server.client(), upload, 0, &content[..start]).expect_error(416, "RANGE_INVALID");
            }
            send_chunk(&server.client(), upload, start, &content[start..end]).expect(202);
        }
        server = restart(server, directory.path());
    }
    for (upload, digest) in &uploads {
        let blob = close_upload(&server.client(), upload, digest, b"").expect(201).location();
        assert!(server.client().get(&blob).expect(200).body == content);
        server.client().get(upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn an_upload_closes_after_a_restart_with_another_algorithm_than_it_was_opened_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let upload = open_upload(&server.client(), "a");
    server.client().patch(&upload, b"abc").expect(202);
    let server = restart(server, directory.path());
    close_upload(&server.client(), &upload, &sha512(b"abcdef"), b"def").expect(201);
}

#[test]
fn what_came_before_a_cut_is_still_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let client = server.client();
    let content = bytes(1, 2_000_000);
    let upload = open_upload(&client, "a");
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", "2000000")]);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[..1_234_567]).unwrap();
    eventually("some bytes are there", || client.get(&upload).header("range") != Some("0-0"));
    drop(stream);
    let server = restart(server, directory.path());
    let client = server.client();
    let standing = client.get(&upload).expect(204);
    let last: usize = standing.header("range").unwrap().strip_prefix("0-").unwrap().parse().unwrap();
    assert!((1..1_234_567).contains(&last), "{last}");
    send_chunk(&client, &upload, last + 1, &content[last + 1..]).expect(202);
    close_upload(&client, &upload, &sha256(&content), b"").expect(201);
}

#[test]
fn uploads_that_ended_are_still_404_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let client = server.client();
    let (closed, cancelled, wrong) =
        (open_upload(&client, "a"), open_upload(&client, "a"), open_upload(&client, "a"));
    for upload in [&closed, &cancelled, &wrong] {
        client.patch(upload, b"abc").expect(202);
    }
    close_upload(&client, &closed, &sha256(b"abc"), b"").expect(201);
    client.delete(&cancelled).expect(204);
    close_upload(&client, &wrong, &sha256(b"other"), b"").expect(400);
    let server = restart(server, directory.path());
    for upload in [closed, cancelled, wrong] {
        server.client().get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        server.client().patch(&upload, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(std::fs::read_dir(directory.path().join("uploads")).unwrap().count(), 0);
}

#[test]
fn an_upload_without_a_byte_ends_with_the_server_and_its_repository_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let upload = open_upload(&server.client(), "a");
    let server = restart(server, directory.path());
    server.client().get(&upload).expect(404);
    // Leftovers are removed after the server has started to answer.
    eventually("the repository is gone", || server.client().get("/v2/a/tags/list").status == 404);
}

#[test]
fn a_stop_lets_requests_finish() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let client = server.client();
    let content = bytes(1, 1_500_000);
    let upload = open_upload(&client, "a");
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", "1500000")]);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&content[..1_000_000]).unwrap();
    eventually("the request is under way", || client.get(&upload).header("range") != Some("0-0"));
    let stopping = std::thread::spawn(move || server.stop());
    eventually("no new connections are taken", || std::net::TcpStream::connect(client.address()).is_err());
    stream.write_all(&content[1_000_000..]).unwrap();
    let answer =
        crate::support::client::read_response(&mut std::io::BufReader::new(stream), false).expect(202);
    assert_eq!(answer.header("range"), Some("0-1499999"));
    stopping.join().unwrap();
    let server = TestStowage::in_directory(directory.path());
    close_upload(&server.client(), &upload, &sha256(&content), b"").expect(201);
}

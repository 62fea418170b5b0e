//! Memory stays within bounds, whatever clients send.

use std::io::{BufReader, Write as _};

use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use tempfile::TempDir;

use crate::process::{Stowage, assert_whole, note, offset};
use crate::support::client::read_response;
use crate::support::content::{open_upload, push_image, put_manifest};

const MIB: usize = 1 << 20;
/// The most that a manifest may have.
const MANIFEST: usize = 4 * MIB;

#[test]
fn a_gibibyte_in_one_request_needs_less_than_a_hundred_mebibytes() {
    // sha256 of 1 GiB of zeros.
    let digest = "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14";
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    let client = server.client();
    let upload = open_upload(&client, "team/app");
    let mut stream = client.connect();
    let head = client.head_of("PATCH", &upload, &[("Content-Length", &(1024 * MIB).to_string())]);
    stream.write_all(head.as_bytes()).unwrap();
    let zeros = vec![0; MIB];
    for _ in 0..1024 {
        stream.write_all(&zeros).unwrap();
    }
    assert_eq!(read_response(&mut BufReader::new(stream), false).status, 202);
    assert_eq!(offset(&client, &upload), 1024 * MIB);
    client.put(&format!("{upload}?digest={digest}"), b"").expect(201);
    let head = client.head(&format!("/v2/team/app/blobs/{digest}")).expect(200);
    assert_eq!(head.header("content-length"), Some((1024 * MIB).to_string().as_str()));
    let peak = server.peak_memory_mib();
    note(&format!("peak: {peak} MiB"));
    assert!(peak < 100, "{peak} MiB");
}

/// Invalid manifests of 4 MiB: first those that are refused early, then those that must be parsed to their
/// end.
fn nonsense() -> Vec<Vec<u8>> {
    let repeat = |start: &str, middle: &str, end: &str| {
        let count = (MANIFEST - start.len() - end.len()) / middle.len();
        let mut text = format!("{start}{}{end}", middle.repeat(count)).into_bytes();
        text.resize(MANIFEST, b' ');
        text
    };
    vec![
        vec![0xff; MANIFEST],
        repeat("", "{", ""),
        repeat("", "[", ""),
        repeat("{\"a\":", "{\"a\":", ""),
        repeat("{\"schemaVersion\":2,\"layers\":[{}", ",{}", "]}"),
        repeat("[0", ",0", "]"),
        repeat("{\"schemaVersion\":2,\"x\":[[]", ",[]", "]}"),
        repeat("{\"schemaVersion\":2", ",\"schemaVersion\":2", "}"),
        repeat("{\"schemaVersion\":2,\"annotations\":{\"a\":\"", "\\u0000", "\"}}"),
        repeat("{\"schemaVersion\":2,\"manifests\":[1", ",1", "]}"),
    ]
}

#[test]
fn two_hundred_large_pieces_of_nonsense_at_once_need_less_than_two_hundred_mebibytes() {
    let dir = TempDir::new().unwrap();
    let server = Stowage::start(dir.path());
    let manifest = push_image(&server.client(), "team/app", "latest", b"layer");
    let nonsense = nonsense();
    std::thread::scope(|scope| {
        for index in 0..200 {
            // Parsing these takes the server long, so only an eighth of the manifests are such.
            let kind = if index % 8 == 0 { 5 + index / 8 % 5 } else { index % 5 };
            let (client, body) = (server.client(), &nonsense[kind]);
            scope.spawn(move || {
                let media_type = if index % 3 == 0 { OCI_INDEX } else { OCI_MANIFEST };
                put_manifest(&client, "team/app", "nonsense", media_type, body)
                    .expect_error(400, "MANIFEST_INVALID");
            });
        }
        // Other clients are served meanwhile.
        push_image(&server.client(), "team/app", "meanwhile", b"another layer");
        assert!(server.client().get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    });
    let peak = server.peak_memory_mib();
    note(&format!("peak: {peak} MiB"));
    assert!(peak < 200, "{peak} MiB");
    push_image(&server.client(), "team/app", "afterwards", b"a third layer");
    assert!(server.client().get("/v2/team/app/manifests/latest").expect(200).body == manifest);
    server.client().get("/v2/team/app/manifests/nonsense").expect_error(404, "MANIFEST_UNKNOWN");
    server.stop();
    assert_whole(dir.path());
}
